"""Every method of the published client, sync and async, unmodified, against a running deployment."""

import asyncio
import base64
import contextlib
import inspect
import json
import sqlite3
import uuid

import pytest
from bloonio_chat_relay_client import (
    AsyncChatRelayClient,
    ChatRelayClient,
    ChatRelayError,
    MessageRole,
    TicketStatus,
    set_chat_client,
    get_chat_client,
)

from conftest import PATIENCE_S


@pytest.fixture
def chat(settings):
    with ChatRelayClient(settings) as client:
        yield client


def test_operators_are_provisioned_once_and_exchange_trust_for_a_token(chat, tenant):
    made = chat.provision_operator(email="Merchant@acme.com", display_name="Merchant", routing_keys=["sales"])
    assert made["created"] is True and made["email"] == "merchant@acme.com"
    again = chat.provision_operator(email="merchant@acme.com", display_name="Merchant", routing_keys=["support"])
    assert again["created"] is False
    assert (again["operator_id"], again["routing_keys"]) == (made["operator_id"], ["support"])
    token = chat.fetch_operator_token(email="merchant@acme.com")
    assert set(token) == {"operator_id", "display_name", "operator_token", "expires_at", "tenant_id", "routing_keys"}
    assert (token["operator_id"], token["tenant_id"]) == (made["operator_id"], tenant["tenant_id"])
    assert token["operator_token"].count(".") == 2
    with pytest.raises(ChatRelayError) as refused:
        chat.fetch_operator_token(email="nobody@acme.com")
    assert (refused.value.status_code, refused.value.body["error_code"]) == (404, "operator_not_found")


def test_contact_forms_open_a_ticket(chat, tenant):
    opened = chat.create_contact_ticket(
        customer_email="mary@example.com", customer_name="Mary", subject="Invoice", message="Where is it?",
        company="Acme", source="site", locale="en", routing_key="billing", metadata={"page": "/contact"},
    )
    assert (opened["status"], opened["tenant_id"]) == ("waiting", tenant["tenant_id"])
    assert chat.fetch_conversation(opened["conversation_id"]).visitor_display_name == "Mary"
    assert [ticket.subject for ticket in chat.list_tickets()] == ["Invoice"]


def test_conversations_are_begun_fetched_and_listed(chat, tenant):
    begun = [
        chat.create_conversation(
            visitor_user_id=visitor, visitor_display_name="Mary", locale="en", visitor_email="m@example.com",
            visitor_phone="+33 1", metadata={"order_id": "ORD-9981"},
        )
        for visitor in ("user-1", "user-2", "user-1")
    ]
    assert str(begun[0].tenant_id) == tenant["tenant_id"] and begun[0].metadata == {"order_id": "ORD-9981"}
    assert chat.fetch_conversation(begun[1].id) == begun[1]
    assert [c.id for c in chat.list_conversations()] == [c.id for c in reversed(begun)]
    assert [c.id for c in chat.list_conversations(visitor_user_id="user-1")] == [begun[2].id, begun[0].id]
    assert [c.id for c in chat.list_conversations(limit=1, offset=1)] == [begun[1].id]
    with pytest.raises(ChatRelayError) as refused:
        chat.fetch_conversation(str(uuid.uuid4()))
    assert refused.value.status_code == 404


def test_the_bot_answers_from_ingested_knowledge_and_hands_over_what_it_does_not_know(chat):
    document = chat.ingest_knowledge(
        title="Delivery", body="Orders are delivered within three days.\n\nReturns are free.", category="faq",
        language="en", tags=["delivery"],
    )
    assert (document.version, document.status.value, document.tags) == (1, "published", ["delivery"])
    conversation = chat.create_conversation(visitor_user_id="user-1", locale="en")
    sent = chat.send_message(conversation.id, content="When is my order delivered?")
    assert (sent.role, sent.content) == (MessageRole.VISITOR, "When is my order delivered?")
    question, answer = chat.list_messages(conversation.id)
    assert (question.id, answer.role, answer.content) == (sent.id, MessageRole.BOT, "Orders are delivered within three days.")
    assert answer.citations[0].document_id == document.id and 0.5 <= answer.confidence <= 1

    chat.send_message(conversation.id, content="Do you repair zeppelins?", attachments=[
        {"type": "image", "mime": "image/png", "size": 3, "url": "https://example.com/z.png"}
    ])
    messages = chat.list_messages(conversation.id, limit=10)
    assert messages[2].attachments[0].mime == "image/png"
    assert messages[3].role is MessageRole.SYSTEM
    (ticket,) = chat.list_tickets(status=TicketStatus.OPEN)
    assert (ticket.ticket_number, ticket.conversation_id) == ("TCK-000001", conversation.id)
    assert chat.fetch_ticket(ticket.id) == ticket
    assert chat.list_tickets(status=TicketStatus.CLOSED) == [] == chat.list_tickets(assignee_user_id="nobody")


def test_one_text_goes_to_many_conversations_at_once(settings):
    async def announce():
        async with AsyncChatRelayClient(settings) as chat:
            begun = await asyncio.gather(
                *(chat.create_conversation(visitor_user_id=f"user-{n}", locale="en") for n in range(60))
            )
            await asyncio.gather(
                *(chat.send_message(c.id, content="We are closed today.", role=MessageRole.AGENT) for c in begun)
            )
            return begun

    with ChatRelayClient(settings) as chat:
        heard = [[m.content for m in chat.list_messages(c.id)] for c in asyncio.run(announce())]
    assert heard == [["We are closed today."]] * 60


def test_no_attachment_hides_a_page_of_messages(chat, deployment):
    conversation = chat.create_conversation(visitor_user_id="user-1", locale="en")
    good = {"type": "image", "mime": "image/png", "size": 0, "url": "https://example.com/a.png"}
    for bad in ({**good, "size": -1}, {**good, "url": "javascript:alert(1)"}, {**good, "url": "/a.png"}):
        with pytest.raises(ChatRelayError) as refused:
            chat.send_message(conversation.id, content="bad", attachments=[bad])
        assert (refused.value.status_code, refused.value.body["error_code"]) == (422, "validation_failed")
    chat.send_message(conversation.id, content="good", role=MessageRole.AGENT, attachments=[good])
    # What was taken before there was a check is passed over.
    with contextlib.closing(sqlite3.connect(deployment.data_dir / "chat-backend.db", timeout=PATIENCE_S)) as kept, kept:
        kept.execute(
            "UPDATE message SET attachments = ? WHERE conversation_id = ?",
            (json.dumps([{}, good, {**good, "size": -1}, "x"]), conversation.id),
        )
    (message,) = chat.list_messages(conversation.id)
    assert [attachment.url for attachment in message.attachments] == [good["url"]]


def test_any_limit_is_taken_and_a_plus_is_a_plus(chat):
    begun = chat.create_conversation(visitor_user_id="mary+x@e.com", locale="en")
    assert [c.id for c in chat.list_conversations(visitor_user_id="mary+x@e.com", limit=100_000)] == [begun.id]
    assert chat.list_messages(begun.id, limit=1_000_000) == [] == chat.list_tickets(limit=501)


def test_tokens_say_what_they_are_for(chat, tenant):
    chat.provision_operator(email="merchant@acme.com", display_name="Merchant")
    claims = chat.fetch_operator_token(email="merchant@acme.com")["operator_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert claims["tids"] == {tenant["tenant_id"]: "operator"}
    assert claims["tenant_id"] == tenant["tenant_id"]


def test_visitor_tokens_and_tenant_info(chat, tenant):
    minted = chat.mint_visitor_token(visitor_user_id="user-1", visitor_email_hash="sha256:00", ttl_seconds=60)
    assert minted.token.count(".") == 2
    info = chat.fetch_tenant_info()
    assert (str(info.tenant_id), info.tenant_name, info.status) == (tenant["tenant_id"], "Demo Boutique", "active")
    assert info.allowed_origins == ["https://shop.demo.com"]


def test_the_singleton_of_the_quickstart(chat):
    set_chat_client(chat)
    conversation = get_chat_client().create_conversation(
        visitor_user_id="user-123", visitor_display_name="Mary", locale="en"
    )
    message = get_chat_client().send_message(conversation.id, role="visitor", content="Where is my order?")
    assert message.conversation_id == conversation.id


def test_the_async_client(settings):
    async def talk():
        async with AsyncChatRelayClient(settings) as chat:
            conversation = await chat.create_conversation(visitor_user_id="user-1", locale="en")
            sent = await asyncio.gather(
                *(chat.send_message(conversation.id, content=f"message {n}", role=MessageRole.AGENT) for n in range(5))
            )
            minted = await chat.mint_visitor_token(visitor_user_id="user-1")
            info = await chat.fetch_tenant_info()
            return conversation, sent, minted, info

    conversation, sent, minted, info = asyncio.run(talk())
    assert {message.conversation_id for message in sent} == {conversation.id}
    assert minted.token and info.status == "active"


def test_no_method_of_the_client_is_left_out():
    ours = {
        "provision_operator", "fetch_operator_token", "create_contact_ticket", "create_conversation",
        "fetch_conversation", "list_conversations", "send_message", "list_messages", "list_tickets", "fetch_ticket",
        "ingest_knowledge", "mint_visitor_token", "fetch_tenant_info", "close",
    }
    public = {name for name, _ in inspect.getmembers(ChatRelayClient, inspect.isfunction) if not name.startswith("_")}
    assert public == ours
    public = {name for name, _ in inspect.getmembers(AsyncChatRelayClient, inspect.isfunction) if not name.startswith("_")}
    assert public == {"create_conversation", "send_message", "mint_visitor_token", "fetch_tenant_info", "aclose"}


def test_refusals_reach_the_client_as_errors(deployment, settings, chat, tenant):
    with pytest.raises(ChatRelayError) as refused:
        chat.send_message(str(uuid.uuid4()), content="to nobody")
    assert refused.value.status_code == 404

    wrong = settings.model_copy(update={"tenant_secret": "sk_wrong"})
    with ChatRelayClient(wrong) as stranger, pytest.raises(ChatRelayError) as refused:
        stranger.fetch_tenant_info()
    assert (refused.value.status_code, refused.value.body["error_code"]) == (401, "invalid_signature")

    deployment.admin("POST", f"/suspend/tenant?tenant_id={tenant['tenant_id']}")
    with pytest.raises(ChatRelayError) as refused:
        chat.fetch_tenant_info()
    assert (refused.value.status_code, refused.value.body["error_code"]) == (403, "tenant_suspended")
    deployment.admin("POST", f"/reactivate/tenant?tenant_id={tenant['tenant_id']}")
    assert chat.fetch_tenant_info().status == "active"

    rotated = deployment.admin("POST", f"/rotate/tenant-secret?tenant_id={tenant['tenant_id']}")
    with pytest.raises(ChatRelayError) as refused:
        chat.fetch_tenant_info()
    assert refused.value.status_code == 401
    renewed = settings.model_copy(update={"tenant_secret": rotated["tenant_secret"]})
    with ChatRelayClient(renewed) as client:
        assert client.fetch_tenant_info().status == "active"


def test_a_person_answers_who_waits_and_the_bot_keeps_out_of_it(chat):
    chat.ingest_knowledge(title="Orders", body="Track your order from the link in your e-mail.", language="en")
    talk = chat.create_conversation(visitor_user_id="user-123", locale="en")
    chat.send_message(talk.id, role="visitor", content="Do you repair zeppelins?")
    # Nobody has come yet: what the bot knows it answers, under the same ticket.
    chat.send_message(talk.id, role="visitor", content="And where is my order?")
    waiting = [ticket for ticket in chat.list_tickets(status=TicketStatus.OPEN) if ticket.conversation_id == talk.id]
    assert len(waiting) == 1
    for ticket in waiting:
        chat.send_message(ticket.conversation_id, role="agent", content="Hello, this is Ada.")
    assert chat.fetch_ticket(waiting[0].id).status is TicketStatus.ASSIGNED, "it is not listed as open again"
    chat.send_message(talk.id, role="visitor", content="Where is my order?")
    said = [(message.role.value, message.content) for message in chat.list_messages(talk.id)]
    assert said[2:] == [
        ("visitor", "And where is my order?"),
        ("bot", "Track your order from the link in your e-mail."),
        ("agent", "Hello, this is Ada."),
        ("visitor", "Where is my order?"),
    ], said
