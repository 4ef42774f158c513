//! A tenant's developers: the account key that they send, and whether it may do what the call needs.

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use serde_json::{Map, Value};
use service::ApiError;
use wire::request_id::RequestId;

use super::input::read_fields;
use crate::{
    account_keys::{AccountKeys, Principal},
    auth::bearer,
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

/// The caller, where the account key may read.
pub(super) struct Reader(pub(super) Principal);

/// The caller, where the account key may write.
pub(super) struct Writer(pub(super) Principal);

/// The caller, where the account key may see bots.
pub(super) struct BotReader(pub(super) Principal);

/// What opens the two kinds of bot calls.
const READS_BOTS: [Ability; 2] = [Ability::WidgetsRead, Ability::BotsRead];
const WRITES_BOTS: [Ability; 2] = [Ability::WidgetsWrite, Ability::BotsWrite];

async fn authenticate(parts: &Parts, developers: &Developers, needed: &[Ability]) -> Result<Principal, ApiError> {
    let request_id = parts.extensions.get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_owned());
    Ok(developers.account_keys.authenticate(bearer(&parts.headers), needed, request_id).await?)
}

impl FromRequestParts<Developers> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, developers: &Developers) -> Result<Self, ApiError> {
        authenticate(parts, developers, &[Ability::WidgetsRead]).await.map(Self)
    }
}

impl FromRequestParts<Developers> for Writer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, developers: &Developers) -> Result<Self, ApiError> {
        authenticate(parts, developers, &[Ability::WidgetsWrite]).await.map(Self)
    }
}

impl FromRequestParts<Developers> for BotReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, developers: &Developers) -> Result<Self, ApiError> {
        authenticate(parts, developers, &READS_BOTS).await.map(Self)
    }
}

/// The caller, where the account key may write, and the body.
pub(super) struct Written(pub(super) Principal, pub(super) Map<String, Value>);

/// The same, of bots.
pub(super) struct BotWritten(pub(super) Principal, pub(super) Map<String, Value>);

/// A body may be long in coming: the key is looked at again when it is there.
async fn written(
    request: Request,
    developers: &Developers,
    needed: &[Ability],
) -> Result<(Principal, Map<String, Value>), ApiError> {
    let (parts, body) = request.into_parts();
    authenticate(&parts, developers, needed).await?;
    let fields = read_fields(&parts.headers, body).await?;
    Ok((authenticate(&parts, developers, needed).await?, fields))
}

impl FromRequest<Developers> for Written {
    type Rejection = ApiError;

    async fn from_request(request: Request, developers: &Developers) -> Result<Self, ApiError> {
        written(request, developers, &[Ability::WidgetsWrite]).await.map(|(by, fields)| Self(by, fields))
    }
}

impl FromRequest<Developers> for BotWritten {
    type Rejection = ApiError;

    async fn from_request(request: Request, developers: &Developers) -> Result<Self, ApiError> {
        written(request, developers, &WRITES_BOTS).await.map(|(by, fields)| Self(by, fields))
    }
}
