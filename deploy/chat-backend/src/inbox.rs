//! What operators' sockets hear: which conversations changed, how many there are, who looks at what, and who writes. The database holds the
//! conversations: what is lost here is read again.
//!
//! A tenant has a room while an operator is connected. One task of the room loads each changed conversation once, whoever hears of it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::{
    sync::{Notify, broadcast},
    task::AbortHandle,
    time::{Instant, sleep_until},
};
use wire::{TenantId, frames::Role};

use crate::{
    inbox_frames::{self, InboxFrame},
    records::queues::{self, Tally},
    store::Store,
    takeover::Holder,
};

/// What a socket may be behind before it is told to load everything again.
const MOST_BEHIND: usize = 1024;

/// How often counts are told, at most.
const COUNTS_EVERY: Duration = Duration::from_secs(1);

/// The rooms. A clone shares them.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    store: Store,
    rooms: Arc<Mutex<HashMap<TenantId, Room>>>,
}

#[derive(Debug)]
struct Room {
    news: broadcast::Sender<News>,
    changed: Arc<Changed>,
    /// Who looks at which conversation, by conversation and socket.
    watching: HashMap<String, HashMap<u64, Onlooking>>,
    sockets: HashMap<u64, Arc<[String]>>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Changed {
    ids: Mutex<BTreeSet<String>>,
    woken: Notify,
}

/// An operator who looks at a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Onlooking {
    pub(crate) operator_id: String,
    pub(crate) display_name: String,
}

impl From<&Holder> for Onlooking {
    fn from(holder: &Holder) -> Self {
        Self { operator_id: holder.operator_id.clone(), display_name: holder.display_name.clone() }
    }
}

/// Something that a room's sockets hear.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// A frame about a conversation, for those who may see it.
    About { routing_key: Option<Arc<str>>, conversation_id: Arc<str>, frame: Arc<str>, audience: Audience },
    /// How many conversations there are, for operators of these routing keys.
    Counts { routing_keys: Arc<[String]>, tally: Arc<Tally> },
}

/// Who of those who may see a conversation is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Everybody,
    /// Those who look at it.
    Onlookers,
}

/// A socket's place in its tenant's room. Dropped, it leaves.
#[derive(Debug)]
pub(crate) struct Seat {
    inbox: Inbox,
    tenant_id: TenantId,
    id: u64,
    watched: Option<(String, Option<String>)>,
    news: broadcast::Receiver<News>,
}

/// What a seat hears.
pub(crate) enum HeardNews {
    News(News),
    /// Some were lost: everything must be loaded again.
    Behind,
}

impl Inbox {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, rooms: Arc::default() }
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<TenantId, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat for an operator's socket. Read the conversations after this: the seat then hears of whatever the reading missed.
    pub(crate) fn enter(&self, tenant_id: TenantId, routing_keys: &[String]) -> Seat {
        let id = fastrand::u64(..);
        let mut rooms = self.rooms();
        let room = rooms.entry(tenant_id).or_insert_with(|| {
            let (news, changed) = (broadcast::channel(MOST_BEHIND).0, Arc::<Changed>::default());
            let telling = tell(self.clone(), tenant_id, Arc::clone(&changed), news.clone());
            let task = tokio::spawn(telling).abort_handle();
            Room { news, changed, watching: HashMap::new(), sockets: HashMap::new(), task }
        });
        room.sockets.insert(id, routing_keys.into());
        Seat { inbox: self.clone(), tenant_id, id, watched: None, news: room.news.subscribe() }
    }

    /// A conversation was changed, and that is committed.
    pub(crate) fn changed(&self, tenant_id: TenantId, conversation_id: &str) {
        if let Some(room) = self.rooms().get(&tenant_id) {
            room.changed.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(conversation_id.to_owned());
            room.changed.woken.notify_one();
        }
    }

    /// Somebody writes in a conversation: those who look at it are shown it.
    pub(crate) fn typing(
        &self,
        tenant_id: TenantId,
        (conversation_id, routing_key): (&str, Option<&str>),
        role: Role,
        operator: Option<&Holder>,
    ) {
        let frame = InboxFrame::Typing { conversation_id, role, operator: operator.map(Onlooking::from) };
        self.tell(tenant_id, (conversation_id, routing_key), &frame, Audience::Onlookers);
    }

    fn tell(
        &self,
        tenant_id: TenantId,
        (conversation_id, routing_key): (&str, Option<&str>),
        frame: &InboxFrame<'_>,
        audience: Audience,
    ) {
        if let Some(room) = self.rooms().get(&tenant_id) {
            let (routing_key, conversation_id) = (routing_key.map(Arc::from), conversation_id.into());
            let frame = frame.to_json().into();
            let _ = room.news.send(News::About { routing_key, conversation_id, frame, audience });
        }
    }

    /// Every set of routing keys that a socket of the tenant has.
    fn key_sets(&self, tenant_id: TenantId) -> BTreeSet<Arc<[String]>> {
        let rooms = self.rooms();
        rooms.get(&tenant_id).into_iter().flat_map(|room| room.sockets.values().cloned()).collect()
    }
}

/// Loads what changed, and tells it, for as long as the room is there.
async fn tell(inbox: Inbox, tenant_id: TenantId, changed: Arc<Changed>, news: broadcast::Sender<News>) {
    let mut counts_due: Option<Instant> = None;
    let mut counted = Instant::now();
    loop {
        let due = counts_due.unwrap_or(counted + Duration::from_secs(3600));
        tokio::select! {
            () = changed.woken.notified() => {
                let ids = std::mem::take(&mut *changed.ids.lock().unwrap_or_else(PoisonError::into_inner));
                for id in ids {
                    match queues::one(&inbox.store.of(tenant_id), &id).await {
                        Ok(queued) => {
                            let routing_key = queued.conversation.row.routing_key.as_deref().map(Arc::from);
                            let frame = inbox_frames::conversation(queued).into();
                            let (conversation_id, audience) = (id.as_str().into(), Audience::Everybody);
                            let _ = news.send(News::About { routing_key, conversation_id, frame, audience });
                        }
                        Err(error) => tracing::warn!(
                            %tenant_id,
                            conversation_id = id,
                            cause = error.cause(),
                            "operators were not told of a conversation: they see it when they load it again"
                        ),
                    }
                }
                counts_due.get_or_insert(counted + COUNTS_EVERY);
            }
            () = sleep_until(due) => {
                (counts_due, counted) = (None, Instant::now());
                for routing_keys in inbox.key_sets(tenant_id) {
                    match queues::tally(&inbox.store.of(tenant_id), &routing_keys).await {
                        Ok(tally) => drop(news.send(News::Counts { routing_keys, tally: Arc::new(tally) })),
                        Err(error) => tracing::warn!(%tenant_id, cause = error.cause(), "conversations were not counted"),
                    }
                }
            }
        }
    }
}

impl Seat {
    /// The next news.
    pub(crate) async fn next(&mut self) -> HeardNews {
        match self.news.recv().await {
            Ok(news) => HeardNews::News(news),
            // The sender lives as long as there is a seat.
            Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => HeardNews::Behind,
        }
    }

    /// The conversation that the operator looks at.
    pub(crate) fn watched(&self) -> Option<&str> {
        self.watched.as_ref().map(|(id, _)| id.as_str())
    }

    /// The operator looks at this conversation from now on, and at no other. Colleagues are told.
    pub(crate) fn watch(&mut self, operator: &Holder, conversation: Option<(String, Option<String>)>) {
        let before = std::mem::replace(&mut self.watched, conversation);
        let mut concerned = Vec::new();
        if let Some(room) = self.inbox.rooms().get_mut(&self.tenant_id) {
            if let Some(left) = before {
                if let Some(onlookers) = room.watching.get_mut(&left.0) {
                    onlookers.remove(&self.id);
                    let remaining: Vec<Onlooking> = onlookers.values().cloned().collect();
                    if remaining.is_empty() {
                        room.watching.remove(&left.0);
                    }
                    concerned.push((left, remaining));
                }
            }
            if let Some((id, routing_key)) = self.watched.clone() {
                let onlookers = room.watching.entry(id.clone()).or_default();
                onlookers.insert(self.id, operator.into());
                concerned.push(((id, routing_key), onlookers.values().cloned().collect()));
            }
        }
        for ((id, routing_key), mut operators) in concerned {
            operators.sort_by(|one, other| one.operator_id.cmp(&other.operator_id));
            operators.dedup();
            let frame = InboxFrame::Presence { conversation_id: &id, operators };
            self.inbox.tell(self.tenant_id, (&id, routing_key.as_deref()), &frame, Audience::Everybody);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Nobody is named here: the seat only leaves.
        let nobody = Holder { operator_id: String::new(), display_name: String::new(), avatar_url: None };
        self.watch(&nobody, None);
        let mut rooms = self.inbox.rooms();
        if let Some(room) = rooms.get_mut(&self.tenant_id) {
            room.sockets.remove(&self.id);
            if room.sockets.is_empty() {
                room.task.abort();
                rooms.remove(&self.tenant_id);
            }
        }
    }
}
