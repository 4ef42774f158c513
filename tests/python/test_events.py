"""Events from end to end: published by the reference backend and by this test, delivered to real receivers, pulled and replayed."""

import base64
import contextlib
import datetime
import json
import re
import subprocess
import time
import urllib.request
import uuid

import pytest
from bloonio_chat_relay_client import WebhookEventType
from bloonio_chat_relay_client.core.hmac import verify
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook

from conftest import PATIENCE_S, ROOT, Deployment
from receivers import PAGE, PREFIX, DjangoReceiver, FastApiReceiver, PlainReceiver, Recorder, running
from tenants import RELAY_SECRET, Tenant, an_event, call, chat_until_a_person_answers, ids, now, sent_to, what_an_operator_does

NINE = sorted(event_type.value for event_type in WebhookEventType)
OF_AN_OPERATOR = (
    "status", "operator_id", "operator_display_name", "visitor_session_id", "claim_count",
    "claimed_at", "released_at", "resolved_at",
)


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    deployment = Deployment(
        tmp_path_factory.mktemp("events"),
        CHAT_RELAY_RELAY_SECRET=RELAY_SECRET,
        # The first pause; each further pause is four times the one before.
        CHAT_RELAY_WEBHOOK_RETRY_BASE_MS="200",
    )
    yield deployment
    deployment.stop()


@pytest.fixture(scope="module")
def world(relay):
    """Two tenants with receivers of the published adapters, and a conversation with nine events at each, all delivered."""
    with contextlib.ExitStack() as stack:
        tenants = []
        for kind in (FastApiReceiver, DjangoReceiver):
            receiver = stack.enter_context(running(kind()))
            tenant = Tenant(relay, **sent_to(receiver))
            receiver.become(tenant.id, tenant.secret)
            tenants.append((tenant, receiver))
        for tenant, receiver in tenants:
            tenant.conversation, tenant.ticket = chat_until_a_person_answers(tenant)
            # The reference backend publishes from its outbox, a moment after its answer: its events come first.
            receiver.inbox.wait_for_count(5)
            tenant.published = what_an_operator_does(tenant.conversation, tenant.ticket)
            tenant.publish(*tenant.published)
        for tenant, receiver in tenants:
            receiver.inbox.wait_for_count(9)
            for event in tenant.pull():
                tenant.wait_for_state(event["event_id"], "delivered")
        yield tenants


@pytest.fixture(params=(0, 1), ids=("fastapi", "django"))
def tenant_and_receiver(world, request):
    return world[request.param]


def test_each_receiver_gets_each_of_the_nine_events_once(tenant_and_receiver):
    tenant, receiver = tenant_and_receiver
    # The tests below send more: the first nine are the conversation's.
    got = receiver.inbox.items[:9]
    assert sorted(event.event_type.value for event in got) == NINE
    assert len(set(ids(got))) == 9
    assert {str(event.tenant_id) for event in got} == {tenant.id}
    assert {event.conversation_id for event in got} == {tenant.conversation.id}

    by_type = {event.event_type.value: event for event in got}
    assert by_type["conversation_started"].visitor_user_id == "user-123"
    assert by_type["message_received"].message_id
    for event_type in ("ticket_created", "ticket_assigned", "ticket_resolved"):
        event = by_type[event_type]
        assert (event.ticket_id, event.ticket_number) == (tenant.ticket.id, tenant.ticket.ticket_number), event_type
    assert by_type["escalation_triggered"].escalation_reason.value == "user_request"
    for event in tenant.published[:3]:
        delivered = by_type[event["event_type"]]
        assert delivered.agent_user_id == event["operator_id"]
        wanted = {field: event[field] for field in OF_AN_OPERATOR if field in event}
        assert {field: delivered.extra.get(field) for field in wanted} == wanted


def test_what_is_pulled_is_what_was_delivered_in_its_order_without_a_gap(tenant_and_receiver):
    tenant, receiver = tenant_and_receiver
    pulled = tenant.pull()
    assert [event["seq"] for event in pulled] == list(range(1, len(pulled) + 1))
    nine = pulled[:9]
    assert [event["event_id"] for event in nine] == ids(receiver.inbox.items[:9])
    for event in nine:
        assert (event["state"], event["attempts"], event["next_attempt_at"]) == ("delivered", 1, None), event
        assert event["tenant_id"] == tenant.id and event["extra"]["event_id"] == event["event_id"]
        assert None not in [value for field, value in event.items() if field != "next_attempt_at"]
    agents = [event for event in nine if event["event_type"].startswith("agent_")]
    for event, published in zip(agents, tenant.published[:3], strict=True):
        for field in OF_AN_OPERATOR:
            assert event.get(field) == event["extra"].get(field) == published.get(field), field
    # The size of a page changes nothing, and operators read the same list.
    assert tenant.pull(limit=500) == pulled
    assert tenant.admin("GET", "/fetch/events?limit=500")["items"] == pulled[::-1], "newest first"


def test_tenants_are_apart(world):
    (one, one_receiver), (other, other_receiver) = world
    assert not set(ids(one_receiver.inbox.items)) & set(ids(other_receiver.inbox.items))
    foreign = one.pull()[0]["event_id"]
    for method, path, body in (
        ("GET", f"fetch/event?event_id={foreign}", None),
        ("POST", "replay/event", {"event_id": foreign}),
    ):
        status, answer = other.answer(method, path, body)
        assert (status, answer["error_code"]) == (404, "event_not_found"), answer


def test_a_rotation_a_replay_and_a_test_event(tenant_and_receiver):
    tenant, receiver = tenant_and_receiver
    before = len(receiver.inbox.items)
    chosen = tenant.pull()[1]

    # The receiver does not have the new secret yet: it answers 401, and the event is sent again.
    tenant.secret = tenant.admin("POST", "/rotate/tenant-secret")["tenant_secret"]
    late = an_event("message_received", conversation_id=tenant.conversation.id, message_id="m-late")
    tenant.publish(late)
    deadline = time.monotonic() + PATIENCE_S
    while not (attempts := tenant.fetch(late["event_id"])["attempts"]):
        assert time.monotonic() < deadline, "no attempt was made"
        time.sleep(0.02)
    assert {attempt["status"] for attempt in attempts} == {401}, attempts
    assert len(receiver.inbox.items) == before
    receiver.become(tenant.id, tenant.secret)
    assert ids(receiver.inbox.wait_for_count(before + 1))[before:] == [late["event_id"]]
    found = tenant.wait_for_state(late["event_id"], "delivered")
    assert found["event"]["attempts"] == len(found["attempts"]) >= 2
    assert [attempt["status"] for attempt in found["attempts"]][-1] == 200

    # A replay has the same id and the same body.
    replayed = tenant.signed("POST", "replay/event", {"event_id": chosen["event_id"]})["event"]
    assert (replayed["event_id"], replayed["seq"]) == (chosen["event_id"], chosen["seq"])
    *_, again = receiver.inbox.wait_for_count(before + 2)
    (first,) = [event for event in receiver.inbox.items[:9] if event.extra["event_id"] == chosen["event_id"]]
    assert again == first

    sent = tenant.signed("POST", "send/test-event", {"event_type": "ticket_assigned"})["event"]
    *_, test = receiver.inbox.wait_for_count(before + 3)
    assert (test.event_type.value, test.extra["event_id"]) == ("ticket_assigned", sent["event_id"])
    assert test.extra["test"] is True

    # Nothing came that is not on the list, and the list has no gap.
    pulled = tenant.pull()
    assert [event["seq"] for event in pulled] == list(range(1, len(pulled) + 1))
    assert set(ids(receiver.inbox.items)) == {event["event_id"] for event in pulled}


def test_a_contact_form_reaches_a_receiver_that_does_not_know_contact_submitted(relay):
    with running(FastApiReceiver()) as receiver:
        tenant = Tenant(relay, **sent_to(receiver))
        receiver.become(tenant.id, tenant.secret)
        with tenant.client() as chat:
            chat.create_contact_ticket(
                customer_email="mary@example.com", customer_name="Mary", subject="Invoice", message="Where is it?", locale="en"
            )

        def has_come(events):
            return {"ticket_created", "escalation_triggered"} <= {event.event_type.value for event in events}

        got = receiver.inbox.wait_for(has_come)
        (escalation,) = [event for event in got if event.event_type is WebhookEventType.ESCALATION_TRIGGERED]
        assert (escalation.escalation_reason.value, escalation.extra["source"]) == ("direct", "contact_form")
        deadline = time.monotonic() + PATIENCE_S
        while not (forms := [event for event in tenant.pull() if event["event_type"] == "contact_submitted"]):
            assert time.monotonic() < deadline, "contact_submitted was not published"
            time.sleep(0.02)
        (form,) = forms
        found = tenant.wait_for_state(form["event_id"], "parked")
        assert [attempt["status"] for attempt in found["attempts"]] == [404]
        assert tenant.admin("GET", "/fetch/tenant")["endpoint_state"] == "active"


def test_the_receiver_of_the_page_verifies_and_prints_each_event_once(relay, tmp_path):
    # The page's receiver needs the secret at its start, so the tenant gets its URL afterwards.
    tenant = Tenant(relay)
    receiver = PlainReceiver(tmp_path, tenant.secret)
    try:
        tenant.admin("POST", "/update/tenant", sent_to(receiver))
        events = [an_event("message_received", conversation_id="c1", message_id=f"m{number}") for number in range(5)]
        tenant.publish(*events)
        wanted = [("message_received", event["event_id"]) for event in events]
        assert receiver.inbox.wait_for_count(5) == wanted
        # A copy is acknowledged, and not processed again.
        tenant.wait_for_state(events[0]["event_id"], "delivered")
        tenant.signed("POST", "replay/event", {"event_id": events[0]["event_id"]})
        last = an_event("message_received", conversation_id="c2", message_id="m5")
        deadline = time.monotonic() + PATIENCE_S
        while len(tenant.fetch(events[0]["event_id"])["attempts"]) < 2:
            assert time.monotonic() < deadline, "the replay was not sent"
            time.sleep(0.02)
        tenant.publish(last)
        assert receiver.inbox.wait_for_count(6) == [*wanted, ("message_received", last["event_id"])]
        # What the relay did not sign is refused.
        strange = urllib.request.Request(
            f"{receiver.url}{PREFIX}/message-received",
            data=b"{}", headers={"X-Bloonio-Timestamp": "1", "X-Bloonio-Signature": "0" * 64},
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(strange, timeout=PATIENCE_S)
        assert refused.value.code == 401
    finally:
        log = receiver.stop()
    assert "Traceback" not in log, log
    assert log.count('" 200 ') == 7 and log.count('" 401 ') == 1, log


def worked_example(name):
    page = (ROOT / "PROTOCOL.md").read_text()
    (example,) = [
        example
        for example in map(json.loads, re.findall(r"```json\n(\{\n.*?\n\})\n```", page, re.DOTALL))
        if example["example"] == name
    ]
    return example


def test_a_delivery_has_the_form_of_the_protocols_example(relay):
    example = json.loads(worked_example("delivery")["body"])
    with running(Recorder("/v2/")) as receiver:
        tenant = Tenant(relay, **sent_to(receiver))
        event = {
            **{field: value for field, value in example.items() if field not in ("tenant_id", "extra")},
            "event_id": f"test:{uuid.uuid4()}",
            "occurred_at": now(),
        }
        tenant.publish(event)
        ((path, headers, body),) = receiver.inbox.wait_for_count(1)
        assert path == f"/v2{PREFIX}/message-received"
        delivered = json.loads(body)
        assert delivered == {**event, "tenant_id": tenant.id, "extra": {"event_id": event["event_id"]}}
        assert list(delivered) == list(example), "the order of the example"
        assert body == json.dumps(delivered, separators=(",", ":"), ensure_ascii=False).encode(), "compact"
        assert headers["content-type"] == "application/json"
        assert (headers["x-bloonio-tenant-id"], headers["x-bloonio-event-id"]) == (tenant.id, event["event_id"])
        timestamp, signature = headers["x-bloonio-timestamp"], headers["x-bloonio-signature"]
        assert verify(tenant.secret, body, timestamp, signature) and re.fullmatch(r"[0-9a-f]{64}", signature)
        assert abs(time.time() * 1000 - int(timestamp)) < PATIENCE_S * 1000


def verified_by_the_npm_library(secret, body, headers):
    """What the body says, or the library's error."""
    delivery = json.dumps({"secret": secret, "body": body.decode(), "headers": headers})
    program = ROOT / "tests" / "node" / "verify.mjs"
    run = subprocess.run(["node", program], input=delivery, capture_output=True, text=True, timeout=PATIENCE_S)
    return json.loads(run.stdout) if run.returncode == 0 else run.stderr


def test_standard_webhooks_verify_with_the_public_libraries(relay):
    with running(Recorder("/hooks/chat")) as receiver:
        tenant = Tenant(relay, webhook_format="standard", **sent_to(receiver))
        secret = base64.urlsafe_b64decode(tenant.secret.removeprefix("sk_") + "=")
        webhook_secret = tenant.provisioned["webhook_secret"]
        assert webhook_secret == "whsec_" + base64.b64encode(secret).decode()
        shown = tenant.admin("GET", "/fetch/tenant")
        assert webhook_secret not in shown.values() and shown["webhook_format"] == "standard"
        public_key = base64.b64decode(shown["webhook_public_key"].removeprefix("whpk_"))

        event = an_event("ticket_created", ticket_id="t1", ticket_number="TCK-000001", extra={"note": "é\u2028\U0001f600"})
        tenant.publish(event)
        ((path, headers, body),) = receiver.inbox.wait_for_count(1)
        assert path == "/hooks/chat"
        expected = {
            "type": "ticket_created",
            "timestamp": event["occurred_at"],
            "data": {**event, "tenant_id": tenant.id, "extra": {**event["extra"], "event_id": event["event_id"]}},
        }
        assert Webhook(webhook_secret).verify(body, headers) == expected
        assert verified_by_the_npm_library(webhook_secret, body, headers) == expected
        tampered = body.replace(b"TCK-000001", b"TCK-000002")
        assert "No matching signature found" in verified_by_the_npm_library(webhook_secret, tampered, headers)

        assert headers["webhook-id"] == event["event_id"] and not [name for name in headers if name.startswith("x-bloonio-")]
        to_sign = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signatures = dict(part.split(",", 1) for part in headers["webhook-signature"].split(" "))
        assert set(signatures) == {"v1", "v1a"}
        Ed25519PublicKey.from_public_bytes(public_key).verify(base64.b64decode(signatures["v1a"]), to_sign)

        # The next event is signed under the new secret.
        rotated = tenant.admin("POST", "/rotate/tenant-secret")
        tenant.secret = rotated["tenant_secret"]
        tenant.publish(an_event("ticket_resolved", ticket_id="t1"))
        *_, (_, headers, body) = receiver.inbox.wait_for_count(2)
        assert Webhook(rotated["webhook_secret"]).verify(body, headers)["type"] == "ticket_resolved"
        # An Ed25519 signature needs no secret: the key is the same after a rotation.
        assert tenant.admin("GET", "/fetch/tenant")["webhook_public_key"] == shown["webhook_public_key"]


def test_the_key_set_has_the_key_of_standard_webhooks(relay):
    tenant = Tenant(relay, webhook_format="standard", callback_url_base="http://127.0.0.1:59999")
    shown = tenant.admin("GET", "/fetch/tenant")["webhook_public_key"]
    x = base64.urlsafe_b64encode(base64.b64decode(shown.removeprefix("whpk_"))).decode().rstrip("=")
    with urllib.request.urlopen(f"{relay.relay}/.well-known/jwks.json", timeout=PATIENCE_S) as answer:
        keys = json.load(answer)["keys"]
    (key,) = [key for key in keys if key["kid"].startswith("wh_") and key["x"] == x]
    assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")


def test_while_one_event_is_retried_its_conversation_waits_and_others_go_on(relay):
    with running(Recorder()) as receiver:
        tenant = Tenant(relay, **sent_to(receiver))
        receiver.status = 500
        waiting = [an_event("message_received", conversation_id="c1", message_id=f"m{number}") for number in range(3)]
        tenant.publish(*waiting)
        receiver.inbox.wait_for_count(2)
        tried = {headers["x-bloonio-event-id"] for _, headers, _ in receiver.inbox.items}
        assert tried == {waiting[0]["event_id"]}, "only the first of its conversation is tried"
        receiver.status = 204
        other = an_event("message_received", conversation_id="c2", message_id="m9")
        tenant.publish(other)

        def all_came(requests):
            return {headers["x-bloonio-event-id"] for _, headers, _ in requests} == {
                event["event_id"] for event in [*waiting, other]
            }

        came = [json.loads(body) for _, _, body in receiver.inbox.wait_for(all_came)]
        of_c1 = [event["event_id"] for event in came if event["conversation_id"] == "c1"]
        in_order = list(dict.fromkeys(of_c1))
        assert in_order == [event["event_id"] for event in waiting], "in the order of publishing"
        # The body is the same on each attempt.
        first = [body for _, _, body in receiver.inbox.items if json.loads(body)["event_id"] == waiting[0]["event_id"]]
        assert len(first) >= 3 and len(set(first)) == 1


@pytest.mark.parametrize("status", (400, 404, 405, 422))
def test_an_event_that_is_refused_for_good_is_parked_and_holds_up_nothing(relay, status):
    with running(Recorder()) as receiver:
        tenant = Tenant(relay, **sent_to(receiver))
        receiver.status = status
        first, second = (an_event("message_received", conversation_id="c1", message_id=name) for name in ("m1", "m2"))
        tenant.publish(first)
        found = tenant.wait_for_state(first["event_id"], "parked")
        assert [attempt["status"] for attempt in found["attempts"]] == [status]
        receiver.status = 204
        tenant.publish(second)
        tenant.wait_for_state(second["event_id"], "delivered")
        since = urllib.parse.quote(first["occurred_at"])
        (parked,) = tenant.admin("GET", f"/fetch/events?state=parked&event_type=message_received&since={since}")["items"]
        assert parked["event_id"] == first["event_id"]
        replayed = tenant.signed("POST", "replay/events", {"since": first["occurred_at"], "state": "parked"})
        assert replayed["replayed"] == 1
        tenant.wait_for_state(first["event_id"], "delivered")


@pytest.mark.parametrize("by", ("tenant", "operator", "callback"))
def test_410_stops_the_endpoint_and_what_was_held_comes_in_order(relay, by):
    with running(Recorder()) as receiver:
        tenant = Tenant(relay, **sent_to(receiver))
        receiver.status = 410
        events = [an_event("message_received", conversation_id="c1", message_id=f"m{number}") for number in range(3)]
        tenant.publish(*events)
        tenant.wait_for_state(events[0]["event_id"], "held")
        tenant.wait_for_state(events[2]["event_id"], "held")
        assert tenant.admin("GET", "/fetch/tenant")["endpoint_state"] == "stopped"
        assert len(receiver.inbox.items) == 1, "nothing is sent to a stopped endpoint"
        receiver.status = 204
        if by == "tenant":
            assert tenant.signed("POST", "start/endpoint")["endpoint_state"] == "active"
        elif by == "operator":
            assert tenant.admin("POST", "/start/endpoint")["endpoint_state"] == "active"
        else:
            tenant.admin("POST", "/update/tenant", {"callback_url_base": f"{receiver.url}/v2"})
        requests = receiver.inbox.wait_for_count(4)
        wanted = [event["event_id"] for event in events]
        assert [headers["x-bloonio-event-id"] for _, headers, _ in requests[1:]] == wanted
        assert tenant.admin("GET", "/fetch/tenant")["endpoint_state"] == "active"


def test_a_suspension_holds_and_a_reactivation_sends(relay):
    with running(Recorder()) as receiver:
        tenant = Tenant(relay, **sent_to(receiver))
        tenant.admin("POST", "/suspend/tenant")
        event = an_event("message_received", conversation_id="c1", message_id="m1")
        tenant.publish(event)
        (held,) = tenant.admin("GET", "/fetch/events")["items"]
        assert (held["event_id"], held["state"]) == (event["event_id"], "held") and receiver.inbox.items == []
        tenant.admin("POST", "/reactivate/tenant")
        receiver.inbox.wait_for_count(1)
        tenant.wait_for_state(event["event_id"], "delivered")


def test_without_a_callback_url_events_are_kept_for_pull_and_sent_only_by_a_replay(relay):
    tenant = Tenant(relay)
    event = an_event("conversation_started", conversation_id="c1", visitor_user_id="user-1")
    tenant.publish(event)
    assert [(kept["event_id"], kept["state"]) for kept in tenant.pull()] == [(event["event_id"], "no_endpoint")]
    assert tenant.admin("GET", "/fetch/tenant")["endpoint_state"] == "none"
    for path, body in (("replay/event", {"event_id": event["event_id"]}), ("send/test-event", {})):
        status, answer = tenant.answer("POST", path, body)
        assert (status, answer["error_code"]) == (409, "no_endpoint"), answer
    with running(Recorder()) as receiver:
        tenant.admin("POST", "/update/tenant", sent_to(receiver))
        later = an_event("message_received", conversation_id="c1", message_id="m1")
        tenant.publish(later)
        tenant.wait_for_state(later["event_id"], "delivered")
        assert tenant.fetch(event["event_id"])["event"]["state"] == "no_endpoint"
        tenant.admin("POST", f"/replay/event?event_id={event['event_id']}")
        tenant.wait_for_state(event["event_id"], "delivered")
        came = [headers["x-bloonio-event-id"] for _, headers, _ in receiver.inbox.items]
        assert came == [later["event_id"], event["event_id"]]


def test_publishing_takes_all_or_nothing_and_nothing_twice(relay):
    tenant = Tenant(relay)
    event = an_event("message_received", conversation_id="c1", message_id="m1")
    usage = [{"message_id": "m1", "created_at": event["occurred_at"]}]
    for _ in range(2):
        status, answer = tenant.publish_answer([event], usage=usage)
        assert (status, answer["data"]["items"]) == (200, [{"event_id": event["event_id"], "seq": 1}])
    assert tenant.publish() == []

    good = an_event("message_received", conversation_id="c1", message_id="m2")
    other = {**event, "message_id": "another"}
    for events, expected, error_code, told in (
        ([good, other], 409, "event_id_reused", event["event_id"]),
        ([good, {**good, "event_id": "a b"}], 422, "validation_failed", "events[1].event_id"),
        ([good, an_event("no_such_event")], 422, "validation_failed", "events[1].event_type"),
        ([good, an_event("message_received", extra=None)], 422, "validation_failed", "events[1].extra"),
        ([good, an_event("message_received", claim_count=1)], 422, "validation_failed", "events[1].claim_count"),
        ([good, an_event("escalation_triggered", escalation_reason="bored")], 422, "validation_failed", "escalation_reason"),
        ([good, an_event("message_received", extra={"a": "x" * 17_000})], 422, "validation_failed", "events[1].extra"),
        ([an_event("message_received") for _ in range(101)], 422, "validation_failed", "events"),
    ):
        status, answer = tenant.publish_answer(events)
        assert (status, answer["error_code"]) == (expected, error_code), answer
        assert told in json.dumps(answer), answer
    for wrong in ({"secret": "another-relay-secret-of-tests"}, {"actor": "tenant"}, {"actor": "visitor:vs_1"}):
        status, answer = tenant.publish_answer([good], **wrong)
        assert (status, answer["error_code"]) == (401, "invalid_relay_signature"), answer
    assert [kept["event_id"] for kept in tenant.pull()] == [event["event_id"]], "nothing of a refused call is kept"
    # The relay's own address, which tenants reach, does not take it.
    request = urllib.request.Request(f"{relay.relay}/internal/publish/events", data=b"{}")
    assert call(request)[0] == 404

    unknown = Tenant(relay)
    unknown.id = str(uuid.uuid4())
    status, answer = unknown.publish_answer([good])
    assert (status, answer["error_code"]) == (404, "tenant_not_found"), answer


def test_the_pages_adapters_serve_the_nine_paths(monkeypatch):
    for name, value in {"BASE_URL": "http://127.0.0.1:1", "TENANT_ID": "t", "TENANT_SECRET": "s"}.items():
        monkeypatch.setenv(f"BLOONIO_CHAT_{name}", value)
    fastapi, django, standard = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    slugs = {f"{PREFIX}/{event_type.replace('_', '-')}" for event_type in NINE}
    made = {}
    exec(fastapi, made)  # The page is part of this repository.
    assert {path for path in made["app"].openapi()["paths"] if path.startswith(PREFIX)} == slugs
    exec(django, made)
    (included,) = made["urlpatterns"]
    assert {f"/{included.pattern}{pattern.pattern}" for pattern in included.url_patterns} == slugs

    exec(standard, made)
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    body, sent = b'{"type":"t","timestamp":"now","data":{"event_id":"e"}}', datetime.datetime.now(datetime.timezone.utc)
    headers = {
        "webhook-id": "e",
        "webhook-timestamp": str(int(sent.timestamp())),
        "webhook-signature": Webhook(secret).sign("e", sent, body.decode()),
    }
    assert made["read_event"](secret, body, headers) == {"event_id": "e"}
