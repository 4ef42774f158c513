//! A chat backend that publishes events over gRPC, at whichever replica answers, until they are taken.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use proto::events::v1::{Event, PublishRequest, events_client::EventsClient};
use tonic::{Request, transport::Channel};

use crate::{process::PATIENCE, world::ADMIN_KEY};

/// How long to wait for one replica: a paused one does not answer.
const ONE_CALL: Duration = Duration::from_secs(2);

/// A chat backend that publishes.
#[derive(Debug)]
pub struct Publisher {
    replicas: Vec<EventsClient<Channel>>,
    next: AtomicUsize,
}

impl Publisher {
    /// One that knows these replicas' gRPC addresses. It connects when it publishes.
    ///
    /// # Panics
    /// Never: an address is a URL.
    #[must_use]
    pub fn to(replicas: impl IntoIterator<Item = SocketAddr>) -> Self {
        let channel = |address| Channel::from_shared(format!("http://{address}")).expect("a URL").connect_lazy();
        let replicas = replicas.into_iter().map(|address| EventsClient::new(channel(address))).collect();
        Self { replicas, next: AtomicUsize::new(0) }
    }

    /// Publishes a tenant's events and answers when they were taken.
    ///
    /// # Panics
    /// Where no replica takes them.
    pub async fn publish(&self, tenant_id: &str, events: &[Event]) -> Instant {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed) % self.replicas.len();
            let mut client = self.replicas[index].clone();
            let message =
                PublishRequest { tenant_id: tenant_id.to_owned(), events: events.to_vec(), usage: Vec::new() };
            let mut request = Request::new(message);
            request.metadata_mut().insert("x-admin-key", ADMIN_KEY.parse().expect("text"));
            let said = match tokio::time::timeout(ONE_CALL, client.publish(request)).await {
                Ok(Ok(_)) => return Instant::now(),
                Ok(Err(status)) => status.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            assert!(Instant::now() < deadline, "no replica takes events: {said}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A visitor's message, as an event that happened now.
#[must_use]
pub fn message_received(event_id: String, conversation_id: Option<String>) -> Event {
    Event {
        event_id,
        event_type: "message_received".to_owned(),
        occurred_at: Some(std::time::SystemTime::now().into()),
        message_id: Some("m".to_owned()),
        conversation_id,
        ..Event::default()
    }
}
