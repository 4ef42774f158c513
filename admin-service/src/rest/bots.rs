//! Bots over REST: for a tenant's developers, who come with an account key.

use axum::extract::{FromRequest, FromRequestParts, Request, State};
use http::{header, request::Parts};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::{ApiError, Envelope, Failure, Success, fields, request_id::RequestId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::input::read_fields;
use crate::{
    account_keys::{AccountKeys, Principal},
    bots::Bots,
    domain::{account_key::Ability, bot::Bot},
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

/// What a new bot is called.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the documented shape of what the use case reads field by field")]
pub(super) struct NewBot {
    /// 1 to 100 characters.
    name: String,
}

/// A bot.
#[derive(Serialize, ToSchema)]
#[schema(as = Bot)]
pub(super) struct BotView {
    bot_id: Uuid,
    name: String,
    /// Whether it is the one the tenant has from the start.
    is_default: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Bot> for BotView {
    fn from(bot: Bot) -> Self {
        Self { bot_id: bot.id, name: bot.name, is_default: bot.is_default, created_at: bot.created_at }
    }
}

/// A tenant's bots, the default one first.
#[derive(Serialize, ToSchema)]
pub(super) struct BotList {
    items: Vec<BotView>,
}

/// The tenant's bots, the default one first.
#[utoipa::path(
    get, path = "/api/v1/bots", tag = "bots", security(("account_key" = ["widgets:read"])),
    responses(
        (status = 200, description = "The bots", body = Envelope<BotList>),
        (status = 401, description = "`invalid_account_key`", body = Failure),
        (status = 403, description = "`missing_ability`, `tenant_suspended`", body = Failure),
        (status = 503, description = "`store_unavailable`", body = Failure),
    )
)]
pub(super) async fn list_bots(
    State(developers): State<Developers>,
    Reader(by): Reader,
) -> Result<Success<BotList>, ApiError> {
    let mut bots = developers.bots.list(by.tenant_id).await?;
    bots.sort_by_key(|bot| (!bot.is_default, bot.id));
    Ok(Success::ok(BotList { items: bots.into_iter().map(BotView::from).collect() }, "Bots fetched."))
}

/// Make a bot.
#[utoipa::path(
    post, path = "/api/v1/bots", tag = "bots", request_body = NewBot,
    security(("account_key" = ["widgets:write"])),
    responses(
        (status = 201, description = "Made", body = Envelope<BotView>),
        (status = 400, description = "`malformed_json`", body = Failure),
        (status = 401, description = "`invalid_account_key`", body = Failure),
        (status = 403, description = "`missing_ability`, `tenant_suspended`", body = Failure),
        (status = 409, description = "`limit_reached`: a tenant may have 100", body = Failure),
        (status = 413, description = "`body_too_large`", body = Failure),
        (status = 422, description = "`validation_failed`; nothing was written", body = Failure),
        (status = 503, description = "`store_unavailable`", body = Failure),
    )
)]
pub(super) async fn create_bot(
    State(developers): State<Developers>,
    Written(by, given): Written,
) -> Result<Success<BotView>, ApiError> {
    let bot = developers.bots.create(&by, fields::Fields::new(given)).await?;
    Ok(Success::created(bot.into(), "Bot made."))
}
