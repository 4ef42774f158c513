//! Bots over REST: for a tenant's developers, who send an account key.

use axum::extract::State;
use serde::Serialize;
use service::{ApiError, Envelope, Failure, Success};
use utoipa::ToSchema;
use uuid::Uuid;
use wire::time::WireTime;

use super::developers::{BotReader, BotWritten, Developers};
use crate::domain::bot::{Bot, NewBot};

/// A bot.
#[derive(Serialize, ToSchema)]
#[schema(as = Bot)]
pub(super) struct BotView {
    bot_id: Uuid,
    name: String,
    /// Whether it is the one the tenant has from the start.
    is_default: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
}

impl From<Bot> for BotView {
    fn from(bot: Bot) -> Self {
        Self { bot_id: bot.id, name: bot.name, is_default: bot.is_default, created_at: bot.created_at.into() }
    }
}

/// A tenant's bots, the default one first.
#[derive(Serialize, ToSchema)]
pub(super) struct BotList {
    items: Vec<BotView>,
}

/// The tenant's bots, the default one first.
#[utoipa::path(
    get, path = "/api/v1/bots", tag = "bots", security(("account_key" = ["widgets:read"]), ("account_key" = ["bots:read"])),
    responses(
        (status = 200, description = "The bots", body = Envelope<BotList>),
    )
)]
pub(super) async fn list_bots(
    State(developers): State<Developers>,
    BotReader(by): BotReader,
) -> Result<Success<BotList>, ApiError> {
    let mut bots = developers.bots.list(by.tenant_id).await?;
    bots.sort_by_key(|bot| (!bot.is_default, bot.id));
    Ok(Success::ok(BotList { items: bots.into_iter().map(BotView::from).collect() }, "Bots fetched."))
}

/// Make a bot.
#[utoipa::path(
    post, path = "/api/v1/bots", tag = "bots", request_body = NewBot,
    security(("account_key" = ["widgets:write"]), ("account_key" = ["bots:write"])),
    responses(
        (status = 201, description = "Made", body = Envelope<BotView>),
        (status = 409, description = "`limit_reached`: a tenant may have 100", body = Failure),
    )
)]
pub(super) async fn create_bot(
    State(developers): State<Developers>,
    BotWritten(by, given): BotWritten,
) -> Result<Success<BotView>, ApiError> {
    let bot = developers.bots.create(&by, wire::fields::Fields::new(given)).await?;
    Ok(Success::created(bot.into(), "Bot made."))
}
