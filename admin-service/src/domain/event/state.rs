//! Where an event is on its way to the receiver, and the event as callers are shown it.

use jiff::Timestamp;

/// Where an event is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventState {
    /// It will be sent, now or later.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It is not sent again by itself: the receiver refused it, or its time is over.
    Parked,
    /// It would be pending, but its tenant is suspended or its endpoint is stopped.
    Held,
    /// The tenant had no callback when it came.
    NoEndpoint,
}

impl EventState {
    /// Their texts.
    pub const TEXTS: &[&'static str] = &["pending", "delivered", "parked", "held", "no_endpoint"];

    const ALL: &[Self] = &[Self::Pending, Self::Delivered, Self::Parked, Self::Held, Self::NoEndpoint];

    /// Its text, on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        Self::TEXTS[self as usize]
    }

    /// The state with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.as_str() == text)
    }
}

/// An event as callers are shown it.
#[derive(Clone, Debug, PartialEq)]
pub struct EventView {
    /// Its number in the tenant.
    pub seq: u64,
    /// The body that is delivered, as JSON text.
    pub body: String,
    /// Where it is on its way.
    pub state: EventState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next. `None` unless it is pending, and where it waits for an earlier event of its conversation.
    pub next_attempt_at: Option<Timestamp>,
}
