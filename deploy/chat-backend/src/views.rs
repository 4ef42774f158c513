//! What callers are shown: the shapes that the published client reads, each made from a row.
//!
//! This module must not know SQL, or how a row came to be.

mod conversation;
mod document;
pub(crate) mod inbox;
mod message;
mod page;
mod ticket;

pub(crate) use conversation::Conversation;
pub(crate) use document::KnowledgeDocument;
pub(crate) use message::Message;
pub(crate) use page::{List, given, page};
pub(crate) use ticket::{ContactTicket, Ticket};
