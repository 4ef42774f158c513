//! `chatrelay.directory.v1.TenantDirectory`: tenants' state, and what their widget keys allow. The watch stream is in `watch.rs`.

use std::{num::NonZeroU32, str::FromStr, sync::atomic::AtomicI64};

use proto::directory::v1 as rpc;
use serde::Serialize;
use serde_json::{Map, Value};
use service::ApiError;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::{TenantId, origin::OriginPolicy, request_id::RequestId, signature::TenantKey, time::since_boot_ms};
use zeroize::Zeroizing;

use super::{errors::no_answer, transport::AdminClient};
use crate::domain::{
    tenant::{Generation, PreviousKey, TenantState},
    widget_access::{Widget, WidgetAccess},
};

/// A tenant's state, and when it was true.
pub(crate) struct TenantAnswer {
    /// `None` where there is no such tenant.
    pub(crate) tenant: Option<TenantState>,
    /// The directory's revision that the state was true at.
    pub(crate) revision: u64,
}

/// When a call was last signed with a tenant's previous secret.
#[derive(Clone, Copy)]
pub(crate) struct PreviousUse {
    pub(crate) tenant_id: TenantId,
    /// The rotation that left that secret, Unix milliseconds.
    pub(crate) rotated_at_ms: i64,
    /// Unix milliseconds.
    pub(crate) used_at_ms: i64,
}

/// What a tenant may read of its own configuration.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantInfo {
    #[schema(value_type = Uuid)]
    pub(crate) tenant_id: String,
    pub(crate) tenant_name: String,
    #[schema(pattern = "^(active|suspended)$")]
    pub(crate) status: String,
    pub(crate) plan_tier: String,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) voice_enabled: bool,
    pub(crate) video_enabled: bool,
    pub(crate) file_upload_enabled: bool,
    pub(crate) multi_channel_enabled: bool,
    pub(crate) monthly_msg_quota: u64,
    pub(crate) storage_gb_quota: u64,
    pub(crate) agent_seats: u64,
}

impl AdminClient {
    /// A tenant's state, true at some moment after the call began. Its secret is keyed here, and its text wiped.
    pub(crate) async fn tenant(&self, id: TenantId, request_id: &RequestId) -> Result<TenantAnswer, ApiError> {
        let message = rpc::GetTenantRequest { tenant_id: id.as_uuid().as_bytes().to_vec() };
        let asked_at = since_boot_ms();
        let answer = self.call(request_id, message).await?;
        let tenant = match answer.tenant {
            Some(tenant) => Some(keyed(id, tenant, asked_at)?),
            None => {
                // Takes as long as keying a known tenant: a caller must not learn from the time whether the tenant exists.
                std::hint::black_box(TenantKey::new(std::hint::black_box(b"nobody")));
                None
            }
        };
        Ok(TenantAnswer { tenant, revision: answer.revision })
    }

    /// Tells when this gateway last took calls that were signed with previous secrets.
    pub(crate) async fn note_previous_uses(&self, gateway: &str, uses: &[PreviousUse]) -> Result<(), ApiError> {
        let uses = uses.iter().map(|used| rpc::PreviousUse {
            tenant_id: used.tenant_id.as_uuid().as_bytes().to_vec(),
            rotated_at_ms: used.rotated_at_ms,
            used_at_ms: used.used_at_ms,
        });
        let message = rpc::NotePreviousUsesRequest { gateway: gateway.to_owned(), uses: uses.collect() };
        self.call(&RequestId::generate(), message).await.map(drop)
    }

    /// What a widget key allows; with an empty key, what any page of the tenant's origins may see.
    pub(crate) async fn widget_access(
        &self,
        tenant_id: TenantId,
        widget_key: &str,
        request_id: &RequestId,
    ) -> Result<WidgetAccess, ApiError> {
        let tenant_id = tenant_id.as_uuid().as_bytes().to_vec();
        let message = rpc::GetWidgetRequest { tenant_id, widget_public_key: widget_key.to_owned() };
        widget_access(self.call(request_id, message).await?)
    }

    /// What a tenant may read of its own configuration.
    pub(crate) async fn tenant_info(&self, id: TenantId, request_id: &RequestId) -> Result<TenantInfo, ApiError> {
        let message = rpc::GetTenantInfoRequest { tenant_id: id.as_uuid().as_bytes().to_vec() };
        let rpc::TenantInfo {
            tenant_id,
            tenant_name,
            status,
            plan_tier,
            allowed_origins,
            voice_enabled,
            video_enabled,
            file_upload_enabled,
            multi_channel_enabled,
            monthly_msg_quota,
            storage_gb_quota,
            agent_seats,
        } = self.call(request_id, message).await?;
        Ok(TenantInfo {
            tenant_id,
            tenant_name,
            status,
            plan_tier,
            allowed_origins,
            voice_enabled,
            video_enabled,
            file_upload_enabled,
            multi_channel_enabled,
            monthly_msg_quota,
            storage_gb_quota,
            agent_seats,
        })
    }
}

/// Reads what a widget key allows. A pattern that cannot be read is an error: the gateway could not tell which pages it lets in.
fn widget_access(wire: rpc::GetWidgetResponse) -> Result<WidgetAccess, ApiError> {
    fn all<T: FromStr<Err: std::fmt::Display>>(texts: &[String]) -> Result<Vec<T>, ApiError> {
        texts.iter().map(|text| text.parse().map_err(no_answer)).collect()
    }
    let origins = all(&wire.allowed_origins)?;
    let Some(widget) = wire.widget else {
        return Ok(WidgetAccess { policy: OriginPolicy { origins, domains: Vec::new() }, widget: None });
    };
    let policy = OriginPolicy { origins, domains: all(&widget.allowed_domains)? };
    serde_json::from_str::<Map<String, Value>>(&widget.config_json).map_err(no_answer)?;
    let widget = Widget {
        key_id: Uuid::from_slice(&widget.key_id).map_err(no_answer)?,
        sessions_per_hour: NonZeroU32::new(widget.rate_limit_per_hour).unwrap_or(NonZeroU32::MIN),
        config: widget.config_json.into(),
    };
    Ok(WidgetAccess { policy, widget: Some(widget) })
}

/// Keys the secrets and wipes their texts. `asked_at` is when the admin service was asked, in milliseconds since the machine started.
fn keyed(id: TenantId, wire: rpc::TenantState, asked_at: u64) -> Result<TenantState, ApiError> {
    let status = wire.status();
    let secret = Zeroizing::new(wire.hmac_key);
    let suspended = match status {
        rpc::TenantStatus::Active => false,
        rpc::TenantStatus::Suspended => true,
        rpc::TenantStatus::Unspecified => return Err(no_answer("a tenant without a status")),
    };
    if secret.is_empty() {
        return Err(no_answer("a tenant without a key"));
    }
    let previous = wire.previous_key.map(|previous| {
        let secret = Zeroizing::new(previous.hmac_key);
        Box::new(PreviousKey {
            key: TenantKey::new(&secret),
            until_boot_ms: asked_at.saturating_add(previous.valid_for_ms),
            rotated_at_ms: previous.rotated_at_ms,
            noted_at_ms: AtomicI64::new(0),
        })
    });
    Ok(TenantState {
        id,
        suspended,
        key: TenantKey::new(&secret),
        previous,
        rate_limit_per_min: NonZeroU32::new(wire.rate_limit_per_min).unwrap_or(NonZeroU32::MIN),
        // An older admin service does not send this field: then the tenant takes files, as by default.
        file_upload_enabled: wire.file_upload_enabled.unwrap_or(true),
        storage_gb_quota: wire.storage_gb_quota,
        token_generation: wire.token_generation,
        visitor_revocations: wire.visitor_revocations,
        sessions_ended: wire.sessions_ended,
        operators_changed: wire.operators_changed,
        generation: Generation::next(),
    })
}

#[cfg(test)]
mod tests {
    use wire::ErrorCode;

    use super::*;

    fn wire() -> rpc::TenantState {
        rpc::TenantState {
            tenant_id: Vec::new(),
            status: rpc::TenantStatus::Active.into(),
            hmac_key: b"sk_1".to_vec(),
            rate_limit_per_min: 60,
            revision: 1,
            ..rpc::TenantState::default()
        }
    }

    #[test]
    fn a_widget_access_that_cannot_be_read_is_refused() {
        let good = || rpc::GetWidgetResponse {
            allowed_origins: vec!["https://*.demo.com".to_owned()],
            widget: Some(rpc::Widget {
                key_id: Uuid::new_v4().as_bytes().to_vec(),
                allowed_domains: Vec::new(),
                rate_limit_per_hour: 0,
                config_json: "{}".to_owned(),
            }),
        };
        let read = widget_access(good()).expect("it is read");
        assert!(read.allows(&"https://a.demo.com".parse().expect("an origin")));
        assert!(read.widget.is_some_and(|widget| widget.sessions_per_hour == NonZeroU32::MIN));
        let spoil = |spoil: fn(&mut rpc::GetWidgetResponse)| {
            let mut wire = good();
            spoil(&mut wire);
            widget_access(wire).expect_err("refused").code()
        };
        for code in [
            spoil(|wire| wire.allowed_origins.push("*".to_owned())),
            spoil(|wire| wire.widget.as_mut().expect("a widget").allowed_domains.push("*".to_owned())),
            spoil(|wire| wire.widget.as_mut().expect("a widget").key_id.clear()),
            spoil(|wire| wire.widget.as_mut().expect("a widget").config_json.push('}')),
        ] {
            assert_eq!(code, ErrorCode::DirectoryUnavailable);
        }
    }

    #[test]
    fn an_answer_that_cannot_be_trusted_is_no_answer() {
        let id = TenantId::generate();
        assert!(keyed(id, wire(), 0).is_ok_and(|state| !state.suspended));
        let suspended = rpc::TenantState { status: rpc::TenantStatus::Suspended.into(), ..wire() };
        assert!(keyed(id, suspended, 0).is_ok_and(|state| state.suspended));
        for broken in [
            rpc::TenantState { status: 0, ..wire() },
            rpc::TenantState { status: 99, ..wire() },
            rpc::TenantState { hmac_key: Vec::new(), ..wire() },
        ] {
            assert_eq!(keyed(id, broken, 0).expect_err("refused").code(), ErrorCode::DirectoryUnavailable);
        }
    }
}
