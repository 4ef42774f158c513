//! A person of a tenant who answers its visitors: hired by the tenant's backend, and calling with a token of its own.

use std::net::SocketAddr;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{signed::Tenant, visitor::Visitor};

/// An operator with a token.
#[derive(Clone, Debug)]
pub struct Colleague {
    /// Its id.
    pub id: String,
    /// Its token.
    pub token: String,
    /// The relay it calls.
    pub relay: SocketAddr,
    client: Client,
}

/// A signed call of a tenant's backend: the status, and the answer.
///
/// # Panics
/// Where no answer came.
pub async fn signed(client: &Client, relay: SocketAddr, tenant: &Tenant, path: &str, body: Value) -> (u16, Value) {
    let url = format!("http://{relay}/api/v1/relay/{path}");
    let answer = tenant.request(client, Method::POST, &url, body.to_string()).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

impl Colleague {
    /// Makes an operator of a tenant, with this name.
    ///
    /// # Panics
    /// Where the relay refuses it.
    pub async fn hire(client: &Client, relay: SocketAddr, tenant: &Tenant, name: &str) -> Self {
        let email = format!("{name}@northwind.example");
        let profile = json!({"email": email, "display_name": name});
        let (status, made) = signed(client, relay, tenant, "provision/operator", profile).await;
        assert!(matches!(status, 200 | 201), "{made}");
        let (status, issued) = signed(client, relay, tenant, "fetch/operator-token", json!({"email": email})).await;
        assert_eq!(status, 200, "{issued}");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        Self {
            id: text(&made["data"]["operator_id"]),
            token: text(&issued["data"]["operator_token"]),
            relay,
            client: client.clone(),
        }
    }

    /// Calls `/api/v1/operator/<path>`: the status, and the answer.
    ///
    /// # Errors
    /// Where no answer came.
    pub async fn try_call(&self, method: &str, path: &str, body: Option<Value>) -> reqwest::Result<(u16, Value)> {
        let url = format!("http://{}/api/v1/operator/{path}", self.relay);
        let mut request = self.client.request(method.parse().expect("a method"), url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// Calls `/api/v1/operator/<path>`: the status, and the answer.
    ///
    /// # Panics
    /// Where no answer came.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.try_call(method, path, body).await.expect("an answer")
    }

    /// Does something with a conversation, such as `claim`: the status, and the answer.
    ///
    /// # Panics
    /// Where no answer came.
    pub async fn act(&self, verb: &str, conversation: &str) -> (u16, Value) {
        self.call("POST", &format!("{verb}/conversation?conversation_id={conversation}"), Some(json!({}))).await
    }

    /// Opens a socket with the token.
    ///
    /// # Panics
    /// Where the handshake fails.
    pub async fn sit_down(&self) -> Visitor {
        Visitor::connect_operator(self.relay, "", Some(&self.token)).await
    }
}

/// A conversation of a tenant that waits for a person; its id.
///
/// # Panics
/// Where the relay refuses it.
pub async fn waiting(client: &Client, relay: SocketAddr, tenant: &Tenant) -> String {
    let (_, begun) =
        signed(client, relay, tenant, "create/conversation", json!({"visitor_user_id": "u", "locale": "en"})).await;
    let id = begun["data"]["id"].as_str().expect("an id").to_owned();
    let path = format!("add/message?conversation_id={id}");
    let (status, said) = signed(client, relay, tenant, &path, json!({"content": "Do you repair zeppelins?"})).await;
    assert_eq!(status, 201, "{said}");
    id
}
