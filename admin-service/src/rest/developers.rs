//! A tenant's developers at the door: who comes with an account key, and whether it may do what is asked.

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::{header, request::Parts};
use serde_json::{Map, Value};
use shared::{ApiError, request_id::RequestId};

use super::input::read_fields;
use crate::{
    account_keys::{AccountKeys, Principal},
    bots::Bots,
    domain::account_key::Ability,
    widgets::Widgets,
};

/// What the routes for developers share.
#[derive(Clone)]
pub(crate) struct Developers {
    pub(crate) account_keys: AccountKeys,
    pub(crate) bots: Bots,
    pub(crate) widgets: Widgets,
}

/// Who calls, where the account key may read.
pub(super) struct Reader(pub(super) Principal);

/// Who calls, where the account key may write.
pub(super) struct Writer(pub(super) Principal);

async fn authenticate(parts: &Parts, developers: &Developers, needed: Ability) -> Result<Principal, ApiError> {
    let mut given = parts.headers.get_all(header::AUTHORIZATION).iter();
    let text = given.next().and_then(|value| value.to_str().ok()).and_then(|value| value.split_once(' '));
    let text = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, text)| text);
    // Two headers are two callers, or one who confuses us on purpose.
    let text = text.filter(|_| given.next().is_none());
    let request_id = parts.extensions.get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_owned());
    Ok(developers.account_keys.authenticate(text, needed, request_id).await?)
}

impl FromRequestParts<Developers> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, developers: &Developers) -> Result<Self, ApiError> {
        authenticate(parts, developers, Ability::WidgetsRead).await.map(Self)
    }
}

impl FromRequestParts<Developers> for Writer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, developers: &Developers) -> Result<Self, ApiError> {
        authenticate(parts, developers, Ability::WidgetsWrite).await.map(Self)
    }
}

/// Who calls, where the account key may write, and the body. A body may be long in coming: the key is looked at again when
/// it is there.
pub(super) struct Written(pub(super) Principal, pub(super) Map<String, Value>);

impl FromRequest<Developers> for Written {
    type Rejection = ApiError;

    async fn from_request(request: Request, developers: &Developers) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        authenticate(&parts, developers, Ability::WidgetsWrite).await?;
        let fields = read_fields(&parts.headers, body).await?;
        Ok(Self(authenticate(&parts, developers, Ability::WidgetsWrite).await?, fields))
    }
}
