//! What operators call: the queues, a conversation, taking it over, and answering. PROTOCOL.md, section 8.
//!
//! Every call is signed with the actor `operator:<id>`, and says in `relay_operator` who that is and which queues the operator sees.

mod bodies;
mod canned_replies;
mod changes;
mod conversations;
mod messages;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::Backend;

/// The routes for operators.
pub(crate) fn routes() -> OpenApiRouter<Backend> {
    OpenApiRouter::new()
        .routes(routes!(conversations::fetch_conversations))
        .routes(routes!(conversations::fetch_conversation))
        .routes(routes!(conversations::read_conversation))
        .routes(routes!(messages::fetch_messages))
        .routes(routes!(messages::add_message))
        .routes(routes!(changes::claim))
        .routes(routes!(changes::release))
        .routes(routes!(changes::hand_back))
        .routes(routes!(changes::resolve))
        .routes(routes!(changes::reopen))
        .routes(routes!(changes::assign))
        .routes(routes!(changes::snooze))
        .routes(routes!(changes::tag))
        .routes(routes!(canned_replies::fetch, canned_replies::put, canned_replies::delete))
}
