//! Between the domain's types and the generated messages.

use std::time::Duration;

use jiff::Timestamp;
use proto::{
    admin::v1 as admin,
    directory::v1::{
        self as rpc, GetWidgetResponse, OperatorMembership, PreviousKey, TenantInfo, TenantState,
        TenantStatus as WireStatus, Widget,
    },
    identity::v1 as identity,
};
use serde_json::{Map, Value, json};
use service::ApiError;
use wire::{
    ErrorCode, TenantId,
    time::{as_millis, from_unix_ms, now, now_unix_ms},
    widget::{Branding, WidgetLook},
};

use crate::{
    directory::OpenedTenant,
    domain::{
        audit::RecordedAudit,
        operator::Operator,
        settings::TenantSettings,
        tenant::{Tenant, TenantStatus},
        visitor::WidgetAccess,
    },
    paging,
    propagation::{Changed, PropagationReport},
    store::PreviousUse,
    tenants::MOST_OVERLAP_S,
};

pub(super) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// A time of a message; `None` where no calendar has it.
pub(super) fn time(at: prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(at.seconds, at.nanos).ok()
}

/// How long a caller waits for a change to be true everywhere; `None`: as long as it takes.
pub(super) fn wait(wait_ms: u32) -> Option<Duration> {
    (wait_ms > 0).then(|| Duration::from_millis(wait_ms.into()))
}

pub(super) fn tenant_id_from_bytes(bytes: &[u8]) -> Result<TenantId, ApiError> {
    TenantId::from_slice(bytes).map_err(|_| ApiError::field("tenant_id", "must be a UUID's 16 bytes"))
}

pub(super) fn tenant_id_from_text(text: &str) -> Result<TenantId, ApiError> {
    text.parse().map_err(|error| ApiError::field("tenant_id", format!("{error}")))
}

pub(super) fn state(opened: OpenedTenant) -> TenantState {
    let OpenedTenant { tenant, hmac_key, previous } = opened;
    let previous_key = previous.map(|previous| PreviousKey {
        hmac_key: previous.hmac_key.to_vec(),
        // A clock that is set back lengthens no overlap beyond the longest.
        valid_for_ms: u64::try_from(previous.expires_at.as_millisecond().saturating_sub(now_unix_ms()))
            .unwrap_or(0)
            .min(MOST_OVERLAP_S * 1000),
        rotated_at_ms: previous.rotated_at.as_millisecond(),
    });
    TenantState {
        tenant_id: tenant.id.as_uuid().as_bytes().to_vec(),
        status: match tenant.status {
            TenantStatus::Active => WireStatus::Active,
            TenantStatus::Suspended => WireStatus::Suspended,
        }
        .into(),
        hmac_key: hmac_key.to_vec(),
        rate_limit_per_min: tenant.settings.rate_limit_per_min,
        revision: tenant.revision,
        file_upload_enabled: Some(tenant.settings.file_upload_enabled),
        token_generation: tenant.token_generation,
        visitor_revocations: tenant.visitor_revocations,
        sessions_ended: tenant.sessions_ended,
        operators_changed: tenant.operators_changed,
        storage_gb_quota: tenant.settings.storage_gb_quota,
        previous_key,
    }
}

/// A gateway's clock may be ahead; what is noted never is.
pub(super) fn previous_use(used: rpc::PreviousUse) -> Result<PreviousUse, ApiError> {
    Ok(PreviousUse {
        tenant_id: tenant_id_from_bytes(&used.tenant_id)?,
        rotated_at: from_unix_ms(used.rotated_at_ms),
        used_at: from_unix_ms(used.used_at_ms).min(now()),
    })
}

pub(super) fn widget(access: WidgetAccess) -> GetWidgetResponse {
    let settings = access.tenant.settings;
    let widget = access.opened.map(|(key, appearance)| Widget {
        key_id: key.id.as_bytes().to_vec(),
        allowed_domains: key.allowed_domains.iter().map(ToString::to_string).collect(),
        rate_limit_per_hour: key.rate_limit_per_hour,
        config_json: json!(WidgetLook {
            bot_id: key.bot_id,
            tenant_name: settings.tenant_name,
            customization: json!(appearance),
            branding: Branding {
                display_name: settings.branding_display_name,
                logo_url: settings.branding_logo_url,
                primary_color: settings.branding_primary_color,
            },
            file_upload_enabled: settings.file_upload_enabled,
        })
        .to_string(),
    });
    GetWidgetResponse { allowed_origins: settings.allowed_origins.iter().map(ToString::to_string).collect(), widget }
}

pub(super) fn info(tenant: Tenant) -> TenantInfo {
    let settings = tenant.settings;
    TenantInfo {
        tenant_id: tenant.id.to_string(),
        tenant_name: settings.tenant_name,
        status: tenant.status.as_str().to_owned(),
        plan_tier: settings.plan_tier,
        allowed_origins: settings.allowed_origins.iter().map(ToString::to_string).collect(),
        voice_enabled: settings.voice_enabled,
        video_enabled: settings.video_enabled,
        file_upload_enabled: settings.file_upload_enabled,
        multi_channel_enabled: settings.multi_channel_enabled,
        monthly_msg_quota: settings.monthly_msg_quota,
        storage_gb_quota: settings.storage_gb_quota,
        agent_seats: settings.agent_seats,
    }
}

pub(super) fn changed_tenant(changed: Changed<Tenant>) -> admin::ChangedTenant {
    admin::ChangedTenant { tenant: Some(tenant(changed.value)), propagation: Some(propagation(changed.report)) }
}

pub(super) fn propagation(report: PropagationReport) -> admin::Propagation {
    admin::Propagation {
        gateways: report.gateways,
        acknowledged: report.acknowledged,
        waited_ms: as_millis(report.waited),
    }
}

pub(super) fn tenant(tenant: Tenant) -> admin::Tenant {
    let previous = tenant.previous_secret_at(now()).cloned();
    admin::Tenant {
        previous_secret_expires_at: previous.as_ref().map(|previous| timestamp(previous.expires_at)),
        previous_secret_last_used_at: previous.as_ref().and_then(|previous| previous.last_used_at).map(timestamp),
        previous_secret_last_used_by: previous.and_then(|previous| previous.last_used_by),
        tenant_id: tenant.id.to_string(),
        status: tenant.status.as_str().to_owned(),
        endpoint_state: tenant.endpoint_state().as_str().to_owned(),
        widget_public_key: tenant.widget_public_key.as_str().to_owned(),
        settings: Some(settings(tenant.settings)),
        created_at: Some(timestamp(tenant.created_at)),
        updated_at: Some(timestamp(tenant.updated_at)),
        secret_rotated_at: tenant.secret_rotated_at.map(timestamp),
        widget_key_rotated_at: tenant.widget_key_rotated_at.map(timestamp),
    }
}

fn settings(settings: TenantSettings) -> admin::TenantSettings {
    admin::TenantSettings {
        tenant_name: Some(settings.tenant_name),
        allowed_origins: settings.allowed_origins.iter().map(ToString::to_string).collect(),
        callback_url_base: settings.callback_url_base,
        callback_path_prefix: Some(settings.callback_path_prefix),
        webhook_format: Some(settings.webhook_format.as_str().to_owned()),
        rate_limit_per_min: Some(settings.rate_limit_per_min),
        plan_tier: Some(settings.plan_tier),
        stripe_customer_id: settings.stripe_customer_id,
        monthly_msg_quota: Some(settings.monthly_msg_quota),
        storage_gb_quota: Some(settings.storage_gb_quota),
        agent_seats: Some(settings.agent_seats),
        voice_enabled: Some(settings.voice_enabled),
        video_enabled: Some(settings.video_enabled),
        file_upload_enabled: Some(settings.file_upload_enabled),
        multi_channel_enabled: Some(settings.multi_channel_enabled),
        branding_display_name: settings.branding_display_name,
        branding_logo_url: settings.branding_logo_url,
        branding_primary_color: settings.branding_primary_color,
    }
}

/// Every field of a message as the JSON the use cases take; an unset one is null.
fn all_fields(settings: admin::TenantSettings) -> Map<String, Value> {
    let fields = json!({
        "tenant_name": settings.tenant_name,
        "allowed_origins": settings.allowed_origins,
        "callback_url_base": settings.callback_url_base,
        "callback_path_prefix": settings.callback_path_prefix,
        "webhook_format": settings.webhook_format,
        "rate_limit_per_min": settings.rate_limit_per_min,
        "plan_tier": settings.plan_tier,
        "stripe_customer_id": settings.stripe_customer_id,
        "monthly_msg_quota": settings.monthly_msg_quota,
        "storage_gb_quota": settings.storage_gb_quota,
        "agent_seats": settings.agent_seats,
        "voice_enabled": settings.voice_enabled,
        "video_enabled": settings.video_enabled,
        "file_upload_enabled": settings.file_upload_enabled,
        "multi_channel_enabled": settings.multi_channel_enabled,
        "branding_display_name": settings.branding_display_name,
        "branding_logo_url": settings.branding_logo_url,
        "branding_primary_color": settings.branding_primary_color,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// What a new tenant is provisioned with: the fields that are set.
pub(super) fn set_fields(settings: admin::TenantSettings) -> Map<String, Value> {
    all_fields(settings).into_iter().filter(|(_, value)| !value.is_null()).collect()
}

/// What an update writes: the fields the mask names, null where unset.
pub(super) fn masked_fields(
    settings: admin::TenantSettings,
    mask: Option<prost_types::FieldMask>,
) -> Result<Map<String, Value>, ApiError> {
    let paths = mask.map(|mask| mask.paths).unwrap_or_default();
    if paths.is_empty() {
        return Err(ApiError::field("update_mask", "must name the fields to write"));
    }
    let fields = all_fields(settings);
    // A name that is no field goes through as null: the use case refuses it by name, as it does over REST.
    Ok(paths
        .into_iter()
        .map(|path| {
            let value = fields.get(&path).cloned().unwrap_or(Value::Null);
            (path, value)
        })
        .collect())
}

/// What a gateway may know of an operator.
pub(super) fn membership(operator: Operator) -> OperatorMembership {
    OperatorMembership {
        version: operator.version,
        is_revoked: operator.revoked_at.is_some(),
        email: operator.email.as_str().to_owned(),
        display_name: operator.display_name,
        avatar_url: operator.avatar_url,
        routing_keys: operator.routing_keys,
    }
}

pub(super) fn operator(operator: Operator) -> identity::Operator {
    identity::Operator {
        operator_id: operator.id.to_string(),
        tenant_id: operator.tenant_id.to_string(),
        email: operator.email.as_str().to_owned(),
        display_name: operator.display_name,
        routing_keys: operator.routing_keys,
        avatar_url: operator.avatar_url,
        created_at: Some(timestamp(operator.created_at)),
        updated_at: Some(timestamp(operator.updated_at)),
        revoked_at: operator.revoked_at.map(timestamp),
    }
}

pub(super) fn audit_entry(row: RecordedAudit) -> admin::AuditEntry {
    admin::AuditEntry {
        audit_id: row.id.to_string(),
        tenant_id: match row.tenant_id {
            TenantId::DEPLOYMENT => String::new(),
            id => id.to_string(),
        },
        actor: row.actor,
        action: row.action,
        request_id: row.request_id,
        subject: row.subject,
        changed_fields: row.changed_fields,
        occurred_at: Some(timestamp(row.occurred_at)),
    }
}

/// A page's size: 0 is the default.
pub(super) fn limit(limit: u32) -> Result<u64, ApiError> {
    match u64::from(limit) {
        0 => Ok(paging::DEFAULT_ROWS),
        rows if paging::ROWS.contains(&rows) => Ok(rows),
        _ => Err(ApiError::new(ErrorCode::ValidationFailed, "limit must be 1 to 500, or 0 for 100.")),
    }
}
