"""A tenant that gets events: the calls of its own backend, of its operator and of its chat backend, and a conversation with nine events."""

import datetime
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

from bloonio_chat_relay_client import ChatRelayClient, ChatRelaySettings, MessageRole
from bloonio_chat_relay_client.core.hmac import auth_headers

from conftest import PATIENCE_S

# One secret for the gateway's calls and for what backends publish.
RELAY_SECRET = "a-relay-secret-for-tests-of-events"


def call(request):
    """The status and the body of an answer, whatever its status."""
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def sent_to(receiver):
    """The tenant's settings that send its events to a receiver."""
    return {"callback_url_base": receiver.url}


class Tenant:
    """A tenant, and the calls of its own backend, of its operator and of its chat backend."""

    def __init__(self, relay, **settings):
        self.relay = relay
        self.provisioned = relay.provision(rate_limit_per_min=6000, **settings)
        self.id, self.secret = self.provisioned["tenant_id"], self.provisioned["tenant_secret"]

    def client(self):
        return ChatRelayClient(
            ChatRelaySettings(base_url=self.relay.relay, tenant_id=self.id, tenant_secret=self.secret)
        )

    def answer(self, method, path, body=None):
        """Status and body of a signed call."""
        sent = b"" if body is None else json.dumps(body).encode()
        headers = auth_headers(self.id, self.secret, sent)
        if sent:
            headers["Content-Type"] = "application/json"
        url = f"{self.relay.relay}/api/v1/relay/{path}"
        return call(urllib.request.Request(url, data=sent or None, headers=headers, method=method))

    def signed(self, method, path, body=None):
        status, answer = self.answer(method, path, body)
        assert status == 200, answer
        return answer["data"]

    def admin(self, method, path, body=None):
        joint = "&" if "?" in path else "?"
        return self.relay.admin(method, f"{path}{joint}tenant_id={self.id}", body)

    def publish_answer(self, events, *, usage=(), actor="backend", secret=RELAY_SECRET):
        """Status and body of publishing, under HMAC#2 as PROTOCOL.md, section 4.11, says it."""
        path = "/internal/publish/events"
        body = json.dumps({"events": list(events), "usage": list(usage)}).encode()
        timestamp = str(time.time_ns() // 1_000_000)
        fields = [timestamp, "POST", path, self.id, actor, hashlib.sha256(body).hexdigest()]
        headers = {
            "Content-Type": "application/json",
            "X-Relay-Tenant-Id": self.id,
            "X-Relay-Timestamp": timestamp,
            "X-Relay-Actor": actor,
            "X-Relay-Signature": hmac.new(secret.encode(), "\n".join(fields).encode(), hashlib.sha256).hexdigest(),
        }
        return call(urllib.request.Request(f"{self.relay.url('admin-rest')}{path}", data=body, headers=headers))

    def publish(self, *events):
        status, answer = self.publish_answer(events)
        assert status == 200, answer
        return answer["data"]["items"]

    def pull(self, limit=3):
        """Every event, page by page, to the end."""
        events, cursor = [], ""
        while True:
            page = self.signed("GET", f"fetch/events?limit={limit}&cursor={urllib.parse.quote(cursor)}")
            assert page["next_cursor"] and len(page["items"]) <= limit
            cursor = page["next_cursor"]
            events += page["items"]
            if not page["items"]:
                return events

    def fetch(self, event_id):
        return self.signed("GET", f"fetch/event?event_id={urllib.parse.quote(event_id)}")

    def wait_for_state(self, event_id, state):
        # The receiver has an event a moment before the relay has recorded the receiver's answer.
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.fetch(event_id))["event"]["state"] != state:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def an_event(event_type, **fields):
    return {"event_id": f"test-{uuid.uuid4()}", "event_type": event_type, "occurred_at": now(), **fields}


def ids(events):
    """The ids of WebhookEvent objects, which have them in `extra` alone."""
    return [event.extra["event_id"] for event in events]


def chat_until_a_person_answers(tenant):
    """A visitor asks for a person, and a person answers: five events of one conversation, by the reference backend."""
    with tenant.client() as chat:
        conversation = chat.create_conversation(visitor_user_id="user-123", visitor_display_name="Mary", locale="en")
        chat.send_message(conversation.id, content="I want to talk to a person.")
        (ticket,) = chat.list_tickets()
        assert ticket.conversation_id == conversation.id
        chat.send_message(conversation.id, role=MessageRole.AGENT, content="Hello, this is Ada.")
    return conversation, ticket


def what_an_operator_does(conversation, ticket):
    """The other four events, as a chat backend with operators publishes them."""
    operator = {"operator_id": "op-1", "operator_display_name": "Ada", "visitor_session_id": "vs_1", "claim_count": 1}
    of = {"conversation_id": conversation.id}
    claimed, released = now(), now()
    return [
        an_event("agent_assigned", **of, status="ASSIGNED", claimed_at=claimed, **operator),
        an_event("agent_released", **of, status="WAITING", claimed_at=claimed, released_at=released, **operator),
        an_event("agent_resolved", **of, status="RESOLVED", claimed_at=claimed, resolved_at=now(), **operator),
        an_event("ticket_resolved", **of, ticket_id=ticket.id, ticket_number=ticket.ticket_number, agent_user_id="op-1"),
    ]
