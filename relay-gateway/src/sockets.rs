//! Sockets: when a participant may have one, for how long, and what closes it. PROTOCOL.md, section 5.
//!
//! A socket is open under the same terms as a call is answered. While the directory is current, a change that forbids the socket closes
//! it before the change is acknowledged; where it is not, each frame is judged, or waits.
//!
//! [`accept`], [`registry`], [`pump`], [`polling`], [`close`] and [`changes`] work for any [`Participant`], and know
//! neither visitors nor operators: [`visitor`] and [`operator`] are the two kinds of participants.

mod accept;
mod backend_end;
mod changes;
mod close;
mod closing;
mod operator;
mod participant;
mod passed_frame;
mod polling;
mod pump;
mod registry;
mod visitor;

pub(crate) use accept::{SocketDeps, Sockets};
pub(crate) use closing::Closing;
pub(crate) use operator::{Operator, OperatorJudge};
pub(crate) use participant::Participant;
pub(crate) use polling::{Poll, Polled};
pub(crate) use visitor::{Visitor, VisitorJudge};
