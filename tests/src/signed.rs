//! A tenant's backend: signs calls with HMAC#1, or wrongly on purpose.

use reqwest::{Client, Method, RequestBuilder};
use wire::{
    signature::{BodyDigest, TenantKey},
    time::now_unix_ms,
};

/// A tenant's credentials.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// Its widget key.
    pub widget_public_key: String,
}

impl Tenant {
    /// Reads the credentials out of `provision`'s `data`.
    ///
    /// # Panics
    /// Where it is not that.
    #[must_use]
    pub fn from_provisioned(data: &serde_json::Value) -> Self {
        let text = |field: &str| data[field].as_str().unwrap_or_else(|| panic!("{field} in {data}")).to_owned();
        Self { id: text("tenant_id"), secret: text("tenant_secret"), widget_public_key: text("widget_public_key") }
    }

    /// The three headers for a body signed at `timestamp` (Unix milliseconds).
    #[must_use]
    pub fn headers(&self, timestamp: i64, body: &[u8]) -> [(&'static str, String); 3] {
        let timestamp = timestamp.to_string();
        let signature = TenantKey::new(self.secret.as_bytes()).sign(&timestamp, &BodyDigest::of(body)).to_hex();
        [
            ("x-bloonio-tenant-id", self.id.clone()),
            ("x-bloonio-timestamp", timestamp),
            ("x-bloonio-signature", signature),
        ]
    }

    /// A signed request with a body (which may be empty).
    pub fn request(&self, client: &Client, method: Method, url: &str, body: impl Into<Vec<u8>>) -> RequestBuilder {
        let body = body.into();
        let mut request = client.request(method, url);
        for (name, value) in self.headers(now_unix_ms(), &body) {
            request = request.header(name, value);
        }
        if body.is_empty() { request } else { request.header("content-type", "application/json").body(body) }
    }
}
