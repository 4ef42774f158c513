//! The watch stream of `chatrelay.directory.v1.TenantDirectory`: the gateway asks and acknowledges, the replica tells changes and
//! grants leases. What a lease permits is for `directory/`.

use coherence::Changes;
use proto::directory::v1::{
    Acknowledge, Ask, Changes as WireChanges, GiveUp, Hello, Position as WirePosition, WatchRequest, WatchResponse,
    tenant_directory_client::TenantDirectoryClient, watch_request::Message,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uuid::Uuid;
use wire::{TenantId, request_id::RequestId};

use super::transport::AdminClient;

/// Messages on their way to the replica.
const IN_FLIGHT: usize = 16;

/// An open stream.
pub(crate) struct Watch {
    to: mpsc::Sender<WatchRequest>,
    incoming: Streaming<WatchResponse>,
}

/// Up to where a directory was followed. Only the admin service reads the mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) revision: u64,
    pub(crate) mark: Vec<u8>,
}

/// A lease that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The number of the asking that it answers.
    pub(crate) id: u64,
    pub(crate) lease_ms: u32,
    /// How many gateways hold a lease; 0 where the service does not say.
    pub(crate) gateways: u32,
}

/// What a replica tells.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) changes: Changes<TenantId>,
    pub(crate) through: Position,
    pub(crate) grant: Option<Grant>,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    #[error("no connection: {0}")]
    Unreachable(#[from] tonic::transport::Error),
    #[error("{0}")]
    Refused(#[from] Status),
    #[error("the replica ended it")]
    Closed,
    #[error("what it says makes no sense: {0}")]
    Nonsense(&'static str),
}

impl AdminClient {
    /// Opens a stream to one of the replicas, over a connection of its own. `replica` is taken modulo the number of replicas. `gateway`
    /// is a number that no other process has; leases and acknowledgements are kept under it.
    pub(crate) async fn watch(&self, replica: usize, gateway: Uuid, name: &str) -> Result<Watch, WatchError> {
        let (to, outgoing) = mpsc::channel(IN_FLIGHT);
        let hello = Hello { gateway: gateway.as_bytes().to_vec(), name: name.to_owned() };
        let _ = to.try_send(WatchRequest { message: Some(Message::Hello(hello)) });
        let request = self.request(ReceiverStream::new(outgoing), &RequestId::generate());
        let channel = self.connect(replica).await?;
        let incoming = TenantDirectoryClient::new(channel).watch(request).await?.into_inner();
        Ok(Watch { to, incoming })
    }
}

impl Watch {
    /// Asks for a lease, saying what was seen.
    pub(crate) async fn ask(&self, id: u64, seen: Option<Position>) -> Result<(), WatchError> {
        let seen = seen.map(|Position { revision, mark }| WirePosition { revision, mark });
        self.say(Message::Ask(Ask { id, seen })).await
    }

    /// Says that the changes up to this revision are applied.
    pub(crate) async fn acknowledge(&self, through: u64) -> Result<(), WatchError> {
        self.say(Message::Acknowledge(Acknowledge { through })).await
    }

    /// The next thing that the replica tells. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Update, WatchError> {
        read(self.incoming.message().await?.ok_or(WatchError::Closed)?)
    }

    /// Gives the lease up, and returns once the replica has read that and has ended the stream.
    pub(crate) async fn give_up(self) {
        let _ = self.say(Message::GiveUp(GiveUp {})).await;
        let Self { to, mut incoming } = self;
        // The replica reads to the end of what was said, and then ends the stream.
        drop(to);
        while let Ok(Some(_)) = incoming.message().await {}
    }

    async fn say(&self, message: Message) -> Result<(), WatchError> {
        self.to.send(WatchRequest { message: Some(message) }).await.map_err(|_| WatchError::Closed)
    }
}

fn read(message: WatchResponse) -> Result<Update, WatchError> {
    let WireChanges { after, through, tenant_ids, start_over } =
        message.changes.ok_or(WatchError::Nonsense("the message has no `changes` field"))?;
    let WirePosition { revision, mark } = through.ok_or(WatchError::Nonsense("changes without a position"))?;
    let keys = tenant_ids.iter().map(|id| TenantId::from_slice(id)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|_| WatchError::Nonsense("a malformed tenant id"))?;
    let changes =
        Changes { after: if start_over { 0 } else { after }, through: revision, keys: (!start_over).then_some(keys) };
    let grant = message.grant.map(|grant| Grant { id: grant.id, lease_ms: grant.lease_ms, gateways: grant.gateways });
    Ok(Update { changes, through: Position { revision, mark }, grant })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_told_from_what_does() {
        let tenant = TenantId::generate();
        let changes = |tenant_ids, start_over| {
            let through = Some(WirePosition { revision: 3, mark: vec![0; 16] });
            Some(WireChanges { after: 2, through, tenant_ids, start_over })
        };
        let one = || vec![tenant.as_uuid().as_bytes().to_vec()];
        let of = |changes| read(WatchResponse { changes, grant: None }).map(|update| update.changes);
        let some = Changes { after: 2, through: 3, keys: Some(vec![tenant]) };
        assert_eq!(of(changes(one(), false)).expect("it is read"), some);
        let all = Changes { after: 0, through: 3, keys: None };
        assert_eq!(of(changes(Vec::new(), true)).expect("it is read"), all);
        let without_position = WireChanges { through: None, ..changes(one(), false).expect("some") };
        for nonsense in [None, changes(vec![vec![1]], false), Some(without_position)] {
            assert!(matches!(of(nonsense), Err(WatchError::Nonsense(_))));
        }
    }
}
