//! Refusals that all calls of a lane have in common, added to the OpenAPI document of each call.

use service::Failure;
use utoipa::{
    ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, path::Operation},
};

/// Adds refusals (status and codes) to one call. What the call says of its own refusals stands before what the lane says.
pub(super) fn refuse(operation: &mut Operation, refusals: &[(&str, &str)]) {
    for &(status, description) in refusals {
        let own = operation.responses.responses.get(status).and_then(|own| match own {
            RefOr::T(own) => Some(format!("{}; ", own.description)),
            RefOr::Ref(_) => None,
        });
        let response = ResponseBuilder::new()
            .description(format!("{}{description}", own.unwrap_or_default()))
            .content(
                "application/json",
                ContentBuilder::new().schema(Some(Ref::from_schema_name(<Failure as ToSchema>::name()))).build(),
            )
            .build();
        operation.responses.responses.insert(status.to_owned(), response.into());
    }
}
