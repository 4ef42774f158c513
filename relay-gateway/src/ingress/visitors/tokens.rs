//! The calls that take a visitor's token: one refreshes the token, the other ends its session.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use service::{ApiError, Success, edge::ConcernedTenant};
use wire::{ErrorCode, TenantId, origin::Origin, time::now_unix_ms};

use super::call::Call;
use crate::{
    admin::{EndingToken, SessionToken},
    directory::TenantDirectory,
    domain::{token::Opens, widget_access::WidgetAccess},
    ingress::{
        cors::RequestOrigin,
        request::bearer,
        shapes::visitors::{EndedSession, RefreshedToken},
    },
};

impl<D: TenantDirectory> Call<'_, D> {
    pub(super) async fn refresh_token(&mut self) -> Result<Response, ApiError> {
        let text = bearer(&self.parts.headers).ok_or_else(invalid)?;
        let token = self.gateway.signing_keys.verify(text).await?.ok_or_else(invalid)?;
        ConcernedTenant::note(&self.parts.extensions, token.tenant_id);
        // A minted token is not refreshed here: the tenant's backend mints the next one.
        let Opens::Session { session, widget_key, origin, generation, .. } = token.opens else { return Err(invalid()) };
        self.admit_session(token.tenant_id, &widget_key, &origin).await?;
        let admin = &self.gateway.admin;
        let bound_to = (widget_key, &origin);
        let refreshed = admin.refresh_token(token.tenant_id, session, bound_to, generation, &self.request_id).await?;
        let data = RefreshedToken {
            session_id: session.to_string(),
            visitor_token: refreshed.token,
            expires_at: refreshed.expires_at,
        };
        Ok(Success::ok(data, "Token refreshed.").into_response())
    }

    /// What the key opens for a session of this origin, whose page asks.
    pub(super) async fn admit_session(
        &mut self,
        tenant_id: TenantId,
        widget_key: &str,
        origin: &Origin,
    ) -> Result<Arc<WidgetAccess>, ApiError> {
        let access = self.admit(tenant_id, widget_key).await?;
        if let RequestOrigin::Page(asker, _) = RequestOrigin::read(&self.parts.headers)
            && asker != *origin
        {
            return Err(another_page(origin, &asker));
        }
        if access.allows(origin) { Ok(access) } else { Err(ApiError::origin_not_allowed(origin)) }
    }

    /// Neither the key nor the tenant is checked: the holder of a token may end its session even while the tenant is suspended.
    pub(super) async fn end_session(&mut self) -> Result<Response, ApiError> {
        let text = bearer(&self.parts.headers).ok_or_else(invalid)?;
        let token = self.gateway.signing_keys.verify(text).await?.ok_or_else(invalid)?;
        ConcernedTenant::note(&self.parts.extensions, token.tenant_id);
        let has_ended = token.has_ended(now_unix_ms());
        let asker = RequestOrigin::read(&self.parts.headers);
        let tenant_id = token.tenant_id;
        let ending = match token.opens {
            Opens::Session { session, origin, generation, .. } => {
                match asker {
                    RequestOrigin::Absent => {}
                    // The session was begun for this page, which learns of nothing but its end.
                    RequestOrigin::Page(page, text) if page == origin => self.readable_by = Some(text),
                    RequestOrigin::Page(page, _) => return Err(another_page(&origin, &page)),
                    RequestOrigin::Opaque => return Err(ApiError::origin_not_allowed("no origin")),
                }
                EndingToken::Session(SessionToken { session, generation, has_ended })
            }
            Opens::Minted { visitor_user_id, generation, tenant_generation } => {
                // A minted token is bound to no page: any page that has it may read the answer.
                if let RequestOrigin::Page(_, text) = asker {
                    self.readable_by = Some(text);
                }
                // Its session has ended with its time.
                if has_ended {
                    return Err(invalid());
                }
                EndingToken::Minted { visitor_user_id, generation, tenant_generation }
            }
        };
        let admin = &self.gateway.admin;
        let ended = admin.end_session(tenant_id, ending, self.gateway.call_deadline, &self.request_id).await?;
        let session_id = ended.everywhere(
            "The session is ended, and not on every gateway yet. Send the call again: it waits for the rest.",
        )?;
        Ok(Success::ok(EndedSession { session_id }, "Session ended: its tokens and sockets are over.").into_response())
    }
}

pub(super) fn invalid() -> ApiError {
    ApiError::new(
        ErrorCode::InvalidVisitorToken,
        "Send `Authorization: Bearer <visitor_token>` with a token of this relay's, ended or not; where its session is over, or a \
         newer token of it was used more than a minute ago, POST /api/v1/create/visitor-session begins another.",
    )
}

fn another_page(origin: &Origin, page: &Origin) -> ApiError {
    let message = format!("The token is for pages of {origin}, and this page's Origin is {page}.");
    ApiError::new(ErrorCode::OriginNotAllowed, message)
}
