//! The call that says who a visitor is: its session ends, and the visitor's own begins.

use std::time::Instant;

use axum::response::{IntoResponse as _, Response};
use service::{ApiError, Success, edge::ConcernedTenant};
use wire::time::now_unix_ms;

use super::{call::Call, sessions::opened, tokens::invalid};
use crate::{
    admin::{SessionToken, Vouched},
    directory::TenantDirectory,
    domain::token::Opens,
    ingress::{
        request::bearer,
        shapes::visitors::{IdentifiedVisitor, RefreshedToken},
    },
};

impl<D: TenantDirectory> Call<'_, D> {
    pub(super) async fn identify(&mut self, body: axum::body::Body) -> Result<Response, ApiError> {
        let text = bearer(&self.parts.headers).ok_or_else(invalid)?;
        let token = self.gateway.signing_keys.verify(text).await?.ok_or_else(invalid)?;
        let tenant_id = token.tenant_id;
        ConcernedTenant::note(&self.parts.extensions, tenant_id);
        let has_ended = token.has_ended(now_unix_ms());
        // A minted token already says who its visitor is, and needs no session.
        let Opens::Session { session, widget_key, origin, generation, .. } = token.opens else { return Err(invalid()) };
        let access = self.admit_session(tenant_id, &widget_key, &origin).await?;
        let IdentifiedVisitor { identity_token, name, email } = IdentifiedVisitor::read(&self.small_body(body).await?)?;
        let identity = self.gateway.signing_keys.verify(&identity_token).await?;
        let identity =
            identity.filter(|identity| identity.tenant_id == tenant_id && !identity.has_ended(now_unix_ms()));
        let Some(Opens::Minted { visitor_user_id, generation: minted, tenant_generation }) =
            identity.map(|identity| identity.opens)
        else {
            return Err(ApiError::invalid_identity_token());
        };
        // Counted before the admin service is asked: a refusal there has cost a change's locks.
        let (widget, limits) = (opened(&access)?, &self.gateway.limits);
        limits.begin_session(tenant_id, widget.key_id, widget.sessions_per_hour, self.client, Instant::now()).await?;
        let token = SessionToken { session, generation, has_ended };
        let vouched = Vouched { visitor_user_id, generation: minted, tenant_generation, name, email };
        let (admin, within) = (&self.gateway.admin, self.gateway.call_deadline);
        let identified = admin.identify_visitor(tenant_id, token, vouched, within, &self.request_id).await?;
        let followed = identified.everywhere(
            "The session before is ended, and not on every gateway yet. Send the call again: it waits for the rest, and answers the \
             session that followed.",
        )?;
        let data = RefreshedToken {
            session_id: followed.session_id,
            visitor_token: followed.token.token,
            expires_at: followed.token.expires_at,
        };
        Ok(Success::created(data, "Identified. The session before is over: go on with this visitor_token.")
            .into_response())
    }
}
