//! The holder of a socket, as the rest of this folder sees it: two traits, which each kind of participant implements. The files that
//! accept a socket, move its frames and close it know nothing else of the participant.

use std::{net::IpAddr, sync::Arc};

use coherence::Changes;
use service::ApiError;
use wire::{SessionId, TenantId, request_id::RequestId};

use super::closing::Closing;

/// One that holds a socket.
pub(crate) trait Participant: Send + Sync + 'static {
    /// Judges this kind of participants.
    type Judge: Judge;

    /// How the participant is named and counted.
    fn about(&self) -> &About;

    /// What its admission rests on. A change judges the socket by this, from before [`Participant::admit`] is called.
    fn grounds(&self) -> &Arc<<Self::Judge as Judge>::Grounds>;

    /// Decides whether the participant may have the socket. The socket must have its slot: a change that comes later then finds it.
    ///
    /// # Errors
    /// What the socket is closed with.
    fn admit(&self) -> impl Future<Output = Result<Admitted, Closing>> + Send;

    /// Decides what becomes of a text frame of the participant's.
    ///
    /// # Errors
    /// What the socket is closed with, where the participant may not have it any more.
    fn check(&self, text: &str) -> impl Future<Output = Result<Checked, Closing>> + Send;

    /// Decides whether the participant may still hear what the chat backend says.
    ///
    /// # Errors
    /// What the socket is closed with.
    fn may_hear(&self) -> impl Future<Output = Result<(), Closing>> + Send;
}

/// Judges the open sockets of one kind of participants after a change.
pub(crate) trait Judge: Send + Sync + 'static {
    /// What a participant's admission rests on.
    type Grounds: Send + Sync + 'static;

    /// What was learnt of one tenant after a change. Each thing is asked once, and only if a socket depends on it.
    type Answers: Send;

    /// Whether the changes concern sockets of every tenant, so that [`Judge::judge_all`] must be called.
    fn concern_all(changes: &Changes<TenantId>) -> bool;

    /// Judges sockets of every tenant. Answers a verdict for each, in their order.
    fn judge_all(&self, sockets: &[Arc<Self::Grounds>]) -> impl Future<Output = Vec<Result<(), Closing>>> + Send;

    /// Begins to judge a tenant's sockets.
    fn answers(&self, tenant_id: TenantId, sockets: &[Arc<Self::Grounds>]) -> Self::Answers;

    /// Judges one of the tenant's sockets, and answers a frame for its browser where there is one.
    ///
    /// # Errors
    /// What the socket is closed with.
    fn judge_again(
        &self,
        answers: &mut Self::Answers,
        grounds: &Self::Grounds,
    ) -> impl Future<Output = Result<Option<Arc<str>>, Closing>> + Send;
}

/// How a participant is named and counted.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) tenant_id: TenantId,
    /// All sockets with the same one are counted together: how many there are, and what they send.
    pub(crate) counted_as: SessionId,
    pub(crate) client: IpAddr,
    pub(crate) request_id: RequestId,
}

/// What an admitted participant gets.
pub(crate) struct Admitted {
    /// Where the chat backend takes its socket, below the backend's base URL.
    pub(crate) path: &'static str,
    /// The actor that HMAC#2 names, such as `visitor:<session>`.
    pub(crate) actor: String,
    /// The first frame the backend gets.
    pub(crate) hello: String,
    /// When the socket ends, in Unix milliseconds.
    pub(crate) ends_at_ms: i64,
}

/// What becomes of a frame.
pub(crate) enum Checked {
    /// This text goes to the chat backend.
    Forward(String),
    /// The participant is told why not, and the socket goes on.
    Refuse {
        error: ApiError,
        /// The message's own id, where it has one.
        client_id: Option<String>,
    },
}
