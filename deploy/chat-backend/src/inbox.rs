//! What operators' sockets hear: which conversations changed, how many there are, who looks at what, and who writes. The database holds the
//! conversations: what is lost here is read again.
//!
//! A tenant has a room while at least one of its operators is connected. The room has one task, which loads a changed conversation once
//! for all of the room's sockets.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, broadcast},
    task::AbortHandle,
    time::{Instant, sleep_until},
};
use wire::{TenantId, frames::Role, time::now_unix_ms};

use crate::{
    inbox_frames::{self, InboxFrame, Onlooking},
    records::queues::{self, Tally},
    replicas::{ConversationRef, ReplicaMessage, Replicas, Watching},
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
    replicas: Replicas,
    rooms: Arc<Mutex<HashMap<TenantId, Room>>>,
}

#[derive(Debug)]
struct Room {
    news: broadcast::Sender<News>,
    changed: Arc<Changed>,
    /// Who looks at which conversation, by replica and seat.
    watching: HashMap<(u64, u64), Watching>,
    sockets: HashMap<u64, Arc<[String]>>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Changed {
    ids: Mutex<BTreeSet<String>>,
    /// Whether changes may have been missed.
    is_missed: AtomicBool,
    woken: Notify,
}

/// Something that a room's sockets hear.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// A frame about a conversation, for those who may see it.
    About { routing_key: Option<Arc<str>>, conversation_id: Arc<str>, frame: Arc<str>, audience: Audience },
    /// Something may have been missed: everything must be loaded again.
    Missed,
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
    watched: Option<ConversationRef>,
    news: broadcast::Receiver<News>,
}

/// What a seat hears.
pub(crate) enum HeardNews {
    News(News),
    /// Some were lost: everything must be loaded again.
    Behind,
}

impl Inbox {
    pub(crate) fn new(store: Store, replicas: Replicas) -> Self {
        Self { store, replicas, rooms: Arc::default() }
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
            // Operators may look through other replicas already.
            self.replicas.send(&ReplicaMessage::WhoWatches { tenant_id });
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
        conversation: &ConversationRef,
        role: Role,
        operator: Option<Onlooking>,
    ) {
        let frame = InboxFrame::Typing { conversation_id: &conversation.conversation_id, role, operator };
        self.tell(tenant_id, conversation, &frame, Audience::Onlookers);
    }

    /// Notes which conversation a seat of a replica looks at, if any. Tells the operators who may see that conversation, or the one before,
    /// who looks at it now.
    pub(crate) fn watch(&self, tenant_id: TenantId, seat: (u64, u64), watching: Option<Watching>) {
        let mut concerned = Vec::new();
        if let Some(room) = self.rooms().get_mut(&tenant_id) {
            if room.watching.get(&seat) == watching.as_ref() {
                return;
            }
            let now = watching.as_ref().map(|watching| watching.conversation.clone());
            let before = match watching {
                Some(watching) => room.watching.insert(seat, watching),
                None => room.watching.remove(&seat),
            };
            let before = before.map(|before| before.conversation).filter(|before| now.as_ref() != Some(before));
            concerned.extend(before.into_iter().chain(now).map(|conversation| room.onlookers(conversation)));
        }
        for (conversation, operators) in concerned {
            let frame = InboxFrame::Presence { conversation_id: &conversation.conversation_id, operators };
            self.tell(tenant_id, &conversation, &frame, Audience::Everybody);
        }
    }

    /// Sends the other replicas what this tenant's operators look at here.
    pub(crate) fn send_watching(&self, tenant_id: TenantId) {
        let here = self.replicas.number();
        for ((replica, seat), watching) in self.rooms().get(&tenant_id).into_iter().flat_map(|room| &room.watching) {
            if *replica == here {
                let (seat, watching) = (*seat, Some(watching.clone()));
                self.replicas.send(&ReplicaMessage::Watching { tenant_id, seat, watching });
            }
        }
    }

    /// Sends the other replicas what every operator looks at here, in the place of what they knew.
    pub(crate) fn send_all_watching(&self) {
        self.replicas.send(&ReplicaMessage::Restarts);
        let tenants: Vec<TenantId> = self.rooms().keys().copied().collect();
        tenants.into_iter().for_each(|tenant_id| self.send_watching(tenant_id));
    }

    /// Messages of the other replicas may have been missed: every page loads everything again, and the replicas send who looks at what.
    pub(crate) fn wake_everyone(&self) {
        for (tenant_id, room) in &*self.rooms() {
            let _ = room.news.send(News::Missed);
            room.changed.is_missed.store(true, Ordering::Relaxed);
            room.changed.woken.notify_one();
            self.replicas.send(&ReplicaMessage::WhoWatches { tenant_id: *tenant_id });
        }
    }

    /// The operators of these other replicas look at nothing any more.
    pub(crate) fn forget_watching_of(&self, is_gone: impl Fn(u64) -> bool) {
        let here = self.replicas.number();
        let gone: Vec<(TenantId, (u64, u64))> = {
            let rooms = self.rooms();
            let seats = rooms.iter().flat_map(|(tenant_id, room)| room.watching.keys().map(|seat| (*tenant_id, *seat)));
            seats.filter(|(_, (replica, _))| *replica != here && is_gone(*replica)).collect()
        };
        gone.into_iter().for_each(|(tenant_id, seat)| self.watch(tenant_id, seat, None));
    }

    fn tell(&self, tenant_id: TenantId, conversation: &ConversationRef, frame: &InboxFrame<'_>, audience: Audience) {
        if let Some(room) = self.rooms().get(&tenant_id) {
            let (routing_key, conversation_id) =
                (conversation.routing_key.as_deref().map(Arc::from), conversation.conversation_id.as_str().into());
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

impl Room {
    /// Who looks at this conversation, each once.
    fn onlookers(&self, conversation: ConversationRef) -> (ConversationRef, Vec<Onlooking>) {
        let id = conversation.conversation_id.as_str();
        let watching = self.watching.values().filter(|watching| watching.conversation.conversation_id == id);
        let mut operators: Vec<Onlooking> = watching.map(|watching| watching.operator.clone()).collect();
        operators.sort_by(|one, other| one.operator_id.cmp(&other.operator_id));
        operators.dedup();
        (conversation, operators)
    }
}

/// Loads what changed, and tells it, for as long as the room is there.
async fn tell(inbox: Inbox, tenant_id: TenantId, changed: Arc<Changed>, news: broadcast::Sender<News>) {
    let mut teller = Teller { inbox, tenant_id, news, aside: BTreeSet::new() };
    teller.find_those_aside().await;
    let mut counts_due: Option<Instant> = None;
    let mut counted = Instant::now();
    loop {
        let due = counts_due.unwrap_or(counted + Duration::from_secs(3600));
        let ids = tokio::select! {
            () = changed.woken.notified() => {
                if changed.is_missed.swap(false, Ordering::Relaxed) {
                    // Another replica may have put some aside.
                    teller.find_those_aside().await;
                }
                std::mem::take(&mut *changed.ids.lock().unwrap_or_else(PoisonError::into_inner))
            }
            () = sleep_until(teller.next_back()) => teller.come_back(now_unix_ms()),
            () = sleep_until(due) => {
                (counts_due, counted) = (None, Instant::now());
                teller.tell_counts().await;
                continue;
            }
        };
        for id in ids {
            teller.tell_conversation(&id).await;
        }
        counts_due.get_or_insert(counted + COUNTS_EVERY);
    }
}

/// What a room's task does.
struct Teller {
    inbox: Inbox,
    tenant_id: TenantId,
    news: broadcast::Sender<News>,
    /// The conversations that are put aside, and until when (Unix milliseconds): then they are told again. One that was brought back
    /// earlier may still be here, and is then told once more than it has to be.
    aside: BTreeSet<(i64, String)>,
}

impl Teller {
    async fn find_those_aside(&mut self) {
        match queues::aside(&self.inbox.store.of(self.tenant_id)).await {
            Ok(aside) => self.aside.extend(aside),
            Err(error) => tracing::warn!(
                tenant_id = %self.tenant_id,
                cause = error.cause(),
                "conversations that are put aside come back only where operators load their queue again"
            ),
        }
    }

    /// When the next conversation comes back; an hour from now where none does.
    fn next_back(&self) -> Instant {
        let wait_ms = self.aside.first().map_or(3_600_000, |(until, _)| (until - now_unix_ms()).clamp(0, 3_600_000));
        Instant::now() + Duration::from_millis(wait_ms.unsigned_abs())
    }

    /// Those that are back now.
    fn come_back(&mut self, now_ms: i64) -> BTreeSet<String> {
        let mut back = BTreeSet::new();
        while self.aside.first().is_some_and(|(until, _)| *until <= now_ms) {
            back.extend(self.aside.pop_first().map(|(_, id)| id));
        }
        back
    }

    async fn tell_conversation(&mut self, id: &str) {
        match queues::one(&self.inbox.store.of(self.tenant_id), id).await {
            Ok(queued) => {
                let row = &queued.conversation.row;
                if let Some(until) = row.snoozed_until.filter(|until| *until > now_unix_ms()) {
                    self.aside.insert((until, id.to_owned()));
                }
                let routing_key = row.routing_key.as_deref().map(Arc::from);
                let frame = inbox_frames::conversation(queued).into();
                let (conversation_id, audience) = (id.into(), Audience::Everybody);
                let _ = self.news.send(News::About { routing_key, conversation_id, frame, audience });
            }
            Err(error) => tracing::warn!(
                tenant_id = %self.tenant_id,
                conversation_id = id,
                cause = error.cause(),
                "operators were not told of a conversation: they see it when they load it again"
            ),
        }
    }

    async fn tell_counts(&self) {
        for routing_keys in self.inbox.key_sets(self.tenant_id) {
            match queues::tally(&self.inbox.store.of(self.tenant_id), &routing_keys).await {
                Ok(tally) => drop(self.news.send(News::Counts { routing_keys, tally: Arc::new(tally) })),
                Err(error) => {
                    tracing::warn!(tenant_id = %self.tenant_id, cause = error.cause(), "conversations were not counted");
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
        self.watched.as_ref().map(|watched| watched.conversation_id.as_str())
    }

    /// The operator looks at this conversation from now on, and at no other. Colleagues are told.
    pub(crate) fn watch(&mut self, operator: &Holder, conversation: Option<ConversationRef>) {
        self.set(conversation.map(|conversation| Watching { conversation, operator: operator.into() }));
    }

    fn set(&mut self, watching: Option<Watching>) {
        let conversation = watching.as_ref().map(|watching| watching.conversation.clone());
        if self.watched == conversation {
            return;
        }
        self.watched = conversation;
        let Self { inbox, tenant_id, id, .. } = self;
        inbox.watch(*tenant_id, (inbox.replicas.number(), *id), watching.clone());
        inbox.replicas.send(&ReplicaMessage::Watching { tenant_id: *tenant_id, seat: *id, watching });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.set(None);
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
