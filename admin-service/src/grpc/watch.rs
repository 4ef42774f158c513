//! `TenantDirectory.Watch`: a gateway's stream between the wire and [`Propagation::watch`].

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use proto::directory::v1::{
    Acknowledge, Ask, Changes, GiveUp, Grant, Hello, Position as WirePosition, WatchRequest, WatchResponse,
    watch_request::Message,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::Instrument as _;
use uuid::Uuid;

use super::edge::logged;
use crate::{
    errors::UseCaseError,
    propagation::{FromGateway, GatewayId, Granted, Propagation, ToGateway},
    store::Position,
};

pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

/// Messages on their way to one gateway.
const IN_FLIGHT: usize = 16;

/// How long a stream may say nothing at first.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// Serves the stream in a task of its own, until either side ends it.
pub(super) fn serve(propagation: Propagation, mut requests: Streaming<WatchRequest>) -> Answers {
    let (to, answers) = mpsc::channel(IN_FLIGHT);
    let (failed, failure) = mpsc::channel(1);
    let serving = async move {
        let said = timeout(HELLO_WITHIN, hello(&mut requests)).await;
        let ended = match said.unwrap_or_else(|_| Err(Status::deadline_exceeded("say Hello first"))) {
            Ok((gateway, name)) => {
                tracing::info!(%gateway, name, "a gateway watches");
                let heard = stream::unfold(requests, |mut requests| async move {
                    // What is not understood ends the stream: acknowledging by mistake would be worse.
                    let message = requests.message().await.ok().flatten().and_then(from_gateway)?;
                    Some((message, requests))
                });
                let ended = propagation.watch(gateway, Box::pin(heard), to).await;
                tracing::info!(%gateway, name, "a gateway watches no longer");
                ended.map_err(|error| logged(UseCaseError::from(error)))
            }
            Err(refused) => Err(refused),
        };
        if let Err(status) = ended {
            // The gateway may have left already.
            let _ = failed.send(status).await;
        }
    };
    tokio::spawn(serving.in_current_span());
    let answers = ReceiverStream::new(answers).map(|answer| Ok(to_wire(answer)));
    Box::pin(answers.chain(ReceiverStream::new(failure).map(Err)))
}

/// The first message, in which the gateway names itself.
async fn hello(requests: &mut Streaming<WatchRequest>) -> Result<(GatewayId, String), Status> {
    match requests.message().await?.and_then(|request| request.message) {
        Some(Message::Hello(Hello { gateway, name })) => match Uuid::from_slice(&gateway) {
            Ok(id) if !id.is_nil() => Ok((id, name.chars().take(64).collect())),
            _ => Err(Status::invalid_argument("gateway must be 16 random bytes")),
        },
        _ => Err(Status::invalid_argument("say Hello first")),
    }
}

fn from_gateway(request: WatchRequest) -> Option<FromGateway> {
    Some(match request.message? {
        Message::Hello(_) => return None,
        Message::Ask(Ask { id, seen }) => {
            // If the mark is malformed, there is no position, and the gateway starts over.
            let position = |WirePosition { revision, mark }: WirePosition| {
                Some(Position { revision, mark: Uuid::from_slice(&mark).ok()? })
            };
            FromGateway::Ask { id, seen: seen.and_then(position) }
        }
        Message::Acknowledge(Acknowledge { through }) => FromGateway::Acknowledge { through },
        Message::GiveUp(GiveUp {}) => FromGateway::GiveUp,
    })
}

fn to_wire(ToGateway { changes, through, grant }: ToGateway) -> WatchResponse {
    let start_over = changes.keys.is_none();
    let tenant_ids =
        changes.keys.unwrap_or_default().into_iter().map(|tenant| tenant.as_uuid().as_bytes().to_vec()).collect();
    let through = WirePosition { revision: through.revision, mark: through.mark.as_bytes().to_vec() };
    WatchResponse {
        changes: Some(Changes { after: changes.after, through: Some(through), tenant_ids, start_over }),
        grant: grant.map(|Granted { id, lease_ms, gateways }| Grant { id, lease_ms, gateways }),
    }
}
