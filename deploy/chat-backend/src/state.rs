//! What the routes and the sockets share.

use std::time::Duration;

use axum::extract::FromRef;
use service::{ApiError, config::SecretList, telemetry::metrics::Metrics};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::TenantId;

use super::{
    bot::{self, Reply},
    config::{FilesConfig, MailConfig},
    demo_knowledge::DemoKnowledge,
    events_url::EventsUrl,
    files::{Files, ObjectsError, sweep},
    inbox::Inbox,
    mailer::Mailer,
    mails::Mails,
    notifier::ConversationNotifier,
    outbox::Outbox,
    publisher::Publisher,
    records::{conversations::Conversation, documents},
    replica_link::{LocalWaker, ReplicaLink},
    replicas::{ReplicaMessage, Replicas},
    store::{Store, StoreError, Transaction, commit, unavailable},
};

/// What the routes and the sockets share.
#[derive(Clone, Debug)]
pub struct Backend {
    pub(crate) store: Store,
    pub(crate) notifier: ConversationNotifier,
    pub(crate) inbox: Inbox,
    /// The files that visitors and operators send, if they are kept here.
    pub(crate) files: Option<Files>,
    replicas: Replicas,
    /// What the bot answers visitors of local pages from, for tenants that have ingested nothing; only on a laptop where `/demo`
    /// is on.
    demo_knowledge: Option<DemoKnowledge>,
    /// Visitors' sockets, which outlive the requests they began as.
    pub(crate) sockets: TaskTracker,
    pub(crate) stopping: CancellationToken,
    pub(crate) outbox: Outbox,
    pub(crate) mails: Mails,
    /// The publisher and the mailer.
    senders: TaskTracker,
    /// How long the bot composes an answer, beside the search.
    bot_pause: Duration,
    /// Cancelled once calls and sockets are done: nothing more is written, and the publisher sends what is left.
    drained: CancellationToken,
}

impl Backend {
    /// Over an open store, until `stopping` is cancelled. Call it inside the runtime: on PostgreSQL it begins to listen to the other replicas,
    /// until [`Backend::close`].
    #[must_use]
    pub fn new(store: Store, stopping: CancellationToken) -> Self {
        let (replicas, outgoing) = Replicas::of(&store);
        let notifier = ConversationNotifier::default();
        let inbox = Inbox::new(store.clone(), replicas.clone());
        let drained = CancellationToken::new();
        if let Some(outgoing) = outgoing {
            let waker = LocalWaker { notifier: notifier.clone(), inbox: inbox.clone() };
            let link = ReplicaLink { store: store.clone(), replicas: replicas.clone(), waker };
            let drained = drained.clone();
            tokio::spawn(async move { drained.run_until_cancelled(link.serve(outgoing)).await });
        }
        Self {
            inbox,
            files: None,
            replicas,
            store,
            notifier,
            demo_knowledge: None,
            sockets: TaskTracker::new(),
            stopping,
            outbox: Outbox::default(),
            mails: Mails::default(),
            senders: TaskTracker::new(),
            bot_pause: Duration::ZERO,
            drained,
        }
    }

    /// Publishes events and usage to the admin service's REST listener, signed with the first of the secrets, until
    /// [`Backend::close`]. Call it once, inside the runtime, before the first request is served: what is written before is not
    /// published.
    #[must_use]
    pub fn publishing_to(mut self, url: &EventsUrl, secrets: &SecretList, metrics: &Metrics) -> Self {
        self.outbox = Outbox::collected();
        let publisher = Publisher::new(self.store.clone(), self.outbox.clone(), url, secrets, metrics);
        self.senders.spawn(publisher.run(self.drained.clone()));
        self
    }

    /// Keeps the files that visitors and operators send, until [`Backend::close`]. Call it once, inside the runtime, before the first request
    /// is served.
    ///
    /// # Errors
    /// Those of the place where they are kept.
    pub fn keeping_files(mut self, config: &FilesConfig) -> Result<Self, ObjectsError> {
        let files = Files::open(config, self.store.clone())?;
        self.senders.spawn(sweep(files.clone(), self.drained.clone()));
        self.files = Some(files);
        Ok(self)
    }

    /// Mails what people answer to visitors who do not read it, until [`Backend::close`]. Call it once, inside the runtime, before the first
    /// request is served.
    ///
    /// # Panics
    /// Never: the URL was checked when it was read.
    #[must_use]
    pub fn mailing(mut self, config: &MailConfig, metrics: &Metrics) -> Self {
        self.mails = Mails::sent_after(config.after);
        let mailer = Mailer::new(self.store.clone(), config, metrics).expect("the URL was checked when it was read");
        self.senders.spawn(mailer.run(self.drained.clone()));
        self
    }

    /// Lets the bot answer from a few articles about a shop that does not exist: visitors of local pages (`localhost` or loopback),
    /// for tenants that have ingested nothing. Never call this in a deployment with real tenants: it would put words into their
    /// bots' mouths.
    ///
    /// # Errors
    /// Those of the database in memory that holds the articles.
    pub async fn with_demo_knowledge(mut self) -> Result<Self, StoreError> {
        self.demo_knowledge = Some(DemoKnowledge::open().await?);
        Ok(self)
    }

    /// Commits a transaction, and wakes the sockets that show what it changed, here and on every other replica. The message says what
    /// that is.
    ///
    /// # Errors
    /// `store_unavailable`, `outcome_unknown`.
    pub(crate) async fn commit(&self, transaction: Transaction, message: ReplicaMessage) -> Result<(), ApiError> {
        self.replicas.send_with(&transaction, &message).await.map_err(unavailable)?;
        let (waker, outbox) = (self.waker(), self.outbox.clone());
        // A task of its own: a caller who leaves now must not keep the sockets from being woken after the commit.
        let committing = tokio::spawn(async move {
            let committed = commit(transaction).await;
            outbox.wake();
            waker.wake(&message);
            committed
        });
        committing.await.unwrap_or_else(|_| Err(ApiError::internal("a commit was not carried out to its end")))
    }

    /// Tells what no transaction has to keep, here and to every other replica.
    pub(crate) fn tell(&self, message: &ReplicaMessage) {
        self.waker().wake(message);
        self.replicas.send(message);
    }

    fn waker(&self) -> LocalWaker {
        LocalWaker { notifier: self.notifier.clone(), inbox: self.inbox.clone() }
    }

    /// Lets the bot take this long for an answer: visitors then see that it writes, and an operator can take over meanwhile.
    #[must_use]
    pub fn with_bot_pause(mut self, pause: Duration) -> Self {
        self.bot_pause = pause;
        self
    }

    /// What the bot replies to a visitor's message.
    pub(crate) async fn bot_reply(
        &self,
        tenant_id: TenantId,
        conversation: &Conversation,
        message: &str,
    ) -> Result<Reply, StoreError> {
        let rows = self.store.of(tenant_id);
        if !self.bot_pause.is_zero() {
            tokio::time::sleep(self.bot_pause).await;
        }
        match &self.demo_knowledge {
            // A proxy that no setting names may bring a real shop's visitors to a loopback listener. Their page is not local: no demo.
            Some(demo) if conversation.is_of_local_page() && !documents::has_documents(&rows).await? => {
                demo.reply(message).await
            }
            _ => bot::reply(&rows, message).await,
        }
    }

    /// Waits until visitors' sockets are closed, what is left in the outbox was tried once more and a mail that is being sent is sent
    /// (10 s at most), and closes the store.
    ///
    /// # Errors
    /// The store's.
    pub async fn close(self) -> Result<(), StoreError> {
        self.sockets.close();
        self.sockets.wait().await;
        self.senders.close();
        self.drained.cancel();
        self.senders.wait().await;
        self.store.close().await
    }
}

impl FromRef<Backend> for Store {
    fn from_ref(backend: &Backend) -> Self {
        backend.store.clone()
    }
}
