//! Mails what people have answered to visitors who have not read it: each answer once, to the address that the visitor left.
//!
//! Several replicas may look at one conversation: whoever has its lock first notes that it sends, and the others find nothing due. If the
//! mail server's answer is lost, or a process dies before it has noted it, the mail is sent once more, under the same `Message-ID`.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor, message::Mailbox, transport::smtp};
use service::{ApiError, telemetry::metrics::Metrics};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use wire::{ErrorCode, TenantId, time::now_unix_ms};

use super::{
    config::MailConfig,
    mails::millis,
    records::{
        conversations::{self, Conversation},
        mails, messages,
    },
    store::{OfTenant, Store, StoreError, Transaction, commit, unavailable},
};

mod letter;
mod metrics;

use letter::Letter;
use metrics::{MailMetrics, Sent};

/// Conversations that are looked at in one round.
const BATCH: u64 = 50;
/// Mails that are sent at once.
const AT_ONCE: usize = 4;
/// Answers in one mail. The others follow in the next one.
const ANSWERS: u64 = 50;
/// How often it looks for what is due, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long it may take to connect to the mail server, and to send one mail.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(45);
/// How long nobody else sends what one process has begun to send: well above what its mail server may take.
const CLAIM: Duration = Duration::from_secs(120);
/// The pauses after failures; the last one from then on.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(1800), Duration::from_secs(7200)];
/// An answer that could not be mailed for so long is not mailed any more.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long a mail that is being sent may still take when the process ends.
const LAST_TRY: Duration = Duration::from_secs(10);
/// How often, a second apart, it tries to note what became of a mail, before another attempt sends the mail again.
const NOTES: usize = 30;
/// When it looks again at a conversation that it cannot read.
const UNREADABLE: Duration = Duration::from_secs(3600);
/// What a mail server says to a client that it does not let in: nothing of the mail is wrong then.
const NOT_LET_IN: [u16; 4] = [530, 534, 535, 538];

/// Sends mails.
pub(crate) struct Mailer {
    store: Store,
    smtp: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    after: Duration,
    metrics: MailMetrics,
}

/// A mail that only this process sends now.
struct Claimed {
    letter: Letter,
    /// Its last message.
    up_to: String,
    /// How often it was tried, this time included.
    attempts: i32,
}

impl Mailer {
    /// Over an open store.
    pub(crate) fn new(store: Store, config: &MailConfig, metrics: &Metrics) -> Result<Self, smtp::Error> {
        let smtp = AsyncSmtpTransport::<Tokio1Executor>::from_url(config.url.expose())?
            .timeout(Some(CONNECT_PATIENCE))
            .build();
        let (from, after) = (config.from.clone(), config.after);
        Ok(Self { store, smtp, from, after, metrics: MailMetrics::new(metrics) })
    }

    /// Sends what is due until it is told to end.
    pub(crate) async fn run(self, ending: CancellationToken) {
        let look_every = (self.after / 4).clamp(Duration::from_millis(50), LOOK_EVERY);
        loop {
            tokio::select! {
                () = ending.cancelled() => return,
                () = sleep(look_every) => {}
            }
            let out_of_time = async {
                ending.cancelled().await;
                sleep(LAST_TRY).await;
            };
            tokio::select! {
                () = out_of_time => return,
                looked = self.round(&ending) => {
                    if let Err(error) = looked {
                        tracing::warn!(%error, "the mailer cannot look for what is due");
                    }
                }
            }
        }
    }

    async fn round(&self, ending: &CancellationToken) -> Result<(), StoreError> {
        let due = mails::due(&self.store, now_unix_ms(), BATCH).await?;
        let sending = stream::iter(due).for_each_concurrent(AT_ONCE, |(tenant_id, conversation_id)| async move {
            if !ending.is_cancelled() {
                self.look_at(tenant_id, &conversation_id).await;
            }
        });
        sending.await;
        Ok(())
    }

    async fn look_at(&self, tenant_id: TenantId, conversation_id: &str) {
        let claimed = match self.claim(tenant_id, conversation_id).await {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%tenant_id, conversation_id, cause = error.cause(), "a conversation whose answers are to be mailed cannot be read");
                // A database that is away is away for all. Another fault is this row's: it must not stand in the others' way.
                if error.code() == ErrorCode::Internal
                    && let Err(error) = self.put_aside(tenant_id, conversation_id).await
                {
                    tracing::warn!(%tenant_id, conversation_id, cause = error.cause(), "nor can it be put off");
                }
                return;
            }
        };
        let Claimed { letter, up_to, attempts } = claimed;
        let sent = self.send(tenant_id, conversation_id, letter).await;
        self.metrics.note(&sent);
        for _ in 0..NOTES {
            match self.note(tenant_id, conversation_id, (&up_to, attempts), &sent).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%tenant_id, conversation_id, cause = error.cause(), "what became of a mail is not noted yet");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
        tracing::error!(%tenant_id, conversation_id, "what became of a mail could not be noted: it may be sent twice");
    }

    async fn put_aside(&self, tenant_id: TenantId, conversation_id: &str) -> Result<(), ApiError> {
        let transaction = self.store.begin().await.map_err(unavailable)?;
        let rows = OfTenant::new(&transaction, tenant_id);
        let later = now_unix_ms() + millis(UNREADABLE);
        mails::put_off(&rows, conversation_id, Some(later)).await.map_err(unavailable)?;
        commit(transaction).await
    }

    /// Notes what became of an attempt, if it is still the one that is under way.
    async fn note(
        &self,
        tenant_id: TenantId,
        conversation_id: &str,
        (up_to, attempts): (&str, i32),
        sent: &Sent,
    ) -> Result<(), ApiError> {
        let transaction = self.store.begin().await.map_err(unavailable)?;
        let rows = OfTenant::new(&transaction, tenant_id);
        conversations::find_to_change(&rows, conversation_id).await?;
        let mailing = mails::find(&rows, conversation_id).await.map_err(unavailable)?;
        // This process may have been paused for so long that another one has taken over.
        let is_under_way = mailing.is_some_and(|mailing| {
            mailing.mailing_up_to.as_deref() == Some(up_to) && mailing.mail_attempts == attempts
        });
        if !is_under_way {
            return transaction.rollback().await.map_err(unavailable);
        }
        match sent {
            Sent::Taken | Sent::Refused => self.done(&rows, conversation_id, up_to).await,
            Sent::Later => {
                let pause = PAUSES[usize::try_from(attempts - 1).unwrap_or_default().min(PAUSES.len() - 1)];
                mails::put_off(&rows, conversation_id, Some(now_unix_ms() + millis(pause))).await
            }
        }
        .map_err(unavailable)?;
        commit(transaction).await
    }

    /// Looks what is due, and notes that this process sends it.
    async fn claim(&self, tenant_id: TenantId, conversation_id: &str) -> Result<Option<Claimed>, ApiError> {
        let transaction = self.store.begin().await.map_err(unavailable)?;
        let rows = OfTenant::new(&transaction, tenant_id);
        let conversation = conversations::find_to_change(&rows, conversation_id).await?;
        let claimed = self.choose(&rows, &conversation).await.map_err(unavailable)?;
        commit(transaction).await?;
        Ok(claimed)
    }

    async fn choose(
        &self,
        rows: &OfTenant<'_, Transaction>,
        conversation: &Conversation,
    ) -> Result<Option<Claimed>, StoreError> {
        let (id, now) = (conversation.row.id.as_str(), now_unix_ms());
        let Some(mailing) = mails::find(rows, id).await? else { return Ok(None) };
        if mailing.mail_due_at.is_none_or(|due_at| due_at > now) {
            return Ok(None);
        }
        // Who writes has seen what stands above.
        let wrote = messages::newest_of_visitor(rows, id).await?;
        let read = conversation.row.read_up_to.clone().unwrap_or_default();
        let after = wrote.max(read).max(mailing.mailed_up_to);
        let begun = messages::answers(rows, id, (&after, mailing.mailing_up_to.as_deref()), ANSWERS).await?;
        // Of the mail that was tried last, the visitor may have read everything by now.
        let is_again = mailing.mailing_up_to.is_some() && !begun.is_empty();
        let mut answers = if is_again { begun } else { messages::answers(rows, id, (&after, None), ANSWERS).await? };
        // Some may be from before there was a mail server, or from before it was away for long.
        let all = answers.len();
        let newest = answers.last().map(|answer| answer.id.clone());
        answers.retain(|answer| answer.created_at + millis(GIVE_UP_AFTER) >= now);
        if answers.len() < all {
            tracing::warn!(tenant_id = %rows.tenant_id(), conversation_id = id, answers = all - answers.len(), "answers are too old to be mailed");
        }
        if let Some(newest) = newest.filter(|_| answers.is_empty()) {
            self.done(rows, id, &newest).await?;
            return Ok(None);
        }
        let (Some(first), Some(last)) = (answers.first(), answers.last()) else {
            mails::done(rows, id, (&after, None)).await?;
            return Ok(None);
        };
        if first.created_at + millis(self.after) > now {
            mails::done(rows, id, (&after, Some(first.created_at + millis(self.after)))).await?;
            return Ok(None);
        }
        let Some(address) = address(conversation) else {
            mails::put_off(rows, id, None).await?;
            return Ok(None);
        };
        let Ok(to) = address.parse::<Address>() else {
            tracing::warn!(tenant_id = %rows.tenant_id(), conversation_id = id, "an answer is not mailed: the address is none");
            self.metrics.note(&Sent::Refused);
            self.done(rows, id, &last.id).await?;
            return Ok(None);
        };
        let attempts = if is_again { mailing.mail_attempts } else { 0 } + 1;
        let up_to = last.id.clone();
        mails::begin(rows, id, (&up_to, attempts, now + millis(CLAIM))).await?;
        let letter = Letter::of(conversation, &answers, to, self.from.email.domain());
        Ok(Some(Claimed { letter, up_to, attempts }))
    }

    async fn send(&self, tenant_id: TenantId, conversation_id: &str, letter: Letter) -> Sent {
        let message = match letter.message(&self.from) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(%tenant_id, conversation_id, %error, "a mail cannot be written");
                return Sent::Refused;
            }
        };
        let sending = timeout(PATIENCE, self.smtp.send(message)).await;
        let Ok(sent) = sending else {
            tracing::warn!(%tenant_id, conversation_id, "the mail server says nothing: the mail is tried again");
            return Sent::Later;
        };
        match sent {
            Ok(_) => Sent::Taken,
            Err(error) if error.is_permanent() && self.is_let_in(&error).await => {
                tracing::warn!(%tenant_id, conversation_id, %error, "the mail server refuses a mail: it is not sent again");
                Sent::Refused
            }
            Err(error) => {
                tracing::warn!(%tenant_id, conversation_id, %error, "a mail was not sent: it is tried again");
                Sent::Later
            }
        }
    }

    /// Whether the mail server, which has refused something for good, lets this client in at all. If it does not, the mail may pass later.
    async fn is_let_in(&self, refusal: &smtp::Error) -> bool {
        if refusal.status().is_some_and(|code| NOT_LET_IN.contains(&u16::from(code))) {
            return false;
        }
        matches!(timeout(PATIENCE, self.smtp.test_connection()).await, Ok(Ok(true)))
    }

    /// Nothing up to this message is left to mail. What was answered after it has its own time.
    async fn done(&self, rows: &OfTenant<'_, Transaction>, id: &str, up_to: &str) -> Result<(), StoreError> {
        let later = messages::answers(rows, id, (up_to, None), 1).await?;
        let next_due_at = later.first().map(|answer| answer.created_at + millis(self.after));
        mails::done(rows, id, (up_to, next_due_at)).await
    }
}

/// Where the conversation's answers go: to the address that the visitor left, or that came with a contact form. A tenant's backend that
/// knows the visitor's address may show the answers elsewhere.
fn address(conversation: &Conversation) -> Option<&str> {
    let row = &conversation.row;
    // A contact form's sender is known by the address alone.
    let of_form = row.visitor_email.as_deref().filter(|email| *email == row.visitor_user_id);
    row.answers_email.as_deref().or(of_form)
}
