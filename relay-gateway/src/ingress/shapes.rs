//! The bodies that callers send and the answers that they get, as the OpenAPI document has them. Answers serialize. Of what is read
//! field by field (by `service::fields`), the shape is documented here and constructed nowhere.

pub(super) mod events;
pub(super) mod signed;
pub(super) mod visitors;
