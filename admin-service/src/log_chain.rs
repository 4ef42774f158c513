//! What makes a log's rows a chain: each carries a MAC over itself and the MAC of the row before it, under a key derived from a
//! master key. Without a master key nobody can alter, insert or delete a chained row unnoticed, except at the end: a missing end,
//! and a database that was made to look like one from before the chain, show only against a head that was noted elsewhere. So the
//! service logs each log's head.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use crate::{
    domain::{access::RecordedAccess, audit::RecordedAudit},
    sealing::MasterKeys,
};

/// A MAC of 32 bytes. The first row follows on zeros.
pub type Link = [u8; 32];

/// The chained logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// The history of changes.
    Audit,
    /// Events that change nothing, such as issued tokens and wrong keys.
    Access,
}

impl Log {
    /// Its name, in the database and in what is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit_log",
            Self::Access => "access_log",
        }
    }
}

/// A MAC, and the master key that its key is derived from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// The master key's id.
    pub(crate) key_id: String,
    /// The MAC.
    pub(crate) mac: Link,
}

/// Where a chain begins: what came before is not in it. Rows from before there was a chain, and rows that were pruned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// The number of the last row before it.
    pub(crate) through: u64,
    /// The MAC that the first row follows on.
    pub(crate) link: Link,
    /// Over both.
    pub(crate) sealed: Sealed,
}

/// The newest row's number and MAC. Written `number:hex`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Rows are numbered from 1 without gaps.
    pub number: u64,
    /// Its MAC.
    pub link: Link,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, hex::encode(self.link))
    }
}

impl std::str::FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be a head as the service logs it: a number, a colon, 64 hexadecimal digits".to_owned();
        let (number, link) = text.split_once(':').ok_or_else(wrong)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(link, &mut bytes).map_err(|_| wrong())?;
        Ok(Self { number: number.parse().map_err(|_| wrong())?, link: bytes })
    }
}

/// A row as its MAC covers it: every field with its length, so that no two rows read the same.
pub(crate) struct Content(Hmac<Sha256>);

impl Content {
    fn begin(key: &Hmac<Sha256>, log: Log, kind: &str) -> Self {
        Self(key.clone()).field(log.as_str().as_bytes()).field(kind.as_bytes())
    }

    fn field(self, bytes: &[u8]) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self(self.0.chain_update(length.to_be_bytes()).chain_update(bytes))
    }

    fn number(self, number: u64) -> Self {
        self.field(&number.to_be_bytes())
    }

    fn text(self, text: &str) -> Self {
        self.field(text.as_bytes())
    }

    fn link(self) -> Link {
        self.0.finalize().into_bytes().into()
    }
}

/// A row of a chained log.
pub(crate) trait Row {
    /// Which log it is of.
    const LOG: Log;

    /// Writes every field of it, but its MAC.
    fn write(&self, content: Content) -> Content;
}

impl Row for RecordedAudit {
    const LOG: Log = Log::Audit;

    fn write(&self, content: Content) -> Content {
        let Self { id, tenant_id, actor, action, request_id, subject, changed_fields, occurred_at } = self;
        let content = content.field(id.as_bytes()).field(tenant_id.as_uuid().as_bytes());
        let content = content.text(actor).text(action).text(request_id);
        let content = content.field(&occurred_at.as_millisecond().to_be_bytes()).number(changed_fields.len() as u64);
        let content = changed_fields.iter().fold(content, |content, field| content.text(field));
        // A row without a subject reads as it did before there were subjects, so yesterday's rows verify. No row with a subject reads
        // like one without: the number of changed fields stands before them, so a reader knows where they end, and after them comes
        // either nothing or one more field with its length.
        match subject {
            Some(subject) => content.text(subject),
            None => content,
        }
    }
}

impl Row for RecordedAccess {
    const LOG: Log = Log::Access;

    fn write(&self, content: Content) -> Content {
        let Self { kind, tenant_id, actor, subject, address, request_id, count, occurred_at } = self;
        let tenant_id = tenant_id.map_or_else(Uuid::nil, |id| id.as_uuid());
        let content = content.text(kind).field(tenant_id.as_bytes()).text(actor).text(subject);
        let content = content.text(address).text(request_id).number(*count);
        content.field(&occurred_at.as_millisecond().to_be_bytes())
    }
}

/// The MAC of the row with this number, which follows on `before`, under the newest master key.
pub(crate) fn seal<R: Row>(keys: &MasterKeys, before: &Link, number: u64, row: &R) -> Sealed {
    let (key_id, key) = keys.log_key();
    Sealed { key_id: key_id.to_owned(), mac: link(key, before, number, row) }
}

fn link<R: Row>(key: &Hmac<Sha256>, before: &Link, number: u64, row: &R) -> Link {
    row.write(Content::begin(key, R::LOG, "row").field(before).number(number)).link()
}

impl Anchor {
    /// Seals where a log's chain begins.
    #[must_use]
    pub(crate) fn new(keys: &MasterKeys, log: Log, through: u64, before: Link) -> Self {
        let (key_id, key) = keys.log_key();
        let mac = Self::mac(key, log, through, &before);
        Self { through, link: before, sealed: Sealed { key_id: key_id.to_owned(), mac } }
    }

    fn mac(key: &Hmac<Sha256>, log: Log, through: u64, before: &Link) -> Link {
        Content::begin(key, log, "anchor").number(through).field(before).link()
    }
}

/// How many problems are told one by one.
const MOST_PROBLEMS: usize = 100;

/// A log that is being verified, row after row in the order of their numbers.
pub(crate) struct Verification<'k> {
    keys: &'k MasterKeys,
    expected: Option<Head>,
    through: u64,
    head: Head,
    /// The newest row with a MAC.
    chained: Head,
    report: Report,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Rows whose MAC was right.
    pub(crate) verified: u64,
    /// Rows from before there was a chain.
    pub(crate) unchained: u64,
    /// What is wrong, the first hundred.
    pub(crate) problems: Vec<String>,
    /// All that is wrong.
    pub(crate) problem_count: u64,
    /// The newest row's.
    pub(crate) head: Option<Head>,
}

impl Report {
    fn problem(&mut self, problem: String) {
        self.problem_count += 1;
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

impl<'k> Verification<'k> {
    /// Begins at the anchor. `expected` is a head that was noted earlier.
    #[must_use]
    pub(crate) fn begin(keys: &'k MasterKeys, log: Log, anchor: Option<&Anchor>, expected: Option<Head>) -> Self {
        let mut report = Report::default();
        let (through, link) = anchor.map_or((0, Link::default()), |anchor| (anchor.through, anchor.link));
        if let Some(Anchor { sealed: Sealed { key_id, mac }, .. }) = anchor {
            match keys.log_key_of(key_id) {
                None => report.problem(unknown_key("the anchor", key_id)),
                Some(key) if Anchor::mac(key, log, through, &link) != *mac => {
                    report.problem("the anchor was altered: it is not known where the chain begins".to_owned());
                }
                Some(_) => {}
            }
        }
        if let Some(expected) = expected.filter(|expected| expected.number < through) {
            report.problem(format!("row {} of the expected head was pruned: expect a later one", expected.number));
        }
        if expected.is_some_and(|expected| expected.number == through && expected.link != link) {
            report.problem(format!(
                "row {through} is another than the expected head's: the chain was begun anew after it"
            ));
        }
        let head = Head { number: through, link };
        Self { keys, expected, through, head, chained: head, report }
    }

    /// Looks at the next row. `sealed` is `None` where it has no MAC.
    pub(crate) fn row<R: Row>(&mut self, number: u64, row: &R, sealed: Option<&Sealed>) {
        if number <= self.through {
            self.report.unchained += 1;
            if sealed.is_some() {
                self.report
                    .problem(format!("row {number} is chained and stands before the anchor: the anchor was made anew"));
            }
            return;
        }
        if number > self.head.number + 1 {
            self.report.problem(match number - self.head.number - 1 {
                1 => format!("row {} is missing", number - 1),
                _ => format!("rows {} to {} are missing", self.head.number + 1, number - 1),
            });
        }
        let Some(Sealed { key_id, mac }) = sealed else {
            self.report.problem(format!("row {number} has no MAC: an earlier version wrote it, or somebody else did"));
            self.head.number = number;
            return;
        };
        match self.keys.log_key_of(key_id) {
            None => self.report.problem(unknown_key(&format!("row {number}"), key_id)),
            Some(key) if link(key, &self.head.link, number, row) == *mac => self.report.verified += 1,
            Some(_) => {
                self.report.problem(format!("row {number} was altered, or does not follow on the one before it"));
            }
        }
        self.head = Head { number, link: *mac };
        self.chained = self.head;
        if let Some(expected) = self.expected.filter(|expected| expected.number == number)
            && expected.link != *mac
        {
            self.report.problem(format!("row {number} is another than the expected head's"));
        }
    }

    /// Passes over a row whose fields cannot be read.
    pub(crate) fn unreadable(&mut self, number: u64, error: &dyn fmt::Display, sealed: Option<&Sealed>) {
        self.report.problem(format!("row {number} cannot be read: {error}"));
        self.head.number = number;
        if let Some(Sealed { mac, .. }) = sealed {
            self.head.link = *mac;
            self.chained = self.head;
        }
    }

    /// Passes over a row whose number no row can have.
    pub(crate) fn impossible(&mut self, number: i64) {
        self.report.problem(format!("row {number} was inserted: rows are numbered from 1"));
    }

    /// Ends after the last row. `recorded` is the head as it is kept beside the log, where that is looked at.
    #[must_use]
    pub(crate) fn end(mut self, recorded: Option<Head>) -> Report {
        if let Some(recorded) = recorded.filter(|recorded| *recorded != self.chained) {
            let (has, kept) = (self.chained.number, recorded.number);
            self.report.problem(format!(
                "the newest row is {has}, and log_chain names row {kept} with its own MAC: the end was altered"
            ));
        }
        if let Some(expected) = self.expected.filter(|expected| expected.number > self.head.number) {
            let (has, wanted) = (self.head.number, expected.number);
            self.report
                .problem(format!("the tail is missing: the log ends with row {has}, and row {wanted} was expected"));
        }
        self.report.head = (self.head.number > 0).then_some(self.head);
        self.report
    }
}

fn unknown_key(what: &str, key_id: &str) -> String {
    format!(
        "{what} is chained under master key {key_id:?}, which is not configured: add it to master_keys to verify it"
    )
}

#[cfg(test)]
mod tests;
