//! An operator's socket: what it hears of conversations, colleagues and visitors, and what it carries out.

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::{
    SessionId, TenantId,
    operator::{ActingOperator, OPERATOR_PARAMETER},
    time::{WireTime, now_unix_ms},
};

use crate::{sockets::Relay, support::Backend};

/// An operator's socket, past its greeting.
pub(crate) async fn desk(backend: &Backend, tenant: TenantId, id: &str, routing_keys: &[&str]) -> Relay {
    let mut desk = Relay::connect_as(backend, tenant, "/ws/operator", &format!("operator:{id}")).await;
    let name = id.to_uppercase();
    desk.say(&json!({"type": "hello", "operator_id": id, "display_name": name, "avatar_url": null, "routing_keys": routing_keys})).await;
    let welcome = desk.next_of("welcome").await;
    assert_eq!(welcome["operator"], json!({"operator_id": id, "display_name": name, "avatar_url": null}));
    desk
}

/// A visitor's socket, past its greeting, and its conversation.
pub(crate) async fn visitor(
    backend: &Backend,
    tenant: TenantId,
    routing_key: Option<&str>,
    mode: &str,
) -> (Relay, String) {
    let session = SessionId::generate();
    let mut visitor = Relay::connect(backend, tenant, session).await;
    let hello = json!({
        "type": "hello", "session_id": session, "bot_id": "b", "locale": "en", "metadata": {}, "routing_key": routing_key, "mode": mode,
        "origin": null,
    });
    visitor.say(&hello).await;
    let welcome = visitor.hear().await;
    let conversation = welcome["conversation_id"].as_str().expect("a conversation").to_owned();
    (visitor, conversation)
}

pub(crate) async fn ask(visitor: &mut Relay, content: &str) -> String {
    let id = Uuid::new_v4().to_string();
    visitor.say(&json!({"type": "message", "client_id": id, "content": content, "attachments": []})).await;
    visitor.next_of("ack").await["message_id"].as_str().expect("an id").to_owned()
}

pub(crate) async fn act(desk: &mut Relay, verb: &str, conversation: &str) -> Value {
    let id = Uuid::new_v4().to_string();
    desk.say(&json!({"type": verb, "client_id": id, "conversation_id": conversation})).await;
    loop {
        let frame = desk.next().await.expect("open");
        if frame["client_id"] == id {
            return frame;
        }
    }
}

/// Ada as the relay tells of her in a call.
fn told() -> String {
    let ada = ActingOperator { display_name: "ADA".to_owned(), avatar_url: None, routing_keys: Vec::new() };
    format!("{OPERATOR_PARAMETER}={}", ada.to_parameter())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_and_two_operators_hear_what_concerns_them() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let (mut ada, mut ben) = (desk(&backend, tenant, "ada", &[]).await, desk(&backend, tenant, "ben", &[]).await);
    let (mut visitor, conversation) = visitor(&backend, tenant, None, "human").await;
    let first = ask(&mut visitor, "Is anybody there?").await;
    for desk in [&mut ada, &mut ben] {
        let told = desk.next_of("conversation").await;
        assert_eq!(
            (&told["conversation"]["id"], &told["conversation"]["handling"]),
            (&json!(conversation), &json!("waiting"))
        );
        assert_eq!(told["last_message"], json!({"id": first, "role": "visitor", "content": "Is anybody there?"}));
        assert_eq!(desk.next_of("counts").await["counts"]["waiting"], 1);
    }
    let claimed = act(&mut ada, "claim", &conversation).await;
    assert_eq!(claimed["conversation"]["operator"]["operator_id"], "ada");
    let lost = act(&mut ben, "claim", &conversation).await;
    assert_eq!((&lost["type"], &lost["error_code"]), (&json!("error"), &json!("already_claimed")));
    let status = visitor.next_of("status").await;
    assert_eq!((&status["status"], &status["operator"]["display_name"]), (&json!("assigned"), &json!("ADA")));

    ada.say(&json!({"type": "watch", "conversation_id": conversation})).await;
    let watching = ada.next_of("watching").await;
    assert!(watching["last_entry_id"].as_str() >= Some(&*first));
    let presence = ben.next_of("presence").await;
    assert_eq!(presence["operators"], json!([{"operator_id": "ada", "display_name": "ADA"}]));

    let second = ask(&mut visitor, "Hello!").await;
    let heard = ada.next_of("message").await;
    assert_eq!((&heard["message"]["id"], &heard["message"]["role"]), (&json!(second), &json!("visitor")));
    visitor.say(&json!({"type": "typing"})).await;
    assert_eq!(ada.next_of("typing").await["role"], "visitor");
    ada.say(&json!({"type": "typing", "conversation_id": conversation})).await;
    assert_eq!(visitor.next_of("typing").await["role"], "agent");

    let id = Uuid::new_v4().to_string();
    let answer = json!({"type": "message", "client_id": id, "conversation_id": conversation, "content": "Hi, I am Ada.", "attachments": []});
    ada.say(&answer).await;
    let kept = ada.next_of("ack").await["message_id"].clone();
    let heard = visitor.next_of("message").await;
    assert_eq!(
        (&heard["message"]["id"], &heard["message"]["role"], &heard["message"]["content"]),
        (&kept, &json!("agent"), &json!("Hi, I am Ada."))
    );
    ada.say(&answer).await;
    assert_eq!(ada.next_of("ack").await["message_id"], kept, "sent twice, written once");
    let id = Uuid::new_v4().to_string();
    ben.say(&json!({"type": "message", "client_id": id, "conversation_id": conversation, "content": "Me too", "attachments": []})).await;
    assert_eq!(ben.next_of("error").await["error_code"], "not_assigned");

    assert_eq!(act(&mut ada, "hand_back", &conversation).await["conversation"]["handling"], "bot");
    let status = visitor.next_of("status").await;
    assert_eq!((&status["status"], &status["operator"]), (&json!("bot"), &Value::Null));
    drop(ada);
    assert_eq!(ben.next_of("presence").await["operators"], json!([]), "she has left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_hears_of_its_own_queues_alone() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let (mut sales, mut support) =
        (desk(&backend, tenant, "sam", &["sales"]).await, desk(&backend, tenant, "sue", &["support"]).await);
    let mut elsewhere = desk(&backend, TenantId::generate(), "eve", &[]).await;
    let (mut of_sales, for_sales) = visitor(&backend, tenant, Some("sales"), "human").await;
    let (mut of_support, for_support) = visitor(&backend, tenant, Some("support"), "human").await;
    ask(&mut of_sales, "I want to buy").await;
    ask(&mut of_support, "It broke").await;
    for (desk, seen, hidden) in [(&mut sales, &for_sales, &for_support), (&mut support, &for_support, &for_sales)] {
        assert_eq!(desk.next_of("conversation").await["conversation"]["id"], json!(seen));
        assert_eq!(desk.next_of("counts").await["counts"]["all"], 1);
        for verb in ["claim", "release", "hand_back", "resolve", "reopen"] {
            assert_eq!(act(desk, verb, hidden).await["error_code"], "conversation_not_found", "{verb}");
        }
        for frame in [
            json!({"type": "watch", "conversation_id": hidden}),
            json!({"type": "typing", "conversation_id": hidden}),
            json!({"type": "read", "conversation_id": hidden, "message_id": "m"}),
        ] {
            desk.say(&frame).await;
            assert_eq!(desk.next_of("error").await["error_code"], "conversation_not_found", "{frame}");
        }
    }
    elsewhere.say(&json!({"type": "watch", "conversation_id": for_sales})).await;
    let first = elsewhere.next().await.expect("open");
    assert_eq!(first["error_code"], "conversation_not_found", "another tenant heard nothing before: {first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_was_put_aside_comes_back_to_every_desk() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let mut ada = desk(&backend, tenant, "ada", &[]).await;
    let (mut visitor, conversation) = visitor(&backend, tenant, None, "human").await;
    ask(&mut visitor, "Is anybody there?").await;
    ada.next_of("conversation").await;
    let snooze = async |ms: i64| {
        let path = format!("/operator/snooze/conversation?conversation_id={conversation}&{}", told());
        let until = WireTime::from_unix_ms(now_unix_ms() + ms).to_string();
        let body = json!({"until": until}).to_string().into_bytes();
        let headers =
            Backend::headers_as("operator:ada", &tenant.to_string(), &Method::POST, &path, &body, now_unix_ms());
        let (status, answer) = backend.send(Method::POST, &path, &body, headers).await;
        assert_eq!(status, 200, "{answer}");
    };
    snooze(1500).await;
    let aside = ada.next_of("conversation").await;
    assert!(aside["conversation"]["snoozed_until"].is_string(), "{aside}");
    // One who comes meanwhile hears of it too.
    drop(ada);
    let mut ben = desk(&backend, tenant, "ben", &[]).await;
    let back = ben.next_of("conversation").await;
    assert_eq!(
        (&back["conversation"]["id"], &back["conversation"]["snoozed_until"]),
        (&json!(conversation), &Value::Null)
    );
    assert_eq!(ben.next_of("counts").await["counts"]["waiting"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_the_actor_gets_no_desk() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let good = json!({"type": "hello", "operator_id": "ada", "display_name": "Ada", "routing_keys": ["sales"]});
    let with = |field: &str, value: Value| {
        let mut hello = good.clone();
        hello[field] = value;
        hello
    };
    for hello in [
        with("operator_id", json!("eve")),
        with("display_name", Value::Null),
        // An empty list means every queue: a missing one does not.
        with("routing_keys", Value::Null),
        with("routing_keys", json!("sales")),
        json!({"type": "watch"}),
    ] {
        let mut desk = Relay::connect_as(&backend, tenant, "/ws/operator", "operator:ada").await;
        desk.say(&hello).await;
        assert_eq!(desk.next().await, None, "{hello}");
    }
}
