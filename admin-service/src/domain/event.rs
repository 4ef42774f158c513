//! What chat backends publish: events, which are delivered to the tenant's callback, and usage, which is counted.

mod kind;
mod published;
mod state;

pub use kind::EventType;
pub use published::{PublishedEvent, Usage};
pub use state::{EventState, EventView};
