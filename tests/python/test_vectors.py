"""The golden signatures are still what the published client's own signer makes."""

import json
import pathlib

from bloonio_chat_relay_client.core.hmac import sign, verify

VECTORS = json.loads((pathlib.Path(__file__).parents[1] / "vectors" / "hmac1.json").read_text())


def test_the_published_signer_makes_the_golden_signatures():
    assert len(VECTORS) >= 5
    for vector in VECTORS:
        timestamp, signature = sign(vector["secret"], vector["body"].encode(), ts_ms=int(vector["timestamp"]))
        assert (timestamp, signature) == (vector["timestamp"], vector["signature"])
        assert verify(vector["secret"], vector["body"].encode(), vector["timestamp"], vector["signature"])
