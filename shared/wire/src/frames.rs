//! The frames of a visitor's socket, as types (PROTOCOL.md, sections 5.5, 5.6 and 5.8), and those of an operator's ([`operator`]).
//!
//! A client sends a [`ClientFrame`], and the gateway passes it on as a [`PassedFrame`]. The gateway's first frame to the chat backend is
//! [`Hello`]. A [`ServerFrame`] comes from the chat backend, and the gateway passes it to the client unread; the gateway sends
//! `config` and `error` frames of its own. [`limits`] holds every limit of a frame.
//!
//! The TypeScript of the frames, `relay-gateway/web/protocol/frames.ts`, is made from these types by a test, and
//! `tests/vectors/frames.json` holds an example of each frame. This module must not know sockets, servers or storage.

mod client;
mod hello;
mod json;
pub mod limits;
mod message;
pub mod operator;
mod passed;
mod rating;
mod reading;
mod server;
mod texts;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod typescript;

pub use client::ClientFrame;
pub use hello::Hello;
pub use message::{Citation, Message};
pub use passed::PassedFrame;
pub use rating::Rating;
pub use reading::{client_id, read};
pub use server::{ConversationSummary, Operator, ServerFrame};
pub use texts::{ConversationStatus, Feedback, Mode, Role};

pub use crate::attachments::Attachment;
