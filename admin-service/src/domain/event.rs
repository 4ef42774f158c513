//! What chat backends publish: events, which are delivered to the tenant's callback, and usage, which is counted.

mod published;
mod state;
mod test_event;

pub use published::{PublishedEvent, Usage};
pub use state::{EventState, EventView};
