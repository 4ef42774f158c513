"""A receiver of the published client, FastAPI's or Django's (the argument), for the browser tests.

It prints its URL. Then it reads a line with a tenant's id and secret, and prints each event that its handlers get, a JSON object a line.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))

from receivers import DjangoReceiver, FastApiReceiver, Inbox  # noqa: E402

Inbox.put = lambda self, event: print(event.model_dump_json(), flush=True)

receiver = {"fastapi": FastApiReceiver, "django": DjangoReceiver}[sys.argv[1]]()
print(receiver.url, flush=True)
receiver.become(*sys.stdin.readline().split())
# Until the test closes it.
sys.stdin.read()
receiver.stop()
