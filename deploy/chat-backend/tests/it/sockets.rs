//! The chat backend's end of a visitor's socket, against the golden frames.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use http::Method;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};
use wire::{SessionId, TenantId, frames::ServerFrame, time::now_unix_ms};

use crate::support::Backend;

pub(crate) fn golden(kind: &str, name: &str) -> Value {
    let golden: Value = serde_json::from_str(include_str!("../../../../tests/vectors/frames.json")).expect("JSON");
    assert!(golden[kind][name].is_object(), "{kind} {name}");
    golden[kind][name].clone()
}

/// The relay's end of a visitor's socket, or of an operator's.
pub(crate) struct Relay(WebSocketStream<TcpStream>);

impl Relay {
    pub(crate) async fn connect(backend: &Backend, tenant: TenantId, session: SessionId) -> Self {
        Self::connect_as(backend, tenant, "/ws/visitor", &format!("visitor:{session}")).await
    }

    pub(crate) async fn connect_as(backend: &Backend, tenant: TenantId, path: &str, actor: &str) -> Self {
        let address = backend.base.strip_prefix("http://").expect("an address");
        let mut request = format!("ws://{address}{path}").into_client_request().expect("a request");
        let headers = Backend::headers_as(actor, &tenant.to_string(), &Method::GET, path, b"", now_unix_ms());
        for (name, value) in headers {
            request.headers_mut().insert(name, value.parse().expect("a header"));
        }
        let stream = TcpStream::connect(address).await.expect("it listens");
        Self(client_async(request, stream).await.expect("a WebSocket").0)
    }

    /// A tab of a visitor who asks for a person, and its welcome.
    pub(crate) async fn welcomed(backend: &Backend, tenant: TenantId, session: SessionId) -> (Self, Value) {
        let mut tab = Self::connect(backend, tenant, session).await;
        tab.say(&json!({
            "type": "hello", "session_id": session, "bot_id": "b", "locale": "en", "metadata": {}, "routing_key": null, "mode": "human",
            "origin": null,
        }))
        .await;
        let welcome = tab.hear().await;
        (tab, welcome)
    }

    pub(crate) async fn say(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).await.expect("sent");
    }

    /// The next frame. It is one of the types', without a field that the types do not have.
    pub(crate) async fn hear(&mut self) -> Value {
        let frame = self.next().await.expect("open");
        let read: ServerFrame = serde_json::from_value(frame.clone()).expect("a frame");
        assert_eq!(json!(read), frame);
        frame
    }

    /// The next frame, whatever it is; `None` where the socket was closed.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            match timeout(Duration::from_secs(10), self.0.next()).await.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next frame of a type. Frames of other types are passed over.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await.unwrap_or_else(|| panic!("closed before {kind}"));
            if frame["type"] == kind {
                return frame;
            }
        }
    }
}

/// The names of an object's fields.
fn fields(frame: &Value) -> BTreeSet<&str> {
    frame.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn golden_frames_of_the_relay_are_read_and_answered_as_the_golden_ones_say() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let url = "https://shop.demo.com/help/orders";
    let knowledge = json!({"title": "Orders", "body": "Votre commande est en route.", "language": "fr", "url": url});
    backend.post(tenant, "/ingest/knowledge", knowledge).await;
    let mut relay = Relay::connect(&backend, tenant, SessionId::generate()).await;
    relay.say(&golden("hello", "minted_token")).await;
    let mut expected = golden("server", "welcome_without_conversation");
    let welcome = relay.hear().await;
    expected["session_id"] = welcome["session_id"].clone();
    expected["status"] = "bot".into();
    assert_eq!(welcome, expected);

    relay.say(&golden("client", "read")).await;
    let refused = relay.hear().await;
    assert_eq!(refused["error_code"], "message_not_found", "no conversation yet");
    assert_eq!(fields(&refused), fields(&golden("server", "error_of_no_message")));

    let message = golden("client", "message");
    relay.say(&message).await;
    assert_eq!(relay.hear().await, golden("server", "typing"));
    let ack = relay.hear().await;
    assert_eq!((&ack["type"], &ack["client_id"]), (&json!("ack"), &message["client_id"]));
    assert_eq!(fields(&ack), fields(&golden("server", "ack")));
    let answer = relay.hear().await;
    assert_eq!((&answer["type"], &answer["message"]["role"]), (&json!("message"), &json!("bot")));
    let told = golden("server", "message");
    assert_eq!(fields(&answer["message"]), fields(&told["message"]));
    assert_eq!(fields(&answer["message"]["citations"][0]), fields(&told["message"]["citations"][0]));
    assert_eq!(answer["message"]["citations"][0]["url"], url);

    relay.say(&golden("client", "message_with_attachments")).await;
    assert_eq!(relay.hear().await["type"], "typing");
    let status = relay.hear().await;
    let ack = if status["type"] == "ack" { status } else { relay.hear().await };
    relay.say(&json!({"type": "read", "message_id": ack["message_id"]})).await;
    for unknown in ["read", "resume"] {
        relay.say(&golden("client", unknown)).await;
    }
    relay.say(&golden("client", "typing")).await;
    relay.say(&json!({"type": "message", "client_id": message["client_id"], "content": ""})).await;
    let mut refusals = Vec::new();
    while refusals.len() < 3 {
        let frame = relay.hear().await;
        if frame["type"] == "error" {
            refusals.push(frame);
        }
    }
    assert_eq!(refusals[2]["client_id"], message["client_id"], "a refused message is named");
    assert_eq!(fields(&refusals[2]), fields(&golden("server", "error")));

    let mut again = Relay::connect(&backend, tenant, SessionId::generate()).await;
    again.say(&golden("hello", "minted_token")).await;
    let welcome = again.hear().await;
    assert_eq!(fields(&welcome), fields(&golden("server", "welcome")));
    assert_eq!((&welcome["read_up_to"], &welcome["status"]), (&ack["message_id"], &json!("waiting")));
    let sent = golden("client", "message_with_attachments");
    let history = welcome["history"].as_array().expect("a list");
    let kept = history.iter().find(|message| message["client_id"] == sent["client_id"]).expect("kept");
    assert_eq!(kept["attachments"], sent["attachments"]);
}

#[tokio::test]
async fn a_session_that_asks_for_a_person_waits_for_one() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let mut relay = Relay::connect(&backend, tenant, SessionId::generate()).await;
    relay.say(&golden("hello", "session")).await;
    let welcome = relay.hear().await;
    assert_eq!(welcome["status"], "waiting");
    let id = welcome["conversation_id"].as_str().expect("a conversation");
    let conversation = backend.get(tenant, &format!("/fetch/conversation?conversation_id={id}")).await;
    let hello = golden("hello", "session");
    let metadata = json!({"plan": "pro", "routing_key": "sales", "origin": hello["origin"], "bot_id": hello["bot_id"]});
    assert_eq!(conversation["metadata"], metadata);
}

#[tokio::test]
async fn a_socket_is_for_a_visitor_who_shakes_hands() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let (status, answer) = backend.call(tenant, Method::GET, "/ws/visitor", None).await;
    assert_eq!(
        (status, &answer["errors"][0]["field"]),
        (422, &json!("X-Relay-Actor")),
        "a tenant's call is no visitor's"
    );
    let unsigned = backend.send(Method::GET, "/ws/visitor", b"", Vec::new()).await;
    assert_eq!((unsigned.0, &unsigned.1["error_code"]), (401, &json!("invalid_relay_signature")));
}
