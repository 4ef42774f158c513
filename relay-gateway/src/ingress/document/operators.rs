//! The operator lane's part of the OpenAPI document: the token and the refusals that every call of the lane has in common.

use utoipa::{
    Modify,
    openapi::{path::Operation, security::SecurityRequirement},
};

use super::refusals::refuse;
use crate::ingress::operators::PREFIX;

/// Adds what every operator's call has in common.
pub(super) struct OperatorCalls;

/// What the lane refuses whatever the path is: status and codes.
const REFUSALS: [(&str, &str); 4] = [
    ("401", "`invalid_operator_token`, `operator_token_superseded`"),
    ("403", "`tenant_suspended`"),
    ("429", "`rate_limited`"),
    ("503", "`directory_unavailable`"),
];

impl Modify for OperatorCalls {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            if path.starts_with(PREFIX) {
                [&mut item.get, &mut item.post].into_iter().flatten().for_each(authenticate);
            }
        }
    }
}

fn authenticate(operation: &mut Operation) {
    operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("operator_token", [])]);
    refuse(operation, &REFUSALS);
}
