//! Events that change nothing: issued tokens, wrong keys, secrets that were read.

use std::net::IpAddr;

use jiff::Timestamp;
use wire::TenantId;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AccessKind {
    /// An operator got a token.
    IssueOperatorToken,
    /// A visitor whom the tenant's backend knows got a token.
    MintVisitorToken,
    /// Somebody came with no admin key or a wrong one.
    RefuseOperator,
    /// Somebody came over gRPC with no service token or a wrong one.
    RefuseService,
    /// A tenant's secret was read over gRPC.
    ReadSecret,
    /// There was more than could be kept until it was written: `count` says how much.
    NotRecorded,
}

impl AccessKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::IssueOperatorToken,
        Self::MintVisitorToken,
        Self::RefuseOperator,
        Self::RefuseService,
        Self::ReadSecret,
        Self::NotRecorded,
    ];

    /// Its text, on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IssueOperatorToken => "issue_operator_token",
            Self::MintVisitorToken => "mint_visitor_token",
            Self::RefuseOperator => "refuse_operator",
            Self::RefuseService => "refuse_service",
            Self::ReadSecret => "read_secret",
            Self::NotRecorded => "not_recorded",
        }
    }
}

/// What happened, as the edge that saw it knows it. Entries that are equal and of one minute become one row with a count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccessEntry {
    /// What.
    pub kind: AccessKind,
    /// Whom it concerns, where it concerns one tenant.
    pub tenant_id: Option<TenantId>,
    /// Who: `tenant`, `gateway`, or `unknown`.
    pub actor: &'static str,
    /// Whose token it was and its `jti`, such as `operator:<id> jti:<id>`; empty where there is none.
    pub subject: String,
    /// Where from: the connection's other end.
    pub address: Option<IpAddr>,
}

/// A row as it is written and read back.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedAccess {
    /// What happened: perhaps something that only a newer version knows.
    pub kind: String,
    /// Whom it concerns.
    pub tenant_id: Option<TenantId>,
    /// Who.
    pub actor: String,
    /// Whose token it was.
    pub subject: String,
    /// Where from; empty where that is not known.
    pub address: String,
    /// The first request in which it happened.
    pub request_id: String,
    /// How often within the minute.
    pub count: u64,
    /// When first.
    pub occurred_at: Timestamp,
}
