"""The published adapters get the nine events of a conversation while admin service, chat backend and gateway are killed in turn."""

import collections
import concurrent.futures
import http.client
import random
import socket
import time

import httpx
import pytest
from bloonio_chat_relay_client import ChatRelayError, MessageRole, WebhookEventType

from conftest import PATIENCE_S, Operated, Service, admin_service, gateway
from receivers import DjangoReceiver, FastApiReceiver, running
from tenants import RELAY_SECRET, Tenant, ids, sent_to, what_an_operator_does

# How often each process is killed.
CRASHES = 5


def lasting_address():
    """An address that stays free while its process is down: outside the range that the system picks ports from."""
    while True:
        with socket.socket() as probe:
            address = ("127.0.0.1", random.randrange(10_000, 30_000))
            if probe.connect_ex(address) != 0:
                return f"{address[0]}:{address[1]}"


class ThreeProcesses(Operated):
    """A deployment as in production: each process may be killed by itself, and comes back at its address with its data."""

    def __init__(self, data_dir):
        rest, grpc, backend, relay = (lasting_address() for _ in range(4))
        self.relay = f"http://{relay}"
        self._addresses = {"admin-rest": rest, "chat-backend": backend, "gateway": relay}
        admin_env = {
            "ADMIN_REST_LISTEN": rest,
            "ADMIN_GRPC_LISTEN": grpc,
            "ADMIN_RELAY_SECRETS": RELAY_SECRET,
            "ADMIN_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            # A claim of a process that was killed stands twice as long.
            "ADMIN_WEBHOOK_TIMEOUT_MS": "1000",
            "ADMIN_WEBHOOK_RETRY_BASE_MS": "200",
            "ADMIN_LEASE_MS": "1000",
        }
        backend_env = {
            "CHAT_BACKEND_LISTEN": backend,
            "CHAT_BACKEND_DATA_DIR": str(data_dir),
            "CHAT_BACKEND_RELAY_SECRET": RELAY_SECRET,
            "CHAT_BACKEND_EVENTS_URL": f"http://{rest}",
            "CHAT_BACKEND_LOG_FORMAT": "json",
        }
        gateway_env = {"GATEWAY_CHAT_BACKEND_URL": f"http://{backend}", "GATEWAY_RELAY_SECRET": RELAY_SECRET}
        self.services = {
            "admin-rest": admin_service(data_dir, **admin_env),
            "chat-backend": Service("chat-relay", "backend", **backend_env),
            "gateway": gateway(relay, f"http://{grpc}", f"http://{rest}", **gateway_env),
        }
        for name, service in self.services.items():
            service.url(name)

    def url(self, server):
        return f"http://{self._addresses[server]}"

    def crash_in_turn(self):
        for _ in range(CRASHES):
            for name, service in self.services.items():
                time.sleep(random.uniform(0, 0.3))
                service.crash()
                service.url(name)

    def stop(self):
        for service in reversed(self.services.values()):
            service.stop()


def until_it_succeeds(call):
    """What a call returns that is made again while processes are down, as a careful caller does."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except ChatRelayError as refused:
            if refused.status_code not in (502, 503, 504) or time.monotonic() > deadline:
                raise
        except (httpx.TransportError, http.client.HTTPException, OSError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def publish(tenant, events):
    status, answer = tenant.publish_answer(events)
    if status != 200:
        raise ChatRelayError(status, str(answer))


def converse(tenant):
    """A conversation until a person has answered, and its ticket."""
    with tenant.client() as chat:
        conversation = until_it_succeeds(lambda: chat.create_conversation(visitor_user_id="user-123", locale="en"))
        until_it_succeeds(lambda: chat.send_message(conversation.id, content="I want to talk to a person."))

        def its_ticket():
            (ticket,) = [ticket for ticket in chat.list_tickets() if ticket.conversation_id == conversation.id]
            return ticket

        ticket = until_it_succeeds(its_ticket)
        until_it_succeeds(lambda: chat.send_message(conversation.id, role=MessageRole.AGENT, content="Hello, this is Ada."))
    return conversation, ticket


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A tenant for each adapter, its receiver, and its conversation, which went on until every process had been killed five times."""
    relay = ThreeProcesses(tmp_path_factory.mktemp("dying"))
    try:
        with running(FastApiReceiver()) as fastapi, running(DjangoReceiver()) as django:
            tenants = []
            for receiver in (fastapi, django):
                tenant = Tenant(relay, **sent_to(receiver))
                receiver.become(tenant.id, tenant.secret)
                tenant.conversations = []
                tenants.append((tenant, receiver))
            # Its end waits for the crashes, whatever happens meanwhile: nothing is started again once the relay has stopped.
            with concurrent.futures.ThreadPoolExecutor(max_workers=1) as background:
                dying = background.submit(relay.crash_in_turn)
                while not dying.done():
                    for tenant, _ in tenants:
                        conversation, ticket = converse(tenant)
                        published = what_an_operator_does(conversation, ticket)
                        until_it_succeeds(lambda: publish(tenant, published))
                        tenant.conversations.append(conversation.id)
            dying.result()
            yield tenants
    finally:
        relay.stop()


@pytest.mark.parametrize("which", (0, 1), ids=("fastapi", "django"))
def test_each_receiver_gets_the_nine_events_of_each_conversation_in_order(played, which):
    tenant, receiver = played[which]
    assert tenant.conversations, "nothing was played"

    def all_came(events):
        of = collections.defaultdict(set)
        for event in events:
            of[event.conversation_id].add(event.event_type)
        return all(of[conversation] == set(WebhookEventType) for conversation in tenant.conversations)

    receiver.inbox.wait_for(all_came)
    pulled = tenant.pull(limit=100)
    for event in pulled:
        tenant.wait_for_state(event["event_id"], "delivered")
    assert [event["seq"] for event in pulled] == list(range(1, len(pulled) + 1))

    events = receiver.inbox.items
    assert set(ids(events)) == {event["event_id"] for event in pulled}, "what was pulled is what has come"
    first = {}
    for event in events:
        # Killed between the receiver's 200 and its own commit, the service sends an event again: the same one.
        assert first.setdefault(event.extra["event_id"], event) == event
    for conversation in {event["conversation_id"] for event in pulled}:
        in_order = [event_id for event_id, event in first.items() if event.conversation_id == conversation]
        assert in_order == [event["event_id"] for event in pulled if event["conversation_id"] == conversation]
    doubled = len(events) - len(first)
    print(f"{len(tenant.conversations)} conversations, {len(first)} events, {doubled} of them sent again")
    # What was in flight when the admin service was killed: eight attempts for a receiver.
    assert doubled <= CRASHES * 8
