//! A visitor becomes known in the middle of a conversation: what was said goes on, and nothing passes to anybody else.

use serde_json::{Value, json};
use wire::{SessionId, TenantId};

use crate::{
    inbox::{ask, desk},
    sockets::{Relay, golden},
    support::Backend,
};

/// A socket of an identified visitor, and its welcome.
async fn identified(backend: &Backend, tenant: TenantId, visitor: &str, more: Value) -> (Relay, Value) {
    let session = SessionId::generate();
    let mut hello = golden("hello", "identified");
    for field in ["visitor_display_name", "visitor_email", "continues"] {
        hello.as_object_mut().expect("an object").remove(field);
    }
    (hello["session_id"], hello["visitor_user_id"]) = (json!(session), json!(visitor));
    for (field, value) in more.as_object().expect("fields") {
        hello[field] = value.clone();
    }
    let mut socket = Relay::connect(backend, tenant, session).await;
    socket.say(&hello).await;
    let welcome = socket.next_of("welcome").await;
    (socket, welcome)
}

async fn visitor_of(backend: &Backend, tenant: TenantId, conversation: &Value) -> Value {
    let path = format!("/fetch/conversation?conversation_id={}", conversation.as_str().expect("an id"));
    backend.get(tenant, &path).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_is_the_visitors_and_operators_see_who_it_is() {
    let backend = Backend::start().await;
    let (tenant, before) = (TenantId::generate(), SessionId::generate());
    let mut ada = desk(&backend, tenant, "ada", &[]).await;
    let (mut anonymous, welcome) = Relay::welcomed(&backend, tenant, before).await;
    let conversation = welcome["conversation_id"].clone();
    ask(&mut anonymous, "Where is my order?").await;
    drop(anonymous);

    let details = json!({"continues": before, "visitor_display_name": "Grace", "visitor_email": "grace@example.com"});
    let (_socket, welcome) = identified(&backend, tenant, "customer-7", details).await;
    assert_eq!(welcome["conversation_id"], conversation);
    assert_eq!(welcome["history"][0]["content"], "Where is my order?");
    loop {
        let seen = ada.next_of("conversation").await["conversation"].clone();
        if seen["visitor_display_name"] == "Grace" {
            assert_eq!((&seen["id"], &seen["visitor_user_id"]), (&conversation, &json!("customer-7")));
            break;
        }
    }
    let kept = visitor_of(&backend, tenant, &conversation).await;
    assert_eq!((&kept["visitor_user_id"], &kept["visitor_email"]), (&json!("customer-7"), &json!("grace@example.com")));

    // Another device of the same visitor finds it. What is known stays: the tenant's backend may have said it.
    let (_phone, welcome) = identified(&backend, tenant, "customer-7", json!({})).await;
    assert_eq!(welcome["conversation_id"], conversation);
    assert_eq!(visitor_of(&backend, tenant, &conversation).await["visitor_display_name"], "Grace");
    let details = json!({"visitor_display_name": "Mallory", "visitor_email": "mallory@example.com"});
    let _renamed = identified(&backend, tenant, "customer-7", details).await;
    let kept = visitor_of(&backend, tenant, &conversation).await;
    assert_eq!((&kept["visitor_display_name"], &kept["visitor_email"]), (&json!("Grace"), &json!("grace@example.com")));

    // Somebody else gets nothing of it, whatever session they name: it is nobody's any more.
    let (_other, welcome) = identified(&backend, tenant, "customer-8", json!({"continues": before})).await;
    assert_eq!(welcome["conversation_id"], json!(null));
    let (_elsewhere, welcome) =
        identified(&backend, TenantId::generate(), "customer-7", json!({"continues": before})).await;
    assert_eq!(welcome["conversation_id"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_in_which_nothing_was_said_hides_none_of_another_device() {
    let backend = Backend::start().await;
    let (tenant, before) = (TenantId::generate(), SessionId::generate());
    let (mut phone, welcome) =
        identified(&backend, tenant, "customer-7", json!({"visitor_display_name": "Grace"})).await;
    assert_eq!(welcome["conversation_id"], json!(null));
    ask(&mut phone, "Is anybody there?").await;
    // The widget on the laptop has begun a conversation when it connected, before it was known whose it is.
    let (_laptop, welcome) = Relay::welcomed(&backend, tenant, before).await;
    let empty = welcome["conversation_id"].clone();
    let (_laptop, welcome) = identified(&backend, tenant, "customer-7", json!({"continues": before})).await;
    assert_eq!(welcome["history"][0]["content"], "Is anybody there?");
    assert_eq!(visitor_of(&backend, tenant, &welcome["conversation_id"]).await["visitor_display_name"], "Grace");
    assert_eq!(visitor_of(&backend, tenant, &empty).await["visitor_user_id"], before.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_message_that_is_on_its_way_while_the_visitor_signs_in_is_kept_once() {
    let backend = Backend::start().await;
    let (tenant, before) = (TenantId::generate(), SessionId::generate());
    let (mut anonymous, welcome) = Relay::welcomed(&backend, tenant, before).await;
    let conversation = welcome["conversation_id"].clone();
    // Nothing is said there yet: the visitor has no other conversation, and goes on in this one.
    let (mut socket, welcome) = identified(&backend, tenant, "customer-7", json!({"continues": before})).await;
    assert_eq!(welcome["conversation_id"], conversation);
    let message = json!({"type": "message", "client_id": uuid::Uuid::new_v4(), "content": "Hello?", "attachments": []});
    anonymous.say(&message).await;
    let first = anonymous.next_of("ack").await["message_id"].clone();
    // The widget did not hear that, and sends it again.
    socket.say(&message).await;
    assert_eq!(socket.next_of("ack").await["message_id"], first);
    let path = format!("/fetch/messages?conversation_id={}", conversation.as_str().expect("an id"));
    let kept = backend.get(tenant, &path).await["items"].clone();
    let said = kept.as_array().expect("a list").iter().filter(|message| message["content"] == "Hello?");
    assert_eq!(said.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_the_visitors_id_makes_no_contact_form_of_a_conversation() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let details = json!({"visitor_display_name": "Grace", "visitor_email": "grace@example.com"});
    let (mut socket, _) = identified(&backend, tenant, "grace@example.com", details).await;
    ask(&mut socket, "Hello?").await;
    let (_again, welcome) = identified(&backend, tenant, "grace@example.com", json!({})).await;
    let kept = visitor_of(&backend, tenant, &welcome["conversation_id"]).await;
    assert_eq!((&kept["visitor_display_name"], &kept["visitor_email"]), (&json!("Grace"), &json!(null)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_device_that_waits_hears_of_what_is_taken_over() {
    let backend = Backend::start().await;
    let (tenant, before) = (TenantId::generate(), SessionId::generate());
    let (mut phone, welcome) = identified(&backend, tenant, "customer-7", json!({})).await;
    assert_eq!(welcome["conversation_id"], json!(null));
    let (mut anonymous, began) = Relay::welcomed(&backend, tenant, before).await;
    ask(&mut anonymous, "Where is my order?").await;
    let _laptop = identified(&backend, tenant, "customer-7", json!({"continues": before})).await;
    let welcome = phone.next_of("welcome").await;
    assert_eq!(welcome["conversation_id"], began["conversation_id"]);
    assert_eq!(welcome["history"][0]["content"], "Where is my order?");
}
