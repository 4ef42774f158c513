//! A caller whose calls are held against a document.

use std::net::SocketAddr;

use e2e::{
    openapi::Comparison,
    signed::Tenant,
    visitor::{PAGE, from_page},
    world::World,
};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

/// A caller whose calls are held against a document.
pub(crate) struct Caller {
    pub(crate) relay: SocketAddr,
    pub(crate) tenant: Tenant,
    pub(crate) client: Client,
    pub(crate) comparison: Comparison,
}

impl Caller {
    pub(crate) fn new(world: &World, tenant: &Tenant, document: &str) -> Self {
        Self {
            relay: world.relay,
            tenant: tenant.clone(),
            client: Client::new(),
            comparison: Comparison::new(serde_json::from_str(document).expect("JSON")),
        }
    }

    /// Sends a request, and holds its body and its answer against what the document says of `path`.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        request: RequestBuilder,
        body: Option<&Value>,
    ) -> Value {
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let answered: Value = answer.json().await.expect("JSON");
        self.comparison.note(method, path, body, status, &answered);
        answered["data"].clone()
    }

    /// A call of the tenant's backend.
    pub(crate) async fn signed(
        &mut self,
        method: &str,
        called: &str,
        documented: &str,
        query: &str,
        body: Option<Value>,
    ) -> Value {
        let url = format!("http://{}/api/v1/relay/{called}{query}", self.relay);
        let text = body.as_ref().map(Value::to_string).unwrap_or_default();
        let verb: Method = method.parse().expect("a method");
        let request = self.tenant.request(&self.client, verb, &url, text);
        self.send(method, documented, request, body.as_ref()).await
    }

    /// A call of a page's, with a visitor's token where there is one.
    pub(crate) async fn page(
        &mut self,
        method: &str,
        path: &str,
        query: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Value {
        let url = format!("http://{}{path}{query}", self.relay);
        let mut request = from_page(self.client.request(method.parse().expect("a method"), url), PAGE);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        self.send(method, path, request, body.as_ref()).await
    }
}
