//! The rows: what the database keeps of each noun, and every statement on it. Each function is one part of its caller's transaction.
//!
//! This module must not know HTTP, sockets, or what callers are shown.

pub(crate) mod canned_replies;
pub(crate) mod choices;
pub(crate) mod conversations;
pub(crate) mod documents;
pub(crate) mod entries;
mod entry_id;
pub(crate) mod feedback;
pub(crate) mod files;
pub(crate) mod identities;
mod json;
pub(crate) mod mails;
pub(crate) mod messages;
pub(crate) mod notes;
pub(crate) mod outbox;
mod passages;
pub(crate) mod queues;
pub(crate) mod ratings;
pub(crate) mod search;
pub(crate) mod takeovers;
pub(crate) mod tickets;
pub(crate) mod waits;
