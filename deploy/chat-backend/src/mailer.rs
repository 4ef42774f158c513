//! Mails answers of people to visitors who have not read them. Each answer is mailed once.
//!
//! Every replica runs a mailer. A mailer takes the conversation's lock and notes that it sends; the other mailers then find nothing due.
//! The mail is sent a second time, with the same `Message-ID`, if the mail server's answer is lost, or if the process dies before it has
//! noted that answer.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor, message::Mailbox, transport::smtp};
use service::{ApiError, telemetry::metrics::Metrics};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use wire::{
    ErrorCode, TenantId,
    time::{after_unix_ms, now_unix_ms},
};

use super::{
    config::MailConfig,
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
/// Answers in one mail. The next mail has the others.
const ANSWERS: u64 = 50;
/// The longest pause between two looks for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long it may take to connect to the mail server, and to send one mail.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(45);
/// While one mailer sends a mail, the other mailers do not send it for this long.
const CLAIM: Duration = Duration::from_secs(120);
/// The pauses after the first failures, and after every later one.
const PAUSES: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(1800)];
const LATER_PAUSE: Duration = Duration::from_secs(7200);
/// An answer that is older than this is not mailed any more.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long a mail that is being sent may still take when the process ends.
const LAST_TRY: Duration = Duration::from_secs(10);
/// How long it tries to note what became of a mail. After that, another mailer may send the mail again.
const NOTE_WITHIN: Duration = Duration::from_secs(25);
const NOTE_AGAIN: Duration = Duration::from_secs(1);
/// When it looks again at a conversation that it cannot read.
const UNREADABLE: Duration = Duration::from_secs(3600);
/// What a mail server says to a client that it does not let in (RFC 4954). The mail itself may be right.
const NOT_LET_IN: [u16; 4] = [530, 534, 535, 538];

// A refused mail takes the time to send it, to ask whether the server lets this client in, and to note it.
const _: () = assert!(2 * PATIENCE.as_secs() + NOTE_WITHIN.as_secs() < CLAIM.as_secs());

/// Sends mails.
pub(crate) struct Mailer {
    store: Store,
    smtp: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    after: Duration,
    /// How long the mail server may take for one mail.
    patience: Duration,
    metrics: MailMetrics,
}

/// A mail that no other mailer sends now.
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
        Ok(Self { store, smtp, from, after, patience: PATIENCE, metrics: MailMetrics::new(metrics) })
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
            Err(error) => return self.claim_failed(tenant_id, conversation_id, &error).await,
        };
        let Claimed { letter, up_to, attempts } = claimed;
        let sent = self.send(tenant_id, conversation_id, letter).await;
        self.metrics.note(&sent);
        let noting = async {
            while let Err(error) = self.note(tenant_id, conversation_id, (&up_to, attempts), &sent).await {
                tracing::warn!(%tenant_id, conversation_id, cause = error.cause(), "the database does not take what became of a mail: it is asked again");
                sleep(NOTE_AGAIN).await;
            }
        };
        if timeout(NOTE_WITHIN, noting).await.is_err() {
            tracing::error!(%tenant_id, conversation_id, "the database did not take what became of a mail: the mail may be sent twice");
        }
    }

    /// Puts a conversation off that cannot be read, so that it does not stand in the way of the others. Where the database is away, it is
    /// away for all of them, and nothing is put off.
    async fn claim_failed(&self, tenant_id: TenantId, conversation_id: &str, error: &ApiError) {
        tracing::warn!(%tenant_id, conversation_id, cause = error.cause(), "the mailer cannot read a conversation");
        if error.code() != ErrorCode::Internal {
            return;
        }
        if let Err(error) = self.put_off(tenant_id, conversation_id).await {
            tracing::warn!(%tenant_id, conversation_id, cause = error.cause(), "the mailer cannot put off a conversation that it cannot read");
        }
    }

    async fn put_off(&self, tenant_id: TenantId, conversation_id: &str) -> Result<(), ApiError> {
        let transaction = self.store.begin().await.map_err(unavailable)?;
        let rows = OfTenant::new(&transaction, tenant_id);
        let later = after_unix_ms(now_unix_ms(), UNREADABLE);
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
                let due_at = after_unix_ms(now_unix_ms(), pause_after(attempts));
                mails::put_off(&rows, conversation_id, Some(due_at)).await
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
        // A visitor who writes has seen the messages above.
        let wrote = messages::newest_of_visitor(rows, id).await?;
        let read = conversation.row.read_up_to.clone().unwrap_or_default();
        let after = wrote.max(read).max(mailing.mailed_up_to);
        let begun = messages::answers(rows, id, (&after, mailing.mailing_up_to.as_deref()), ANSWERS).await?;
        // The visitor may have read all answers of the mail that was tried last. Then the newer answers are a mail of their own.
        let is_again = mailing.mailing_up_to.is_some() && !begun.is_empty();
        let mut answers = if is_again { begun } else { messages::answers(rows, id, (&after, None), ANSWERS).await? };
        // Answers may be left from before mail was configured, or from before the mail server was away for days.
        let all = answers.len();
        let newest = answers.last().map(|answer| answer.id.clone());
        answers.retain(|answer| after_unix_ms(answer.created_at, GIVE_UP_AFTER) >= now);
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
        let due_at = after_unix_ms(first.created_at, self.after);
        if due_at > now {
            mails::done(rows, id, (&after, Some(due_at))).await?;
            return Ok(None);
        }
        let Some(address) = address(conversation) else {
            mails::put_off(rows, id, None).await?;
            return Ok(None);
        };
        let Ok(to) = address.parse::<Address>() else {
            tracing::warn!(tenant_id = %rows.tenant_id(), conversation_id = id, "an answer is not mailed: no mail can be sent to the address");
            self.metrics.note(&Sent::Refused);
            self.done(rows, id, &last.id).await?;
            return Ok(None);
        };
        let attempts = if is_again { mailing.mail_attempts } else { 0 } + 1;
        let up_to = last.id.clone();
        mails::begin(rows, id, (&up_to, attempts, after_unix_ms(now, CLAIM))).await?;
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
        let sending = timeout(self.patience, self.smtp.send(message)).await;
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

    /// Whether a mail server that has refused a mail lets this client in at all. If it does not, it may take the mail later.
    async fn is_let_in(&self, refusal: &smtp::Error) -> bool {
        if refusal.status().is_some_and(|code| NOT_LET_IN.contains(&u16::from(code))) {
            return false;
        }
        matches!(timeout(self.patience, self.smtp.test_connection()).await, Ok(Ok(true)))
    }

    /// Notes that nothing up to this message is left to mail, and when the next answer is due.
    async fn done(&self, rows: &OfTenant<'_, Transaction>, id: &str, up_to: &str) -> Result<(), StoreError> {
        let later = messages::answers(rows, id, (up_to, None), 1).await?;
        let next_due_at = later.first().map(|answer| after_unix_ms(answer.created_at, self.after));
        mails::done(rows, id, (up_to, next_due_at)).await
    }
}

/// The address for the conversation's answers: the one that the visitor left, or the one of the contact form. An address that the tenant's
/// backend gave is not used, since that backend may show the answers elsewhere.
fn address(conversation: &Conversation) -> Option<&str> {
    let row = &conversation.row;
    // A contact form names its sender by the address.
    let of_form = row.visitor_email.as_deref().filter(|email| *email == row.visitor_user_id);
    row.answers_email.as_deref().or(of_form)
}

/// How long to wait after so many attempts.
fn pause_after(attempts: i32) -> Duration {
    let failures = usize::try_from(attempts).unwrap_or(usize::MAX);
    PAUSES.get(failures.saturating_sub(1)).copied().unwrap_or(LATER_PAUSE)
}

#[cfg(test)]
mod tests {
    use service::config::Sources;
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Config;

    #[test]
    fn each_failure_makes_the_pause_longer_up_to_the_last_one() {
        let minutes = [1, 2, 3, 4, 5, i32::MAX].map(|attempts| pause_after(attempts).as_secs() / 60);
        assert_eq!(minutes, [1, 5, 30, 120, 120, 120]);
    }

    #[tokio::test]
    async fn a_mail_server_that_says_nothing_is_left_and_tried_again() {
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("smtp://{}", silent.local_addr().expect("an address"));
        let set = [("CHAT_BACKEND_SMTP_URL", url.as_str()), ("CHAT_BACKEND_SMTP_FROM", "chat@relay.example")];
        let env = set.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let config = Config::load(&Sources { args: Vec::new(), env }).expect("settings").mail.expect("mail is sent");
        let directory = tempfile::tempdir().expect("a directory");
        let file = format!("sqlite://{}?mode=rwc", directory.path().join("chat.db").display());
        let store = Store::open(&file).await.expect("it opens");
        let mut mailer = Mailer::new(store, &config, &Metrics::default()).expect("a mailer");
        mailer.patience = Duration::from_millis(100);
        let letter = Letter {
            to: "ada@example.com".parse().expect("an address"),
            subject: "An answer".to_owned(),
            body: "Hi.".to_owned(),
            message_id: "<1@relay.example>".to_owned(),
        };
        let keeps_open = tokio::spawn(async move { silent.accept().await });
        let sent = mailer.send(TenantId::generate(), "c", letter).await;
        assert!(matches!(sent, Sent::Later));
        let _connection = keeps_open.await.expect("no panic").expect("the mailer has connected");
    }
}
