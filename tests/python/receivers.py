"""Real receivers of events, each on a free loopback port: the published client's two adapters, the plain receiver of
deploy/docs/events.md, and a recorder that answers what a test tells it to.
"""

import contextlib
import http.server
import os
import pathlib
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
import wsgiref.simple_server

import django
import uvicorn
from bloonio_chat_relay_client import ChatRelaySettings, WebhookEventType
from bloonio_chat_relay_client.adapters.django import build_callback_urlpatterns
from bloonio_chat_relay_client.adapters.fastapi.callbacks import build_callback_router
from django.conf import settings as django_settings
from django.core.wsgi import get_wsgi_application
from django.urls import clear_url_caches, include, path
from fastapi import FastAPI

from conftest import PATIENCE_S, ROOT

PREFIX = "/api/v1/chat-callbacks"
PAGE = ROOT / "deploy" / "docs" / "events.md"


class Inbox:
    """What a receiver got, in order. Threads of servers put in, the test waits."""

    def __init__(self):
        self._items = []
        self._changed = threading.Condition()

    def put(self, item):
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    @property
    def items(self):
        with self._changed:
            return list(self._items)

    def wait_for(self, is_enough):
        """Waits until `is_enough(items)`, and returns the items."""
        with self._changed:
            assert self._changed.wait_for(lambda: is_enough(self._items), timeout=PATIENCE_S), self._items
            return list(self._items)

    def wait_for_count(self, count):
        return self.wait_for(lambda items: len(items) >= count)


class AdapterReceiver:
    """What both adapters' receivers share: `inbox` holds the WebhookEvent objects that the handlers got."""

    def __init__(self):
        self.inbox = Inbox()
        # The tenant is not there before its callback URL is: `become` follows. Both adapters read the secret at each request.
        self.settings = ChatRelaySettings(base_url="http://127.0.0.1:1", tenant_id="unknown", tenant_secret="unknown")

    def become(self, tenant_id, tenant_secret):
        self.settings.tenant_id = tenant_id
        self.settings.tenant_secret = tenant_secret


class FastApiReceiver(AdapterReceiver):
    def __init__(self):
        super().__init__()

        async def handle(event):
            self.inbox.put(event)

        app = FastAPI()
        handlers = dict.fromkeys(WebhookEventType, handle)
        app.include_router(build_callback_router(settings=self.settings, handlers=handlers), prefix=PREFIX)
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off")
        self._socket = config.bind_socket()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        # The socket is bound, and listens once the server has started.
        deadline = time.monotonic() + PATIENCE_S
        while not self._server.started:
            assert self._thread.is_alive() and time.monotonic() < deadline, "uvicorn did not start"
            time.sleep(0.01)

    def stop(self):
        self._server.should_exit = True
        self._thread.join(timeout=PATIENCE_S)
        self._socket.close()


# Django has one project in a process: this module is its ROOT_URLCONF.
urlpatterns = []


class DjangoReceiver(AdapterReceiver):
    """At most one at a time."""

    class _Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
        daemon_threads = True

    class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__()
        if not django_settings.configured:
            django_settings.configure(
                ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="a-secret-key-for-tests", MIDDLEWARE=[]
            )
            django.setup()
        handlers = dict.fromkeys(WebhookEventType, self.inbox.put)
        callbacks = build_callback_urlpatterns(settings=self.settings, handlers=handlers)
        urlpatterns[:] = [path(f"{PREFIX.removeprefix('/')}/", include(callbacks))]
        clear_url_caches()
        self._server = wsgiref.simple_server.make_server(
            "127.0.0.1", 0, get_wsgi_application(), server_class=self._Server, handler_class=self._Quiet
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=PATIENCE_S)


def receiver_on_the_page():
    """The program of deploy/docs/events.md, as a reader pastes it."""
    (program,) = re.findall(r"^cat > data/receive\.py <<'PYTHON'\n(.*?)^PYTHON$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return program


class PlainReceiver:
    """The page's own receiver, as a process. `inbox` holds what it printed, as pairs of an event's type and id."""

    def __init__(self, directory, tenant_secret):
        self.inbox = Inbox()
        program = pathlib.Path(directory) / "receive.py"
        program.write_text(receiver_on_the_page())
        # The program does not say which port it got, so its port is picked first.
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, program],
            env={"PATH": os.environ["PATH"], "CHAT_RELAY_TENANT_SECRET": tenant_secret, "PORT": str(port)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        self.url = f"http://127.0.0.1:{port}"
        self._errors = []
        self._threads = [
            threading.Thread(target=self._read, daemon=True),
            # Read all along: a full pipe would stop the receiver.
            threading.Thread(target=lambda: self._errors.extend(self.process.stderr), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert self.process.poll() is None and time.monotonic() < deadline, self._errors
            time.sleep(0.02)

    def _read(self):
        for line in self.process.stdout:
            self.inbox.put(tuple(line.split()))

    def stop(self):
        """Ends the process, and returns what it wrote to its log."""
        self.process.terminate()
        self.process.wait(timeout=PATIENCE_S)
        for thread in self._threads:
            thread.join(timeout=PATIENCE_S)
        return "".join(self._errors)


class Recorder:
    """Keeps each request as `(path, headers, body)`, with the headers' names in lower case. It answers with `status`, which a
    test may change.
    """

    def __init__(self, path=""):
        self.inbox = Inbox()
        self.status = 204
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                # Read before the test knows of the request, and may change it.
                status = recorder.status
                recorder.inbox.put((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}{path}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=PATIENCE_S)


@contextlib.contextmanager
def running(receiver):
    try:
        yield receiver
    finally:
        receiver.stop()
