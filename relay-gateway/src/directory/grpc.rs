//! The directory, by asking the admin service every time: what it answers was true after the call began, so nothing
//! that was rotated or suspended before is ever let in.

use std::{num::NonZeroU32, str::FromStr, sync::Arc};

use proto::directory::v1::{
    GetTenantRequest, GetWidgetRequest, GetWidgetResponse, TenantState as WireState, TenantStatus,
    tenant_directory_client::TenantDirectoryClient,
};
use serde_json::{Map, Value};
use service::ApiError;
use uuid::Uuid;
use wire::{TenantId, origin::OriginPolicy, request_id::RequestId, signature::TenantKey};
use zeroize::Zeroizing;

use super::{Known, TenantDirectory, unavailable};
use crate::{
    admin_client::AdminClient,
    domain::{
        tenant::{Generation, TenantState},
        widget_access::{Widget, WidgetAccess},
    },
};

/// Asks the admin service.
pub(crate) struct GrpcDirectory {
    admin: AdminClient,
}

impl GrpcDirectory {
    pub(crate) fn new(admin: AdminClient) -> Self {
        Self { admin }
    }
}

impl TenantDirectory for GrpcDirectory {
    async fn lookup(&self, id: TenantId, request_id: &RequestId) -> Result<Known, ApiError> {
        let message = GetTenantRequest { tenant_id: id.as_uuid().as_bytes().to_vec() };
        let answer = self
            .admin
            .call(
                "chatrelay.directory.v1.TenantDirectory/GetTenant",
                request_id,
                message,
                |channel, request| async move { TenantDirectoryClient::new(channel).get_tenant(request).await },
            )
            .await
            // Whatever the admin service's trouble is, to this caller it means one thing.
            .map_err(unavailable)?;
        let tenant = match answer.tenant {
            Some(tenant) => Some(Arc::new(keyed(id, tenant)?)),
            None => {
                // Takes what keying a known tenant takes: who is unknown is not to be told by the clock.
                std::hint::black_box(TenantKey::new(std::hint::black_box(b"nobody")));
                None
            }
        };
        Ok(Known { tenant, revision: answer.revision })
    }

    async fn widget_access(
        &self,
        tenant: &TenantState,
        widget_key: &str,
        request_id: &RequestId,
    ) -> Result<Arc<WidgetAccess>, ApiError> {
        let tenant_id = tenant.id.as_uuid().as_bytes().to_vec();
        let message = GetWidgetRequest { tenant_id, widget_public_key: widget_key.to_owned() };
        let answer = self
            .admin
            .call(
                "chatrelay.directory.v1.TenantDirectory/GetWidget",
                request_id,
                message,
                |channel, request| async move { TenantDirectoryClient::new(channel).get_widget(request).await },
            )
            .await
            .map_err(unavailable)?;
        widget_access(answer).map(Arc::new)
    }
}

/// Reads what a widget key allows. A pattern that cannot be read is an error: nobody could say which pages it lets in.
fn widget_access(wire: GetWidgetResponse) -> Result<WidgetAccess, ApiError> {
    fn all<T: FromStr<Err: std::fmt::Display>>(texts: &[String]) -> Result<Vec<T>, ApiError> {
        texts.iter().map(|text| text.parse().map_err(unavailable)).collect()
    }
    let origins = all(&wire.allowed_origins)?;
    let Some(widget) = wire.widget else {
        return Ok(WidgetAccess { policy: OriginPolicy { origins, domains: Vec::new() }, widget: None });
    };
    let policy = OriginPolicy { origins, domains: all(&widget.allowed_domains)? };
    serde_json::from_str::<Map<String, Value>>(&widget.config_json).map_err(unavailable)?;
    let widget = Widget {
        key_id: Uuid::from_slice(&widget.key_id).map_err(unavailable)?,
        sessions_per_hour: NonZeroU32::new(widget.rate_limit_per_hour).unwrap_or(NonZeroU32::MIN),
        config: widget.config_json.into(),
    };
    Ok(WidgetAccess { policy, widget: Some(widget) })
}

/// Keys the secret and wipes its text.
fn keyed(id: TenantId, wire: WireState) -> Result<TenantState, ApiError> {
    let status = wire.status();
    let secret = Zeroizing::new(wire.hmac_key);
    let suspended = match status {
        TenantStatus::Active => false,
        TenantStatus::Suspended => true,
        TenantStatus::Unspecified => return Err(unavailable("a tenant without a status")),
    };
    if secret.is_empty() {
        return Err(unavailable("a tenant without a key"));
    }
    Ok(TenantState {
        id,
        suspended,
        key: TenantKey::new(&secret),
        rate_limit_per_min: NonZeroU32::new(wire.rate_limit_per_min).unwrap_or(NonZeroU32::MIN),
        rate: Default::default(),
        // An older admin service does not send this field: then the tenant takes files, as by default.
        file_upload_enabled: wire.file_upload_enabled.unwrap_or(true),
        token_generation: wire.token_generation,
        visitor_revocations: wire.visitor_revocations,
        sessions_ended: wire.sessions_ended,
        generation: Generation::next(),
    })
}

#[cfg(test)]
mod tests {
    use wire::ErrorCode;

    use super::*;

    fn wire() -> WireState {
        WireState {
            tenant_id: Vec::new(),
            status: TenantStatus::Active.into(),
            hmac_key: b"sk_1".to_vec(),
            rate_limit_per_min: 60,
            revision: 1,
            ..WireState::default()
        }
    }

    #[test]
    fn a_widget_access_that_cannot_be_read_is_refused() {
        let good = || GetWidgetResponse {
            allowed_origins: vec!["https://*.demo.com".to_owned()],
            widget: Some(proto::directory::v1::Widget {
                key_id: Uuid::new_v4().as_bytes().to_vec(),
                allowed_domains: Vec::new(),
                rate_limit_per_hour: 0,
                config_json: "{}".to_owned(),
            }),
        };
        let read = widget_access(good()).expect("it is read");
        assert!(read.allows(&"https://a.demo.com".parse().expect("an origin")));
        assert!(read.widget.is_some_and(|widget| widget.sessions_per_hour == NonZeroU32::MIN));
        let spoil = |spoil: fn(&mut GetWidgetResponse)| {
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
        assert!(keyed(id, wire()).is_ok_and(|state| !state.suspended));
        let suspended = WireState { status: TenantStatus::Suspended.into(), ..wire() };
        assert!(keyed(id, suspended).is_ok_and(|state| state.suspended));
        for broken in [
            WireState { status: 0, ..wire() },
            WireState { status: 99, ..wire() },
            WireState { hmac_key: Vec::new(), ..wire() },
        ] {
            assert_eq!(keyed(id, broken).expect_err("refused").code(), ErrorCode::DirectoryUnavailable);
        }
    }
}
