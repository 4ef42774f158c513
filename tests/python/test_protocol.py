"""The worked examples of PROTOCOL.md: read from the page, and computed again with nothing but hmac and hashlib."""

import hashlib
import hmac
import json
import pathlib
import re

import pytest

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
    """As sections 4.1 and 4.11 say it in words."""
    digest = hashlib.sha256(example["body"].encode()).hexdigest()
    if example["example"] == "hmac1":
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


def test_the_page_has_both_kinds_with_and_without_a_body():
    kinds = [(example["example"], bool(example["body"])) for example, _ in EXAMPLES]
    assert sorted(kinds) == [("hmac1", False), ("hmac1", True), ("hmac2", False), ("hmac2", True)]


@pytest.mark.parametrize("example", [example for example, _ in EXAMPLES], ids=lambda example: example["signature"][:8])
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


def test_the_functions_on_the_page_make_the_signatures():
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", PROTOCOL, re.DOTALL):
        exec(block, namespace)  # The page is part of this repository.
    for example, _ in examples("hmac1"):
        made = namespace["sign_hmac1"](example["secret"], example["timestamp"], example["body"].encode())
        assert made == example["signature"]
    for example, _ in examples("hmac2"):
        made = namespace["sign_hmac2"](
            example["secret"], example["timestamp"], example["method"], example["path_and_query"],
            example["tenant_id"], example["actor"], example["body"].encode(),
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
    assert sections == ["1", "2", "3", "4", "5", "6", "8", "11"]
    titles = re.findall(r"^### ([\d.]+) (.+)$", PROTOCOL, re.MULTILINE)
    assert [number for number, _ in titles] == [f"4.{n}" for n in range(1, 14)] + [f"5.{n}" for n in range(1, 11)]
    for cited in ("Replays", "Order and spending", "Sent again", "Attachments", "Patience"):
        assert cited in [title for _, title in titles], cited
