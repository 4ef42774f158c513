//! What stands around each call of the visitor lane: preflights, failures that are counted, and which pages may read the answer.

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, Method, request::Parts};
use service::{ApiError, edge::ConcernedTenant, query::Query};
use wire::{ErrorCode, TenantId, request_id::RequestId};

use crate::{
    directory::TenantDirectory,
    domain::{
        tenant::TenantState,
        widget_access::{AccessDenied, WidgetAccess, is_key},
    },
    errors::suspended,
    ingress::{
        cors::{self, RequestOrigin},
        request::{client_address, request_id},
        state::Gateway,
    },
    limits::{FailureGuard, Lane},
};

/// Answers a call: its preflight, or what `handle` makes of it.
pub(super) async fn answer<D: TenantDirectory>(
    gateway: &Gateway<D>,
    request: Request,
    method: &'static str,
    handle: impl AsyncFnOnce(&mut Call<'_, D>, axum::body::Body) -> Result<Response, ApiError>,
) -> Response {
    let client = client_address(&request, &gateway.trusted_proxies);
    let (parts, body) = request.into_parts();
    let request_id = request_id(&parts.extensions);
    let mut call = Call { gateway, parts, request_id, client, readable_by: None, charged: None };
    if call.parts.method == Method::OPTIONS {
        let (response, is_proven) = call.preflight(method).await;
        if is_proven {
            call.disarm();
        } else if call.charged.is_none() {
            let _ = gateway.limits.count_failure(Lane::Visitor, client, Instant::now());
        }
        return response;
    }
    match handle(&mut call, body).await {
        Ok(mut response) => {
            call.disarm();
            call.let_read(&mut response);
            response
        }
        // The caller is not to blame, or the call was counted by another limit.
        Err(error) if error.code() == ErrorCode::RateLimited || error.code().statuses().0.is_server_error() => {
            call.disarm();
            call.refuse(error).await
        }
        Err(error) => {
            // A call that cost nothing is charged now that it has failed.
            if call.charged.is_none() {
                match gateway.limits.charge_failure(Lane::Visitor, client, Instant::now()) {
                    Ok(charged) => call.charged = Some(charged),
                    Err(exceeded) => return call.refuse(exceeded.into()).await,
                }
            }
            call.refuse(error).await
        }
    }
}

/// One call, and which page may read its answer.
pub(super) struct Call<'a, D: TenantDirectory> {
    pub(super) gateway: &'a Gateway<D>,
    pub(super) parts: Parts,
    pub(super) request_id: RequestId,
    pub(super) client: IpAddr,
    /// The page that may read the answer.
    pub(super) readable_by: Option<HeaderValue>,
    /// Where the call has cost a look-up: what it was charged with until it proves something.
    charged: Option<FailureGuard>,
}

impl<D: TenantDirectory> Call<'_, D> {
    /// The call is good, or its caller is not to blame for its failure.
    fn disarm(&mut self) {
        if let Some(charged) = self.charged.take() {
            charged.disarm();
        }
    }

    fn let_read(&self, response: &mut Response) {
        cors::vary(response.headers_mut());
        if let Some(origin) = &self.readable_by {
            cors::allow(response.headers_mut(), origin);
        }
    }

    /// Refuses the call. If the page was not judged yet, the allowed origins of the tenant in the URL decide whether the page may read the
    /// refusal. Any page may learn that a limit was reached, or that the admin service is away.
    async fn refuse(mut self, error: ApiError) -> Response {
        self.gateway.metrics.refused(error.code());
        if let (None, RequestOrigin::Page(origin, text)) = (&self.readable_by, RequestOrigin::read(&self.parts.headers))
        {
            let may_read = match error.code() {
                ErrorCode::RateLimited | ErrorCode::DirectoryUnavailable | ErrorCode::Overloaded => true,
                ErrorCode::OriginNotAllowed => false,
                _ => match named(&self.parts) {
                    (Some(tenant_id), key) => {
                        let found = self.look_up(tenant_id, &key).await.ok().flatten();
                        found.is_some_and(|(_, access)| access.allows(&origin))
                    }
                    (None, _) => false,
                },
            };
            self.readable_by = may_read.then_some(text);
        }
        let mut response = error.into_response();
        self.let_read(&mut response);
        response
    }

    /// Answers a preflight: by the origins of the tenant that it names. A preflight that names none cannot be judged yet: the page may
    /// send the call, and is judged with it. Says, too, whether the preflight cost nothing or was allowed.
    async fn preflight(&mut self, method: &'static str) -> (Response, bool) {
        let RequestOrigin::Page(origin, text) = RequestOrigin::read(&self.parts.headers) else {
            return (cors::preflight(None, method), true);
        };
        let (tenant_id, key) = named(&self.parts);
        let Some(tenant_id) = tenant_id else { return (cors::preflight(Some(&text), method), true) };
        match self.look_up(tenant_id, &key).await {
            Ok(found) => {
                let allowed = found.is_some_and(|(_, access)| access.allows(&origin));
                (cors::preflight(allowed.then_some(&text), method), allowed)
            }
            Err(error) => (error.into_response(), true),
        }
    }

    /// What is known of a tenant and of what the key allows; `None` where there is no such tenant.
    async fn look_up(
        &mut self,
        tenant_id: TenantId,
        key: &str,
    ) -> Result<Option<(Arc<TenantState>, Arc<WidgetAccess>)>, ApiError> {
        ConcernedTenant::note(&self.parts.extensions, tenant_id);
        // The admin service is not asked about a text that cannot be a key: what the empty key allows is kept.
        let key = if is_key(key) { key } else { "" };
        let directory = &self.gateway.directory;
        let costs_nothing = directory
            .cached(tenant_id)
            .is_some_and(|known| known.tenant.is_none_or(|tenant| directory.has_widget_access(&tenant, key)));
        if !costs_nothing && self.charged.is_none() {
            self.charged = Some(self.gateway.limits.charge_failure(Lane::Visitor, self.client, Instant::now())?);
        }
        let known = directory.lookup(tenant_id, &self.request_id).await?;
        let Some(tenant) = known.tenant else { return Ok(None) };
        let access = directory.widget_access(&tenant, key, &self.request_id).await?;
        Ok(Some((tenant, access)))
    }

    /// What the key opens for a page that is allowed. The page is judged before the key and the tenant: a page that is not allowed
    /// must learn of neither.
    pub(super) async fn admit(&mut self, tenant_id: TenantId, key: &str) -> Result<Arc<WidgetAccess>, ApiError> {
        let found = self.look_up(tenant_id, key).await?;
        let (tenant, access) = found.ok_or_else(ApiError::invalid_widget_key)?;
        match RequestOrigin::read(&self.parts.headers) {
            RequestOrigin::Absent => {}
            RequestOrigin::Page(origin, text) if access.allows(&origin) => self.readable_by = Some(text),
            // Whether the key is right is not for pages that are not allowed to learn.
            RequestOrigin::Page(origin, _) => return Err(ApiError::origin_not_allowed(origin)),
            RequestOrigin::Opaque => return Err(ApiError::origin_not_allowed("no origin")),
        }
        match access.open(&tenant).map(drop) {
            Ok(()) => Ok(access),
            Err(AccessDenied::Key) => Err(ApiError::invalid_widget_key()),
            Err(AccessDenied::Suspended) => Err(suspended()),
        }
    }
}

/// The tenant and widget key that a URL names.
fn named(parts: &Parts) -> (Option<TenantId>, String) {
    let mut query = Query::parse(parts.uri.query());
    (query.optional("tenant_id"), query.optional("widget_public_key").unwrap_or_default())
}
