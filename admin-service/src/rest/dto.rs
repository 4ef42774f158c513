//! What operators see: the answers' shapes, and the documented shapes of what they send.

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::AdditionalProperties},
};
use uuid::Uuid;
use wire::{
    TenantId,
    time::{WireTime, as_millis, now},
};

use crate::{
    domain::{
        access::RecordedAccess,
        audit::RecordedAudit,
        credentials::{TenantSecret, WidgetKey},
        settings::TenantSettings,
        tenant::Tenant,
    },
    paging,
    propagation::{Changed, PropagationReport},
};

/// A tenant, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(super) struct TenantView {
    #[schema(value_type = Uuid)]
    tenant_id: TenantId,
    /// `active` or `suspended`.
    #[schema(value_type = String, pattern = "^(active|suspended)$")]
    status: &'static str,
    /// Public: pairs with the tenant's id in widgets.
    widget_public_key: String,
    #[serde(flatten)]
    settings: TenantSettings,
    /// Whether events are sent: `active`, `stopped` or `none`.
    #[schema(value_type = String, pattern = "^(active|stopped|none)$")]
    endpoint_state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    #[schema(value_type = String, format = DateTime)]
    updated_at: WireTime,
    /// `null` until it is rotated.
    #[schema(value_type = Option<String>, format = DateTime)]
    secret_rotated_at: Option<WireTime>,
    /// `null` until it is rotated.
    #[schema(value_type = Option<String>, format = DateTime)]
    widget_key_rotated_at: Option<WireTime>,
    /// Until when the secret before the last rotation is accepted; `null` where none is. Then the two fields below are
    /// `null` too.
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_secret_expires_at: Option<WireTime>,
    /// When a call was last signed with it, to within ten seconds; `null` where none was.
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_secret_last_used_at: Option<WireTime>,
    /// The name of the gateway that took that call.
    previous_secret_last_used_by: Option<String>,
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        let previous = tenant.previous_secret_at(now()).cloned();
        let (expires_at, last_used_at, last_used_by) = previous.map_or((None, None, None), |previous| {
            (Some(previous.expires_at.into()), previous.last_used_at.map(WireTime::from), previous.last_used_by)
        });
        Self {
            previous_secret_expires_at: expires_at,
            previous_secret_last_used_at: last_used_at,
            previous_secret_last_used_by: last_used_by,
            tenant_id: tenant.id,
            status: tenant.status.as_str(),
            endpoint_state: tenant.endpoint_state().as_str(),
            widget_public_key: tenant.widget_public_key.as_str().to_owned(),
            settings: tenant.settings,
            created_at: tenant.created_at.into(),
            updated_at: tenant.updated_at.into(),
            secret_rotated_at: tenant.secret_rotated_at.map(WireTime::from),
            widget_key_rotated_at: tenant.widget_key_rotated_at.map(WireTime::from),
        }
    }
}

/// A tenant, with what its backend verifies events with.
#[derive(Serialize, ToSchema)]
pub(super) struct FetchedTenant {
    #[serde(flatten)]
    pub(super) tenant: TenantView,
    /// Verifies `v1a` of Standard Webhooks. The same for every tenant.
    #[schema(pattern = "^whpk_[A-Za-z0-9+/]{43}=$")]
    pub(super) webhook_public_key: String,
}

/// How a change reached the gateways.
#[derive(Serialize, ToSchema)]
#[schema(as = Propagation)]
pub(super) struct PropagationView {
    /// Gateways that could have used what was true before.
    gateways: u32,
    /// Those of them that acknowledged; the others' leases have run out.
    acknowledged: u32,
    /// Milliseconds from the commit until it was true on every gateway.
    waited_ms: u64,
}

impl From<PropagationReport> for PropagationView {
    fn from(report: PropagationReport) -> Self {
        Self { gateways: report.gateways, acknowledged: report.acknowledged, waited_ms: as_millis(report.waited) }
    }
}

/// A tenant as a change has left it.
#[derive(Serialize, ToSchema)]
pub(super) struct ChangedTenant {
    #[serde(flatten)]
    tenant: TenantView,
    propagation: PropagationView,
}

impl From<Changed<Tenant>> for ChangedTenant {
    fn from(changed: Changed<Tenant>) -> Self {
        Self { tenant: changed.value.into(), propagation: changed.report.into() }
    }
}

/// A new tenant's credentials.
#[derive(Serialize, ToSchema)]
pub(super) struct ProvisionedTenant {
    #[schema(value_type = Uuid)]
    tenant_id: TenantId,
    /// Signs backend calls (HMAC#1). Shown once.
    #[schema(pattern = "^sk_[A-Za-z0-9_-]{43}$")]
    tenant_secret: String,
    /// The same secret as libraries of Standard Webhooks take it. Shown once.
    #[schema(pattern = "^whsec_[A-Za-z0-9+/]{43}=$")]
    webhook_secret: String,
    /// Public: pairs with the tenant's id in widgets.
    #[schema(pattern = "^pk_[A-Za-z0-9_-]{32}$")]
    widget_public_key: String,
    tenant_name: String,
    rate_limit_per_min: u32,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    /// Where tenants and browsers reach the relay: the service's `ADMIN_RELAY_URL`.
    #[schema(example = "https://relay.example.com")]
    relay_url: String,
}

impl ProvisionedTenant {
    pub(super) fn new(tenant: Tenant, secret: &TenantSecret, relay_url: String) -> Self {
        Self {
            tenant_id: tenant.id,
            tenant_secret: secret.expose().to_owned(),
            webhook_secret: secret.to_webhook_secret().expose_secret().to_owned(),
            widget_public_key: tenant.widget_public_key.as_str().to_owned(),
            tenant_name: tenant.settings.tenant_name,
            rate_limit_per_min: tenant.settings.rate_limit_per_min,
            created_at: tenant.created_at.into(),
            relay_url,
        }
    }
}

/// A tenant's new secret.
#[derive(Serialize, ToSchema)]
pub(super) struct RotatedSecret {
    #[schema(value_type = Uuid)]
    pub(super) tenant_id: TenantId,
    /// Shown once.
    #[schema(pattern = "^sk_[A-Za-z0-9_-]{43}$")]
    pub(super) tenant_secret: String,
    /// The same secret as libraries of Standard Webhooks take it. Shown once.
    #[schema(pattern = "^whsec_[A-Za-z0-9+/]{43}=$")]
    pub(super) webhook_secret: String,
    #[schema(value_type = String, format = DateTime)]
    pub(super) rotated_at: WireTime,
    /// Until when the old secret is accepted; `null` where it has ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) previous_secret_expires_at: Option<WireTime>,
    pub(super) propagation: PropagationView,
}

/// A tenant's new widget key.
#[derive(Serialize, ToSchema)]
pub(super) struct RotatedWidgetKey {
    #[schema(value_type = Uuid)]
    tenant_id: TenantId,
    #[schema(pattern = "^pk_[A-Za-z0-9_-]{32}$")]
    widget_public_key: String,
    #[schema(value_type = String, format = DateTime)]
    rotated_at: WireTime,
    propagation: PropagationView,
}

impl RotatedWidgetKey {
    pub(super) fn new(tenant_id: TenantId, changed: Changed<(WidgetKey, Timestamp)>) -> Self {
        let Changed { value: (key, rotated_at), report } = changed;
        Self {
            tenant_id,
            widget_public_key: key.as_str().to_owned(),
            rotated_at: rotated_at.into(),
            propagation: report.into(),
        }
    }
}

/// A page of tenants, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct TenantPage {
    pub(super) items: Vec<TenantView>,
    /// All tenants, not only this page's.
    pub(super) total: u64,
    pub(super) limit: u64,
    /// Where this page began; 0 where it began at a cursor.
    pub(super) offset: u64,
    /// Pass it as `cursor` for the next page; `null` on the last.
    pub(super) next_cursor: Option<String>,
}

/// One change: who, what, when.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditView {
    audit_id: Uuid,
    /// `null` where it concerns the whole deployment.
    #[schema(value_type = Option<Uuid>)]
    tenant_id: Option<TenantId>,
    /// `admin_key:<id>`, `account_key:<id>`, or `tenant` where the tenant's backend acted.
    actor: String,
    /// Such as `rotate_tenant_secret`.
    action: String,
    request_id: String,
    /// What it was done to, such as `widget_key:<id>`, `signing_key:<id>`, `account_key:<id>`, `bot:<id>`, `operator:<id>`,
    /// `visitor:<session>` or `session:<id>`. `null` where that is the tenant itself, and in rows that a version before
    /// subjects wrote: those name it in `changed_fields`.
    subject: Option<String>,
    /// The names of the fields that changed, never their values. A rotation of signing keys also names the keys that it retired, as
    /// `signing_key:<id>`.
    changed_fields: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    occurred_at: WireTime,
}

impl From<RecordedAudit> for AuditView {
    fn from(row: RecordedAudit) -> Self {
        Self {
            audit_id: row.id,
            tenant_id: Some(row.tenant_id).filter(|id| *id != TenantId::DEPLOYMENT),
            actor: row.actor,
            action: row.action,
            request_id: row.request_id,
            subject: row.subject,
            changed_fields: row.changed_fields,
            occurred_at: row.occurred_at.into(),
        }
    }
}

/// A page of the audit log, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditPage {
    pub(super) items: Vec<AuditView>,
    pub(super) limit: u64,
    /// Pass it as `cursor` for the next page; `null` on the last.
    pub(super) next_cursor: Option<String>,
}

/// An event that changed nothing, such as a token that was issued.
#[derive(Serialize, ToSchema)]
pub(super) struct AccessView {
    /// `issue_operator_token`, `mint_visitor_token`, `refuse_operator`, `refuse_service`, `read_secret`, or `not_recorded`, whose
    /// `count` says how much there was no room for.
    kind: String,
    #[schema(value_type = Option<Uuid>)]
    tenant_id: Option<TenantId>,
    /// `tenant` where its backend asked, `gateway`, or `unknown`.
    actor: String,
    /// Whose token it was, and the token's `jti`; empty where there is none.
    subject: String,
    /// The connection's other end; empty where that is not known.
    address: String,
    /// The first request in which it happened.
    request_id: String,
    /// How often within a minute.
    count: u64,
    #[schema(value_type = String, format = DateTime)]
    occurred_at: WireTime,
}

impl From<RecordedAccess> for AccessView {
    fn from(row: RecordedAccess) -> Self {
        let RecordedAccess { kind, tenant_id, actor, subject, address, request_id, count, occurred_at } = row;
        Self { kind, tenant_id, actor, subject, address, request_id, count, occurred_at: occurred_at.into() }
    }
}

/// A page of the access log, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct AccessPage {
    pub(super) items: Vec<AccessView>,
    pub(super) limit: u64,
    /// Pass it as `cursor` for the next page; `null` on the last.
    pub(super) next_cursor: Option<String>,
}

pub(super) fn next_cursor(next: Option<impl paging::Key>) -> Option<String> {
    next.map(paging::write_cursor)
}

/// What `provision` takes: any of a tenant's settings, of which only the name is required.
pub(super) struct NewTenant;

/// What `update` takes: any of a tenant's settings. `null` clears a nullable one.
pub(super) struct TenantPatch;

/// The settings' own schema, closed to other fields, with `required` as given. There is no second list of fields.
fn settings_schema(required: &[&str], description: &str) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut object)) = TenantSettings::schema() else {
        return TenantSettings::schema();
    };
    object.required = required.iter().map(|field| (*field).to_owned()).collect();
    object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    object.description = Some(description.to_owned());
    RefOr::T(Schema::Object(object))
}

impl PartialSchema for NewTenant {
    fn schema() -> RefOr<Schema> {
        settings_schema(&["tenant_name"], "A new tenant: only tenant_name is required.")
    }
}

impl ToSchema for NewTenant {}

impl PartialSchema for TenantPatch {
    fn schema() -> RefOr<Schema> {
        settings_schema(&[], "Only the fields present are written; null clears a nullable one.")
    }
}

impl ToSchema for TenantPatch {}
