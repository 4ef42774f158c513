//! Wakes this replica's sockets: for what was done here, and for what the other replicas tell.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    inbox::Inbox,
    notifier::{ConversationNotifier, of_visitor},
    replicas::{Envelope, Outgoing, Replicas, Told},
    store::{Store, StoreError},
};

/// How often a replica says that it is there. It hears that itself: so it finds out that its connection listens no longer.
const BEAT: Duration = Duration::from_secs(2);
/// After how long without a word of its own a replica listens anew, and a silent one is gone.
const SILENCE: Duration = Duration::from_secs(7);
/// When it tries again where the database is away.
const RETRY: Duration = Duration::from_secs(1);

/// Who hears.
#[derive(Clone, Debug)]
pub(crate) struct Hearing {
    pub(crate) notifier: ConversationNotifier,
    pub(crate) inbox: Inbox,
}

impl Hearing {
    /// Wakes whoever shows what this replica has told. Looks and their questions are the inbox's own.
    pub(crate) fn hear(&self, told: &Told) {
        match told {
            Told::Changed { tenant_id, conversation_id } => {
                self.notifier.changed(conversation_id);
                self.inbox.changed(*tenant_id, conversation_id);
            }
            Told::Began { tenant_id, visitor_user_id } => {
                self.notifier.changed(&of_visitor(*tenant_id, visitor_user_id));
            }
            Told::Typing { tenant_id, place, role, operator, to_visitor } => {
                self.inbox.typing(*tenant_id, place, *role, operator.clone());
                if *to_visitor {
                    self.notifier.writing(&place.conversation_id);
                }
            }
            Told::Looking { .. } | Told::WhoLooks { .. } | Told::Alive => {}
        }
    }

    /// Hears another replica.
    fn hear_other(&self, Envelope { replica, told }: Envelope) {
        match told {
            Told::Looking { tenant_id, seat, look } => self.inbox.look(tenant_id, (replica, seat), look),
            Told::WhoLooks { tenant_id } => self.inbox.say_who_looks(tenant_id),
            told => self.hear(&told),
        }
    }

    /// Something may have been missed: everybody reads the database again.
    fn missed(&self) {
        self.notifier.wake_everyone();
        self.inbox.missed();
    }
}

/// The connection to the other replicas.
pub(crate) struct Line {
    pub(crate) store: Store,
    pub(crate) replicas: Replicas,
    pub(crate) hearing: Hearing,
}

impl Line {
    /// Tells and hears until it is dropped.
    pub(crate) async fn serve(self, outgoing: Outgoing) {
        tokio::join!(self.tell(outgoing), self.listen());
    }

    async fn tell(&self, mut outgoing: Outgoing) {
        let mut is_lost = false;
        loop {
            match outgoing.tell_waiting(&self.store).await {
                Ok(()) if is_lost => {
                    is_lost = false;
                    self.hearing.inbox.say_who_looks_everywhere();
                }
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "the other replicas were not told who writes and who looks at what");
                    is_lost = true;
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn listen(&self) {
        loop {
            match self.listen_once().await {
                Ok(why) => tracing::warn!(why, "listens to the other replicas anew"),
                Err(error) => tracing::warn!(%error, "does not hear the other replicas"),
            }
            sleep(RETRY).await;
        }
    }

    /// Listens on one connection for as long as it hears, and answers why it ended.
    async fn listen_once(&self) -> Result<&'static str, StoreError> {
        let mut ear = self.store.listen().await?;
        self.hearing.missed();
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_itself = Instant::now();
        let mut alive: HashMap<u64, Instant> = HashMap::new();
        loop {
            tokio::select! {
                said = ear.next() => {
                    let Some(said) = said? else { return Ok("the connection was lost") };
                    // A later build may say things that this one does not know.
                    let Ok(envelope) = serde_json::from_str::<Envelope>(&said) else { continue };
                    if envelope.replica == self.replicas.number() {
                        heard_itself = Instant::now();
                        continue;
                    }
                    alive.insert(envelope.replica, Instant::now());
                    self.hearing.hear_other(envelope);
                }
                _ = beat.tick() => {
                    if heard_itself.elapsed() > SILENCE {
                        return Ok("the connection does not bring what this replica says itself");
                    }
                    self.replicas.tell(Told::Alive);
                    alive.retain(|_, heard| heard.elapsed() <= SILENCE);
                    self.hearing.inbox.keep_lookers_of(|replica| alive.contains_key(&replica));
                }
            }
        }
    }
}
