//! The bodies that callers send and the answers that they get, as the OpenAPI document has them. Answers serialize. Of what is read
//! field by field, so that every refused field is named, the shape and its reading stand side by side.

pub(super) mod events;
pub(super) mod operators;
pub(super) mod signed;
pub(super) mod visitors;
