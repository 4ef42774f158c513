//! The admin service, as the publisher calls it: `POST <events_url>/internal/publish/events` under HMAC#2, as the actor `backend`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::timeout;
use wire::{
    TenantId,
    signature::{BodyDigest, RelayKey, RelayedCall, relay_headers},
    time::now_unix_ms,
};

use super::verdict::{Failure, verdict};
use crate::{connector::connector, events_url::EventsUrl, records::outbox::OutboxRow};

const ACTOR: &str = "backend";
/// An answer names each event that was sent: it is shorter.
const LONGEST_ANSWER: usize = 256 * 1024;
/// A connection that was idle for longer is not used again: the other side may close it just as something is sent on it.
const IDLE: Duration = Duration::from_secs(4);

/// The admin service.
pub(super) struct Admin {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    key: RelayKey,
    patience: Duration,
}

impl Admin {
    /// Calls are signed with `key`, and fail after `patience`.
    pub(super) fn new(url: &EventsUrl, key: RelayKey, patience: Duration) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .build(connector(url.is_https()));
        Self { client, uri: url.publish_uri(), key, patience }
    }

    /// Publishes rows of one tenant: all of them, or none.
    ///
    /// # Errors
    /// [`Failure`]. Rows that were not refused may have arrived all the same.
    pub(super) async fn publish(&self, tenant_id: TenantId, rows: &[OutboxRow]) -> Result<(), Failure> {
        let body = body(rows);
        let request = self.signed(tenant_id, body)?;
        let exchange = async {
            // What a new connection meets concerns every tenant alike.
            let answer = self.client.request(request).await.map_err(|error| Failure::OfEveryone(say(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
            let body = body.map_err(|error| Failure::OfTenant(format!("its answer broke off: {error}")))?;
            Ok::<(StatusCode, Bytes), Failure>((status, body.to_bytes()))
        };
        let answered = timeout(self.patience, exchange).await;
        let (status, answer) = answered
            .map_err(|_| Failure::OfTenant(format!("it did not answer within {} s", self.patience.as_secs())))??;
        verdict(status, &answer, rows.iter().filter(|row| row.is_event()).count())
    }

    /// Each attempt is signed afresh: a signature is good for 30 s.
    fn signed(&self, tenant_id: TenantId, body: String) -> Result<Request<Full<Bytes>>, Failure> {
        let (tenant_id, timestamp) = (tenant_id.to_string(), now_unix_ms().to_string());
        let call = RelayedCall {
            timestamp: &timestamp,
            method: Method::POST.as_str(),
            path_and_query: self.uri.path_and_query().map_or("/", |path| path.as_str()),
            tenant_id: &tenant_id,
            actor: ACTOR,
        };
        let signature = self.key.sign(&call, &BodyDigest::of(body.as_bytes())).to_hex();
        Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(relay_headers::TENANT_ID, tenant_id)
            .header(relay_headers::TIMESTAMP, timestamp)
            .header(relay_headers::ACTOR, ACTOR)
            .header(relay_headers::SIGNATURE, signature)
            .body(Full::new(body.into()))
            .map_err(|error| Failure::OfEveryone(format!("the call cannot be made: {error}")))
    }
}

/// The rows hold JSON already.
fn body(rows: &[OutboxRow]) -> String {
    let list = |is_event: bool| {
        let bodies: Vec<_> =
            rows.iter().filter(|row| row.is_event() == is_event).map(|row| row.body.as_str()).collect();
        bodies.join(",")
    };
    format!(r#"{{"events":[{}],"usage":[{}]}}"#, list(true), list(false))
}

/// An error with its causes: the client's own words say only that it failed.
fn say(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    said
}
