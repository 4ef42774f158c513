"""The example chat backends, behind a real gateway: the published client drives them, unmodified."""

import contextlib
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

import pytest
from bloonio_chat_relay_client import ChatRelayClient, ChatRelayError, ChatRelaySettings, MessageRole

from conftest import ADMIN_KEY, PATIENCE_S, ROOT, Separate, target_dir

EXAMPLES = ROOT / "deploy" / "examples"
COMMANDS = {"python": [sys.executable, EXAMPLES / "chat_backend.py"], "node": ["node", EXAMPLES / "chat_backend.mjs"]}
RELAY_SECRET = "a-relay-secret-for-tests"
TENANT = str(uuid.uuid4())


def environment(secret):
    return {"PATH": os.environ["PATH"], "CHAT_BACKEND_RELAY_SECRET": secret}


@contextlib.contextmanager
def example(command, secret=f"the-next-relay-secret,{RELAY_SECRET}"):
    """Runs an example on a free port. Yields its URL, and a function that stops it and returns its log."""
    process = subprocess.Popen(
        [*command, "0"], env=environment(secret), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    def stop():
        process.terminate()
        return process.communicate(timeout=PATIENCE_S)[1]

    try:
        yield process.stdout.readline().removeprefix("listening on ").strip(), stop
    finally:
        if process.poll() is None:
            stop()


@pytest.fixture(scope="module", params=COMMANDS)
def command(request):
    return COMMANDS[request.param]


@pytest.fixture(scope="module")
def backend(command):
    with example(command) as (url, _):
        yield url


@contextlib.contextmanager
def relay_before(data_dir, backend):
    world = Separate(data_dir, GATEWAY_CHAT_BACKEND_URL=backend)
    try:
        yield world
    finally:
        world.stop()


@pytest.fixture(scope="module")
def relay(backend, tmp_path_factory):
    with relay_before(tmp_path_factory.mktemp("relay"), backend) as world:
        yield world


def new_tenant(relay):
    request = urllib.request.Request(
        f"{relay.admin}/api/v1/provision/tenant",
        data=json.dumps({"tenant_name": "Demo Boutique", "rate_limit_per_min": 6000}).encode(),
        headers={"X-Admin-Key": ADMIN_KEY},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        tenant = json.load(answer)["data"]
    return ChatRelayClient(
        ChatRelaySettings(
            base_url=relay.relay, tenant_id=tenant["tenant_id"], tenant_secret=tenant["tenant_secret"]
        )
    )


@pytest.fixture
def chat(relay):
    with new_tenant(relay) as client:
        yield client


def call(backend, method, target, body=b"", *, secret=RELAY_SECRET, signed=None, age_ms=0, actor="tenant", drop=()):
    """Calls the example itself, signed as a gateway signs. `signed` holds what is signed in the place of what is sent."""
    sent = {"method": method, "target": target, "tenant": TENANT, "actor": actor, "body": body, **(signed or {})}
    timestamp = str(time.time_ns() // 1_000_000 - age_ms)
    digest = hashlib.sha256(sent["body"]).hexdigest()
    lines = [timestamp, sent["method"], sent["target"], sent["tenant"], sent["actor"], digest]
    headers = {
        "X-Relay-Timestamp": timestamp,
        "X-Relay-Tenant-Id": TENANT,
        "X-Relay-Actor": actor,
        "X-Relay-Signature": hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest(),
        "X-Request-Id": "the-request",
    }
    for name in drop:
        del headers[name]
    request = urllib.request.Request(f"{backend}{target}", data=body or None, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.headers["X-Relay-Refused"], json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers["X-Relay-Refused"], json.load(refused)


def test_the_published_client_chats(chat):
    begun = chat.create_conversation(visitor_user_id="mary+x@e.com", visitor_display_name="Mary", metadata={"order": 7})
    assert (begun.visitor_display_name, begun.locale, begun.metadata) == ("Mary", "fr", {"order": 7})
    picture = {"type": "image", "mime": "image/png", "size": 0, "url": "https://example.com/a.png"}
    for number in range(20):
        chat.send_message(begun.id, content=f"message {number} é")
    chat.send_message(begun.id, content="Hello, this is Ada.", role=MessageRole.AGENT, attachments=[picture])
    messages = chat.list_messages(begun.id)
    assert [message.content for message in messages[:20]] == [f"message {number} é" for number in range(20)]
    assert (messages[20].role, messages[20].attachments[0].url) == (MessageRole.AGENT, picture["url"])
    ids = [message.id for message in messages]
    assert ids == sorted(set(ids)) and {uuid.UUID(one).version for one in ids} == {7}
    assert chat.list_messages(begun.id, limit=2) == messages[:2]
    assert chat.list_messages(begun.id, limit=1_000_000) == messages


def test_tenants_are_apart(relay, chat):
    begun = chat.create_conversation(visitor_user_id="mary")
    chat.send_message(begun.id, content="between us")
    with new_tenant(relay) as other:
        for attempt in (lambda: other.list_messages(begun.id), lambda: other.send_message(begun.id, content="hello")):
            with pytest.raises(ChatRelayError) as refused:
                attempt()
            assert (refused.value.status_code, refused.value.body["error_code"]) == (404, "conversation_not_found")
        assert other.list_conversations() == []
    assert [one.id for one in chat.list_conversations()] == [begun.id]
    assert [message.content for message in chat.list_messages(begun.id)] == ["between us"]


def test_refusals_keep_the_envelope(chat, backend):
    for attempt, status, error_code in (
        (lambda: chat.list_messages(str(uuid.uuid4())), 404, "conversation_not_found"),
        (lambda: chat.list_tickets(), 404, "not_found"),
        (lambda: chat.create_conversation(visitor_user_id=""), 422, "validation_failed"),
    ):
        with pytest.raises(ChatRelayError) as refused:
            attempt()
        failure = refused.value.body
        assert (refused.value.status_code, failure["error_code"]) == (status, error_code)
        assert (failure["success"], failure["status_code"]) == (False, status)
        assert failure["message"] and failure["request_id"]
    assert failure["errors"][0]["field"] == "visitor_user_id"
    for body, status in ((b"{", 400), (b"[" * 100_000, 400), (b"[]", 422), (b"null", 422)):
        assert call(backend, "POST", "/create/conversation", body)[0] == status, body[:9]
    for method, target in (("GET", "/add/message"), ("DELETE", "/create/conversation"), ("GET", "//")):
        assert call(backend, method, target)[0] == 404, target


@pytest.mark.parametrize("framing", (
    "Content-Length: x", "Content-Length: -1", "Content-Length: 99999999999999999999", "Transfer-Encoding: chunked",
))
def test_a_body_without_a_length_is_no_next_call(backend, framing):
    host, port = backend.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        # The second call hides in the first one's body.
        hidden = "GET /fetch/conversations HTTP/1.1\r\nHost: b\r\n\r\n"
        connection.sendall(f"POST /create/conversation HTTP/1.1\r\nHost: b\r\n{framing}\r\n\r\n{hidden}".encode())
        connection.shutdown(socket.SHUT_WR)
        answered = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert answered.count("HTTP/1.1 ") <= 1 and " 200 " not in answered, answered
    assert call(backend, "POST", "/create/conversation", b'{"visitor_user_id":"mary"}')[0] == 201, "it goes on"


def test_what_the_relay_did_not_sign_is_refused(backend):
    target, body = "/create/conversation?a=b+c%20d", b'{"visitor_user_id":"mary"}'
    status, refused, answer = call(backend, "POST", target, body)
    assert (status, refused, answer["status_code"], answer["data"]["tenant_id"]) == (201, None, 201, TENANT)
    assert call(backend, "POST", target, body, age_ms=29_000)[0] == 201
    assert call(backend, "POST", target, body, secret="the-next-relay-secret")[0] == 201
    assert call(backend, "POST", target, body, actor="visitor:vs_1")[:2] == (401, "caller")
    for wrong in (
        {"secret": "another-relay-secret-of-tests"},
        {"secret": f"the-next-relay-secret,{RELAY_SECRET}"},
        {"secret": ""},
        {"age_ms": 31_000},
        {"age_ms": -31_000},
        *({"signed": {field: value}} for field, value in (
            ("method", "GET"), ("target", "/create/conversation"), ("tenant", str(uuid.uuid4())), ("actor", "operator:1"),
            ("body", b"{}"),
        )),
        *({"drop": [f"X-Relay-{name}"]} for name in ("Timestamp", "Tenant-Id", "Actor", "Signature")),
    ):
        status, refused, answer = call(backend, "POST", target, body, **wrong)
        assert (status, refused, answer["error_code"]) == (401, "signature", "invalid_relay_signature"), wrong
        assert answer["request_id"] == "the-request"


def test_with_a_wrong_relay_secret_tenants_read_502(command, tmp_path):
    with example(command, "another-relay-secret-of-tests") as (url, stop):
        with relay_before(tmp_path, url) as relay, new_tenant(relay) as chat:
            with pytest.raises(ChatRelayError) as refused:
                chat.create_conversation(visitor_user_id="mary")
        assert (refused.value.status_code, refused.value.body["error_code"]) == (502, "backend_refused_relay")
        log = stop()
    assert "the signature does not match" in log, log
    assert "another-relay-secret" not in log and "Traceback" not in log, log


@pytest.mark.parametrize("secret", ["", "short", f"{RELAY_SECRET},", ","])
def test_without_a_secret_nothing_starts(command, secret):
    ended = subprocess.run([*command, "0"], env=environment(secret), capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 1 and "CHAT_BACKEND_RELAY_SECRET" in ended.stderr


def test_the_pages_commands_start_a_backend_and_a_relay(tmp_path):
    page = (EXAMPLES / "README.md").read_text()
    script = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    # The debug build and free ports in the place of the release build and the default ports.
    assert script.count("cargo run --release --") == 1
    options = " ".join(f"--{name}listen 127.0.0.1:0" for name in ("", "admin-", "grpc-", "ops-"))
    chat_relay = f"{target_dir() / 'debug' / 'chat-relay'} --data-dir {tmp_path / 'data'} {options}"
    script = script.replace("cargo run --release --", chat_relay)
    with open(tmp_path / "log", "w+") as log:
        process = subprocess.Popen(
            ["bash", "-c", f"set -eu\n{script}"], cwd=ROOT, start_new_session=True, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + PATIENCE_S
            while "the chat backend accepts this gateway's signature" not in (told := (tmp_path / "log").read_text()):
                assert process.poll() is None and time.monotonic() < deadline, told
                time.sleep(0.1)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=PATIENCE_S)
