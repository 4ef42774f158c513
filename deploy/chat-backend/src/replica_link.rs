//! Wakes this replica's sockets: for what was done here, and for what the other replicas tell.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{
    inbox::Inbox,
    notifier::{ConversationNotifier, of_visitor},
    replicas::{Envelope, Outgoing, ReplicaMessage, Replicas},
    store::{Store, StoreError},
};

/// How often a replica sends that it is alive. It must receive that itself: otherwise its connection brings nothing any more.
const BEAT: Duration = Duration::from_secs(2);
/// After so long without a message of its own a replica connects anew. After so long without one of another replica it takes that
/// replica's operators for gone.
const SILENCE: Duration = Duration::from_secs(7);
/// When it tries again where the database cannot be reached.
const RETRY: Duration = Duration::from_secs(1);
/// How long sending may take. A server that vanished without a word would keep it waiting for minutes.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// Wakes sockets of this process.
#[derive(Clone, Debug)]
pub(crate) struct LocalWaker {
    pub(crate) notifier: ConversationNotifier,
    pub(crate) inbox: Inbox,
}

impl LocalWaker {
    /// Wakes those that show what the message is about.
    pub(crate) fn wake(&self, message: &ReplicaMessage) {
        match message {
            ReplicaMessage::Changed { tenant_id, conversation_id } => {
                self.notifier.changed(conversation_id);
                self.inbox.changed(*tenant_id, conversation_id);
            }
            ReplicaMessage::Began { tenant_id, visitor_user_id } => {
                self.notifier.changed(&of_visitor(*tenant_id, visitor_user_id));
            }
            ReplicaMessage::Read { tenant_id, conversation_id } => self.inbox.changed(*tenant_id, conversation_id),
            ReplicaMessage::Typing { tenant_id, conversation, role, operator, to_visitor } => {
                self.inbox.typing(*tenant_id, conversation, *role, operator.clone());
                if *to_visitor {
                    self.notifier.writing(&conversation.conversation_id);
                }
            }
            // These messages are for the other replicas. The inbox here knows already.
            ReplicaMessage::Watching { .. }
            | ReplicaMessage::WhoWatches { .. }
            | ReplicaMessage::Restarts
            | ReplicaMessage::Alive => {}
        }
    }

    /// Does what another replica's message asks for.
    fn receive(&self, Envelope { replica, message }: Envelope) {
        match message {
            ReplicaMessage::Watching { tenant_id, seat, watching } => {
                self.inbox.watch(tenant_id, (replica, seat), watching);
            }
            ReplicaMessage::WhoWatches { tenant_id } => self.inbox.send_watching(tenant_id),
            ReplicaMessage::Restarts => self.inbox.forget_watching_of(|of| of == replica),
            message => self.wake(&message),
        }
    }

    /// Messages may have been missed: everybody reads the database again.
    fn wake_everyone(&self) {
        self.notifier.wake_everyone();
        self.inbox.wake_everyone();
    }
}

/// The link to the other replicas.
pub(crate) struct ReplicaLink {
    pub(crate) store: Store,
    pub(crate) replicas: Replicas,
    pub(crate) waker: LocalWaker,
}

impl ReplicaLink {
    /// Sends and receives, until it is dropped.
    pub(crate) async fn serve(self, outgoing: Outgoing) {
        tokio::join!(self.send(outgoing), self.receive());
    }

    async fn send(&self, mut outgoing: Outgoing) {
        let mut is_away = false;
        loop {
            let batch = outgoing.next_batch().await;
            if batch.is_empty() {
                continue;
            }
            let why = match timeout(SEND_WITHIN, self.store.say(&batch)).await {
                Ok(Ok(())) => {
                    is_away = false;
                    if self.replicas.take_lost() {
                        tracing::warn!("messages to the other replicas were lost: who looks at what is sent anew");
                        self.waker.inbox.send_all_watching();
                    }
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", SEND_WITHIN.as_secs()),
            };
            if !is_away {
                tracing::warn!(why, "the other replicas cannot be told who writes and who looks at what");
            }
            is_away = true;
            self.replicas.lose();
            sleep(RETRY).await;
        }
    }

    async fn receive(&self) {
        let mut is_away = false;
        loop {
            match self.receive_on_one_connection().await {
                Ok(why) => {
                    is_away = false;
                    tracing::warn!(why, "listens to the other replicas on another connection");
                }
                Err(error) if !is_away => {
                    is_away = true;
                    tracing::warn!(%error, "cannot listen to the other replicas");
                }
                Err(_) => {}
            }
            sleep(RETRY).await;
        }
    }

    /// Listens on one connection for as long as it brings messages, and answers why it ended.
    async fn receive_on_one_connection(&self) -> Result<&'static str, StoreError> {
        let doubted = self.store.doubted();
        tokio::pin!(doubted);
        let mut listener = self.store.listen().await?;
        self.waker.wake_everyone();
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let since = Instant::now();
        let mut own = since;
        let mut others: HashMap<u64, Instant> = HashMap::new();
        loop {
            tokio::select! {
                payload = listener.next() => {
                    let Some(payload) = payload? else { return Ok("the connection was lost") };
                    // A later build may send messages that this one does not know.
                    let Ok(envelope) = serde_json::from_str::<Envelope>(&payload) else { continue };
                    if envelope.replica == self.replicas.number() {
                        own = Instant::now();
                        continue;
                    }
                    others.insert(envelope.replica, Instant::now());
                    self.waker.receive(envelope);
                }
                // A commit whose answer was lost, too: it may be committed, and the sockets here were not woken after it.
                () = &mut doubted => return Ok("a connection to the database was lost"),
                _ = beat.tick() => {
                    if own.elapsed() > SILENCE {
                        return Ok("the connection does not bring what this replica sends itself");
                    }
                    self.replicas.send(&ReplicaMessage::Alive);
                    if since.elapsed() > SILENCE {
                        others.retain(|_, heard| heard.elapsed() <= SILENCE);
                        self.waker.inbox.forget_watching_of(|of| !others.contains_key(&of));
                    }
                }
            }
        }
    }
}
