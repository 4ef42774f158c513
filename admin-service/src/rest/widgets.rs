//! Widget keys, look and copy over REST: for a tenant's developers, who send an account key.

use axum::extract::{Path, State, rejection::PathRejection};
use serde::Serialize;
use service::{ApiError, Envelope, Failure, Success};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};
use uuid::Uuid;
use wire::{origin::Domain, time::WireTime};

use super::{
    developers::{Developers, Reader, Writer, Written},
    dto::PropagationView,
    input::Params,
};
use crate::{
    domain::widget::{Appearance, BotKey, NewBotKey},
    errors::UseCaseError,
    propagation::Changed,
    store::StoredAppearance,
};

/// A widget key. It is public: a page carries it.
#[derive(Serialize, ToSchema)]
#[schema(as = WidgetKey)]
pub(super) struct WidgetKeyView {
    id: Uuid,
    bot_id: Uuid,
    #[schema(pattern = "^pk_[A-Za-z0-9_-]{32}$")]
    api_key: String,
    name: String,
    allowed_domains: Vec<String>,
    rate_limit_per_hour: u32,
    is_active: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<WireTime>,
}

impl From<BotKey> for WidgetKeyView {
    fn from(key: BotKey) -> Self {
        Self {
            id: key.id,
            bot_id: key.bot_id,
            api_key: key.api_key.as_str().to_owned(),
            name: key.name,
            allowed_domains: key.allowed_domains.iter().map(Domain::to_string).collect(),
            rate_limit_per_hour: key.rate_limit_per_hour,
            is_active: key.is_active,
            created_at: key.created_at.into(),
            last_used_at: key.last_used_at.map(WireTime::from),
        }
    }
}

/// A bot's widget keys, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct WidgetKeyList {
    items: Vec<WidgetKeyView>,
}

/// A widget key that opens nothing any more.
#[derive(Serialize, ToSchema)]
pub(super) struct RevokedWidgetKey {
    #[serde(flatten)]
    key: WidgetKeyView,
    propagation: PropagationView,
}

/// What is pasted into a page.
#[derive(Serialize, ToSchema)]
pub(super) struct EmbedCode {
    /// One line of HTML.
    embed_code: String,
    /// The widget key in it.
    #[schema(pattern = "^pk_[A-Za-z0-9_-]{32}$")]
    api_key: String,
}

/// What `PUT` takes: any of the look's fields. Absent ones stay as they are; `null` clears one that may be absent.
pub(super) struct CustomizationPatch;

impl PartialSchema for CustomizationPatch {
    /// The look's own schema and the bot's id: there is no second list of fields.
    fn schema() -> RefOr<Schema> {
        let RefOr::T(Schema::Object(mut object)) = Appearance::schema() else { return Appearance::schema() };
        let id =
            ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
        object.properties.insert("bot_id".to_owned(), id.into());
        object.required = vec!["bot_id".to_owned()];
        object.description =
            Some("Only the fields present are written; null clears one that may be absent.".to_owned());
        RefOr::T(Schema::Object(object))
    }
}

impl ToSchema for CustomizationPatch {}

/// How a bot's widget looks, and what it says.
#[derive(Serialize, ToSchema)]
pub(super) struct Customization {
    /// The bot's: it has one look.
    id: Uuid,
    bot_id: Uuid,
    #[serde(flatten)]
    appearance: Appearance,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    #[schema(value_type = String, format = DateTime)]
    updated_at: WireTime,
}

impl Customization {
    fn new(bot_id: Uuid, stored: StoredAppearance) -> Self {
        let StoredAppearance { appearance, created_at, updated_at } = stored;
        Self { id: bot_id, bot_id, appearance, created_at: created_at.into(), updated_at: updated_at.into() }
    }
}

fn bot_id(Params(mut query): Params) -> Result<Uuid, ApiError> {
    let id = query.required("bot_id");
    query.finish()?;
    id.ok_or_else(|| ApiError::internal("a required parameter was neither read nor refused"))
}

/// A bot's widget keys, newest first, revoked ones included.
#[utoipa::path(
    get, path = "/api/v1/widgets/keys", tag = "widgets", security(("account_key" = ["widgets:read"])),
    params(("bot_id" = Uuid, Query, description = "The bot")),
    responses(
        (status = 200, description = "The keys", body = Envelope<WidgetKeyList>),
        (status = 404, description = "`bot_not_found`", body = Failure),
    )
)]
pub(super) async fn list_widget_keys(
    State(developers): State<Developers>,
    Reader(by): Reader,
    params: Params,
) -> Result<Success<WidgetKeyList>, ApiError> {
    let keys = developers.widgets.keys(by.tenant_id, bot_id(params)?).await?;
    Ok(Success::ok(
        WidgetKeyList { items: keys.into_iter().map(WidgetKeyView::from).collect() },
        "Widget keys fetched.",
    ))
}

/// Make a widget key.
#[utoipa::path(
    post, path = "/api/v1/widgets/keys", tag = "widgets", request_body = NewBotKey,
    security(("account_key" = ["widgets:write"])),
    responses(
        (status = 201, description = "Made", body = Envelope<WidgetKeyView>),
        (status = 404, description = "`bot_not_found`", body = Failure),
        (status = 409, description = "`limit_reached`: a bot may have 100 that are not revoked", body = Failure),
    )
)]
pub(super) async fn create_widget_key(
    State(developers): State<Developers>,
    Written(by, given): Written,
) -> Result<Success<WidgetKeyView>, ApiError> {
    let key = developers.widgets.create_key(&by, wire::fields::Fields::new(given)).await?;
    Ok(Success::created(key.into(), "Widget key made."))
}

/// Revoke a widget key. Pages that carry it are refused from the moment this returns. Repeating it is not an error.
#[utoipa::path(
    delete, path = "/api/v1/widgets/keys/{id}", tag = "widgets", security(("account_key" = ["widgets:write"])),
    params(("id" = Uuid, Path, description = "The key's id, not its text")),
    responses(
        (status = 200, description = "Revoked, on every gateway", body = Envelope<RevokedWidgetKey>),
        (status = 404, description = "`widget_key_not_found`", body = Failure),
        (status = 409, description = "`conflict`: the tenant's own key is rotated instead", body = Failure),
    )
)]
pub(super) async fn revoke_widget_key(
    State(developers): State<Developers>,
    Writer(by): Writer,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Success<RevokedWidgetKey>, ApiError> {
    // A text that is not an id names no key.
    let Path(id) = id.map_err(|_| UseCaseError::WidgetKeyNotFound)?;
    let Changed { value, report } = developers.widgets.revoke_key(&by, id).await?;
    let revoked = RevokedWidgetKey { key: value.into(), propagation: report.into() };
    Ok(Success::ok(revoked, "Widget key revoked. Pages that carry it are refused."))
}

/// The HTML to paste into a page, for a bot and one of its keys.
#[utoipa::path(
    get, path = "/api/v1/widgets/embed-code", tag = "widgets", security(("account_key" = ["widgets:read"])),
    params(
        ("bot_id" = Uuid, Query, description = "The bot"),
        ("api_key_id" = Uuid, Query, description = "The widget key's id, not its text"),
    ),
    responses(
        (status = 200, description = "The code", body = Envelope<EmbedCode>),
        (status = 404, description = "`bot_not_found`, `widget_key_not_found`", body = Failure),
    )
)]
pub(super) async fn get_embed_code(
    State(developers): State<Developers>,
    Reader(by): Reader,
    Params(mut query): Params,
) -> Result<Success<EmbedCode>, ApiError> {
    let (bot_id, key_id) = (query.required::<Uuid>("bot_id"), query.required::<Uuid>("api_key_id"));
    query.finish()?;
    let (Some(bot_id), Some(key_id)) = (bot_id, key_id) else {
        return Err(ApiError::internal("a required parameter was neither read nor refused"));
    };
    let (embed_code, key) = developers.widgets.embed_code(by.tenant_id, bot_id, key_id).await?;
    let code = EmbedCode { embed_code, api_key: key.as_str().to_owned() };
    Ok(Success::ok(code, "Paste embed_code into every page that shall have the widget."))
}

/// How a bot's widget looks, and what it says.
#[utoipa::path(
    get, path = "/api/v1/widgets/customization", tag = "widgets", security(("account_key" = ["widgets:read"])),
    params(("bot_id" = Uuid, Query, description = "The bot")),
    responses(
        (status = 200, description = "The look", body = Envelope<Customization>),
        (status = 404, description = "`bot_not_found`", body = Failure),
    )
)]
pub(super) async fn get_customization(
    State(developers): State<Developers>,
    Reader(by): Reader,
    params: Params,
) -> Result<Success<Customization>, ApiError> {
    let bot_id = bot_id(params)?;
    let appearance = developers.widgets.appearance(by.tenant_id, bot_id).await?;
    Ok(Success::ok(Customization::new(bot_id, appearance), "Customization fetched."))
}

/// Write some of a widget's look and copy. Fields that are absent stay as they are.
#[utoipa::path(
    put, path = "/api/v1/widgets/customization", tag = "widgets", request_body = CustomizationPatch,
    security(("account_key" = ["widgets:write"])),
    responses(
        (status = 200, description = "Saved", body = Envelope<Customization>),
        (status = 404, description = "`bot_not_found`", body = Failure),
    )
)]
pub(super) async fn put_customization(
    State(developers): State<Developers>,
    Written(by, given): Written,
) -> Result<Success<Customization>, ApiError> {
    let Changed { value: (bot_id, appearance), .. } = developers.widgets.customize(&by, given).await?;
    Ok(Success::ok(Customization::new(bot_id, appearance), "Customization saved."))
}
