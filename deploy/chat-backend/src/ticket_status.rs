//! What has become of a ticket.

/// What has become of a ticket. The database and callers call it by [`TicketStatus::as_str`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TicketStatus {
    Open,
    Triaged,
    Assigned,
    InProgress,
    WaitingOnUser,
    Resolved,
    Closed,
    Reopened,
}

impl TicketStatus {
    /// All of them, in the order in which they are shown to callers.
    pub(crate) const ALL: [Self; 8] = [
        Self::Open,
        Self::Triaged,
        Self::Assigned,
        Self::InProgress,
        Self::WaitingOnUser,
        Self::Resolved,
        Self::Closed,
        Self::Reopened,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Triaged => "triaged",
            Self::Assigned => "assigned",
            Self::InProgress => "in_progress",
            Self::WaitingOnUser => "waiting_on_user",
            Self::Resolved => "resolved",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
        }
    }

    /// Reads the text; `None` if it is none of these.
    pub(crate) fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether nobody has taken the ticket yet: a person who answers its conversation takes it.
    pub(crate) const fn waits_for_a_person(self) -> bool {
        matches!(self, Self::Open | Self::Triaged | Self::Reopened)
    }

    /// Whether it is over.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Resolved | Self::Closed)
    }
}
