"""The worked examples of PROTOCOL.md: read from the page, and computed again with nothing but hmac and hashlib.

Ed25519 is not in the standard library: `cryptography` verifies that one signature.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "PROTOCOL.md").read_text()
HMAC1_VECTORS = json.loads((ROOT / "tests" / "vectors" / "hmac1.json").read_text())
(SIGNATURES,) = (ROOT / "shared").glob("**/src/signature.rs")
HMAC2_VECTOR_SOURCE = SIGNATURES.read_text()

# A JSON block that says which example it is, and the request that follows it.
EXAMPLES = [
    (json.loads(block), request)
    for block, request in re.findall(r"```json\n(\{\n.*?\n\})\n```\n\n```http\n(.*?)```", PROTOCOL, re.DOTALL)
]


def examples(name):
    return [(example, request) for example, request in EXAMPLES if example["example"] == name]


def string_to_sign(example):
    """As sections 4.1, 4.11 and 7.4 say it in words."""
    if example["example"] == "standard":
        return f"{example['event_id']}.{example['timestamp']}.{example['body']}"
    digest = hashlib.sha256(example["body"].encode()).hexdigest()
    if example["example"] in ("hmac1", "delivery"):
        return f"{example['timestamp']}.{digest}"
    fields = ("timestamp", "method", "path_and_query", "tenant_id", "actor")
    return "\n".join([*(example[field] for field in fields), digest])


def read_request(text):
    head, _, body = text.partition("\n\n")
    line, *fields = head.rstrip("\n").split("\n")
    method, target, version = line.split(" ")
    assert version == "HTTP/1.1"
    headers = dict(field.split(": ", 1) for field in fields)
    assert len(headers) == len(fields), "a header is there twice"
    return method, target, headers, body.rstrip("\n")


def test_the_page_has_every_kind_of_example():
    kinds = [(example["example"], bool(example["body"])) for example, _ in EXAMPLES]
    assert kinds == [
        ("hmac1", True), ("hmac1", False), ("hmac2", True), ("hmac2", False),
        ("hmac2", True), ("delivery", True), ("standard", True),
    ]


@pytest.mark.parametrize(
    "example", [example for example, _ in EXAMPLES if "secret" in example], ids=lambda example: example["signature"][:8]
)
def test_each_step_of_an_example_follows_from_the_one_before(example):
    assert example["body_sha256"] == hashlib.sha256(example["body"].encode()).hexdigest()
    assert example["string_to_sign"] == string_to_sign(example)
    mac = hmac.new(example["secret"].encode(), example["string_to_sign"].encode(), hashlib.sha256)
    assert example["signature"] == mac.hexdigest()


def test_the_signed_requests_of_tenants_carry_the_examples():
    for example, request in examples("hmac1"):
        method, target, headers, body = read_request(request)
        assert target.startswith("/api/v1/relay/") and method == ("POST" if body else "GET")
        assert body == example["body"]
        assert int(headers.get("Content-Length", "0")) == len(body.encode())
        assert headers["X-Bloonio-Timestamp"] == example["timestamp"]
        assert headers["X-Bloonio-Signature"] == example["signature"]
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", headers["X-Bloonio-Tenant-Id"])


def test_the_forwarded_requests_carry_the_examples():
    for example, request in examples("hmac2"):
        method, target, headers, body = read_request(request)
        assert (method, target, body) == (example["method"], example["path_and_query"], example["body"])
        assert int(headers.get("Content-Length", "0")) == len(body.encode())
        for name, field in (
            ("Tenant-Id", "tenant_id"), ("Timestamp", "timestamp"), ("Actor", "actor"), ("Signature", "signature"),
        ):
            assert headers[f"X-Relay-{name}"] == example[field], name


def test_the_published_event_is_the_delivered_event():
    publish = next(json.loads(example["body"]) for example, _ in examples("hmac2") if example["actor"] == "backend")
    ((delivery, _),) = examples("delivery")
    ((standard, _),) = examples("standard")
    (event,), (usage,) = publish["events"], publish["usage"]
    delivered = json.loads(delivery["body"])
    assert delivered == {**event, "tenant_id": delivered["tenant_id"], "extra": {"event_id": event["event_id"]}}
    assert usage == {"message_id": event["message_id"], "created_at": event["occurred_at"]}
    wrapped = {"type": event["event_type"], "timestamp": event["occurred_at"], "data": delivered}
    assert json.loads(standard["body"]) == wrapped


def test_the_delivered_requests_carry_the_examples():
    ((example, request),) = examples("delivery")
    method, target, headers, body = read_request(request)
    event = json.loads(body)
    slug = event["event_type"].replace("_", "-")
    assert (method, body) == ("POST", example["body"])
    assert f"https://{headers['Host']}{target}" == f"{example['callback_url_base']}{example['callback_path_prefix']}/{slug}"
    assert int(headers["Content-Length"]) == len(body.encode())
    assert headers["X-Bloonio-Timestamp"] == example["timestamp"]
    assert headers["X-Bloonio-Signature"] == example["signature"]
    assert (headers["X-Bloonio-Event-Id"], headers["X-Bloonio-Tenant-Id"]) == (event["event_id"], event["tenant_id"])

    ((example, request),) = examples("standard")
    method, target, headers, body = read_request(request)
    assert (method, body) == ("POST", example["body"])
    assert f"https://{headers['Host']}{target}" == example["callback_url_base"]
    assert int(headers["Content-Length"]) == len(body.encode())
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (example["event_id"], example["timestamp"])
    assert headers["webhook-signature"] == f"{example['signature']} {example['asymmetric_signature']}"


def test_each_step_of_the_standard_webhooks_example_follows_from_the_one_before():
    ((example, _),) = examples("standard")
    secret = base64.urlsafe_b64decode(example["tenant_secret"].removeprefix("sk_") + "=")
    assert len(secret) == 32 and example["webhook_secret"] == "whsec_" + base64.b64encode(secret).decode()
    signed = string_to_sign(example)
    assert example["string_to_sign"] == signed
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    assert example["signature"] == "v1," + base64.b64encode(mac).decode()
    public_key = base64.b64decode(example["webhook_public_key"].removeprefix("whpk_"))
    signature = base64.b64decode(example["asymmetric_signature"].removeprefix("v1a,"))
    Ed25519PublicKey.from_public_bytes(public_key).verify(signature, signed.encode())


def test_the_functions_on_the_page_make_the_signatures():
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", PROTOCOL, re.DOTALL):
        exec(block, namespace)  # The page is part of this repository.
    for example, _ in examples("hmac1") + examples("delivery"):
        made = namespace["sign_hmac1"](example["secret"], example["timestamp"], example["body"].encode())
        assert made == example["signature"]
    for example, _ in examples("hmac2"):
        made = namespace["sign_hmac2"](
            example["secret"], example["timestamp"], example["method"], example["path_and_query"],
            example["tenant_id"], example["actor"], example["body"].encode(),
        )
        assert made == example["signature"]
    ((example, _),) = examples("standard")
    made = namespace["sign_standard"](
        example["webhook_secret"], example["event_id"], example["timestamp"], example["body"].encode()
    )
    assert made == example["signature"]


def test_the_examples_are_golden_vectors():
    fields = ("secret", "timestamp", "body", "signature")
    golden = [tuple(vector[field] for field in fields) for vector in HMAC1_VECTORS]
    for example, _ in examples("hmac1"):
        assert tuple(example[field] for field in fields) in golden
    with_body = next(example for example, _ in examples("hmac2") if example["body"])
    for field in ("secret", "timestamp", "method", "path_and_query", "tenant_id", "actor", "signature"):
        assert f'"{with_body[field]}"' in HMAC2_VECTOR_SOURCE, field
    assert f"of(br#\"{with_body['body']}\"#)" in HMAC2_VECTOR_SOURCE


def test_sections_are_numbered_as_code_cites_them():
    sections = re.findall(r"^## (\d+)\. ", PROTOCOL, re.MULTILINE)
    assert sections == ["1", "2", "3", "4", "5", "6", "7", "8", "11"]
    titles = re.findall(r"^### ([\d.]+) (.+)$", PROTOCOL, re.MULTILINE)
    lengths = (("4", 13), ("5", 12), ("7", 9), ("8", 5))
    assert [number for number, _ in titles] == [f"{of}.{n}" for of, length in lengths for n in range(1, length + 1)]
    for cited in ("Replays", "Order and spending", "Sent again", "Attachments", "Patience"):
        assert cited in [title for _, title in titles], cited
