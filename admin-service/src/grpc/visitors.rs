//! `Visitors`: sessions and tokens for the browsers that gateways have judged.

use proto::visitors::v1::{
    self as rpc, AdmitVisitorRequest, EndSessionRequest, EndSessionResponse, GetSessionRequest, IdentifyVisitorRequest,
    IdentifyVisitorResponse, ListEndedSessionsRequest, ListEndedSessionsResponse, ListRevokedVisitorsRequest,
    ListRevokedVisitorsResponse, MintedToken, OpenSessionRequest, OpenSessionResponse, RefreshTokenRequest,
    RefreshTokenResponse, RevokeVisitorRequest, RevokeVisitorResponse, RevokedVisitor, Session, SessionToken,
    end_session_request::Token, visitors_server::Visitors as Service,
};
use serde_json::{Map, Value};
use service::ApiError;
use tonic::{Request, Response, Status};
use wire::{
    SessionId,
    frames::limits::{EMAIL_CHARS, VISITOR_NAME_CHARS},
    origin::Origin,
};

use super::{convert, edge::logged, metadata::request_id};
use crate::{
    domain::{
        audit::Caller,
        visitor::{Identity, Mode},
    },
    errors::UseCaseError,
    store::Vouched,
    visitors::{self, EndingToken, NewSession, Visitors},
};

pub(super) struct VisitorsService {
    visitors: Visitors,
}

impl VisitorsService {
    pub(super) fn new(visitors: Visitors) -> Self {
        Self { visitors }
    }
}

fn origin(text: &str) -> Result<Origin, ApiError> {
    text.parse().map_err(|error| ApiError::field("origin", format!("{error}")))
}

/// A text that is no session's id names no session.
fn session_id(text: &str) -> Result<SessionId, ApiError> {
    text.parse().map_err(|_| UseCaseError::SessionOver.into())
}

fn session_token(token: SessionToken) -> Result<visitors::SessionToken, ApiError> {
    let SessionToken { session_id: id, generation, has_ended } = token;
    Ok(visitors::SessionToken { id: session_id(&id)?, generation, has_ended })
}

/// Checks what a page tells of a visitor.
fn check_detail(field: &'static str, text: Option<&str>, most: usize) -> Result<(), ApiError> {
    if text.is_some_and(|text| text.trim().is_empty() || text.chars().count() > most || text.contains('\0')) {
        return Err(ApiError::field(field, format!("must be 1 to {most} characters")));
    }
    Ok(())
}

fn check_visitor_user_id(text: &str) -> Result<(), ApiError> {
    if text.trim().is_empty() || text.len() > 255 || text.contains('\0') {
        return Err(ApiError::field("visitor_user_id", "must be 1 to 255 bytes"));
    }
    Ok(())
}

#[tonic::async_trait]
impl Service for VisitorsService {
    async fn open_session(
        &self,
        request: Request<OpenSessionRequest>,
    ) -> Result<Response<OpenSessionResponse>, Status> {
        let request = request.into_inner();
        let metadata: Map<String, Value> = serde_json::from_str(&request.metadata_json)
            .map_err(|_| ApiError::field("metadata", "must be a JSON object"))?;
        let new = NewSession {
            tenant_id: convert::tenant_id_from_bytes(&request.tenant_id)?,
            widget_key: request.widget_public_key,
            origin: origin(&request.origin)?,
            locale: request.locale,
            mode: Mode::from_text(&request.mode).ok_or_else(|| ApiError::field("mode", "must be bot or human"))?,
            routing_key: request.routing_key,
            metadata,
        };
        let (id, signed) = self.visitors.open(new).await.map_err(logged)?;
        Ok(Response::new(OpenSessionResponse {
            session_id: id.to_string(),
            token: signed.token,
            expires_at: Some(convert::timestamp(signed.expires_at)),
        }))
    }

    async fn refresh_token(
        &self,
        request: Request<RefreshTokenRequest>,
    ) -> Result<Response<RefreshTokenResponse>, Status> {
        let request = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&request.tenant_id)?;
        let (id, origin) = (session_id(&request.session_id)?, origin(&request.origin)?);
        let refreshed =
            self.visitors.refresh(tenant_id, id, &request.widget_public_key, &origin, request.generation).await;
        let signed = refreshed.map_err(logged)?;
        let expires_at = Some(convert::timestamp(signed.expires_at));
        Ok(Response::new(RefreshTokenResponse { token: signed.token, expires_at }))
    }

    async fn admit_visitor(&self, request: Request<AdmitVisitorRequest>) -> Result<Response<Session>, Status> {
        let AdmitVisitorRequest { tenant_id, visitor_user_id, generation } = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&tenant_id)?;
        let known = self.visitors.known(tenant_id, &visitor_user_id, generation).await;
        let (id, bot_id) = known.map_err(logged)?;
        Ok(Response::new(Session {
            session_id: id.to_string(),
            bot_id: bot_id.to_string(),
            locale: "fr".to_owned(),
            metadata_json: "{}".to_owned(),
            mode: Mode::Bot.as_str().to_owned(),
            ..Session::default()
        }))
    }

    async fn list_revoked_visitors(
        &self,
        request: Request<ListRevokedVisitorsRequest>,
    ) -> Result<Response<ListRevokedVisitorsResponse>, Status> {
        let ListRevokedVisitorsRequest { tenant_id, after } = request.into_inner();
        let revoked = self.visitors.revoked(convert::tenant_id_from_bytes(&tenant_id)?, after).await.map_err(logged)?;
        let revoked = revoked
            .into_iter()
            .map(|(visitor_user_id, generation)| RevokedVisitor { visitor_user_id, generation })
            .collect();
        Ok(Response::new(ListRevokedVisitorsResponse { revoked }))
    }

    async fn revoke_visitor(
        &self,
        request: Request<RevokeVisitorRequest>,
    ) -> Result<Response<RevokeVisitorResponse>, Status> {
        let caller =
            Caller { actor: "tenant".to_owned(), request_id: request_id(request.metadata().as_ref()), admin_key: None };
        let RevokeVisitorRequest { tenant_id, visitor_user_id, wait_ms } = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&tenant_id)?;
        check_visitor_user_id(&visitor_user_id)?;
        let revoked = self.visitors.revoke(&caller, tenant_id, visitor_user_id, convert::wait(wait_ms)).await;
        let (at, is_everywhere) = revoked.map_err(logged)?;
        Ok(Response::new(RevokeVisitorResponse { revoked_at: Some(convert::timestamp(at)), is_everywhere }))
    }

    async fn end_session(&self, request: Request<EndSessionRequest>) -> Result<Response<EndSessionResponse>, Status> {
        let request_id = request_id(request.metadata().as_ref());
        let EndSessionRequest { tenant_id, token, wait_ms } = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&tenant_id)?;
        let token = match token.ok_or_else(|| ApiError::field("token", "is required"))? {
            Token::Session(token) => EndingToken::Session(session_token(token)?),
            Token::Minted(MintedToken { visitor_user_id, generation, tenant_generation }) => {
                check_visitor_user_id(&visitor_user_id)?;
                EndingToken::Minted { visitor_user_id, generation, tenant_generation }
            }
        };
        let ended = self.visitors.end(request_id, tenant_id, token, convert::wait(wait_ms)).await;
        let (id, is_everywhere) = ended.map_err(logged)?;
        Ok(Response::new(EndSessionResponse { session_id: id.to_string(), is_everywhere }))
    }

    async fn identify_visitor(
        &self,
        request: Request<IdentifyVisitorRequest>,
    ) -> Result<Response<IdentifyVisitorResponse>, Status> {
        let request_id = request_id(request.metadata().as_ref());
        let IdentifyVisitorRequest { tenant_id, session, identity, name, email, wait_ms } = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&tenant_id)?;
        let session = session.ok_or_else(|| ApiError::field("session", "is required"))?;
        let identity = identity.ok_or_else(|| ApiError::field("identity", "is required"))?;
        let MintedToken { visitor_user_id, generation, tenant_generation } = identity;
        check_visitor_user_id(&visitor_user_id)?;
        check_detail("name", name.as_deref(), VISITOR_NAME_CHARS)?;
        check_detail("email", email.as_deref(), EMAIL_CHARS)?;
        let identity = Identity { visitor_user_id, name, email, tenant_generation, continues: None };
        let vouched = Vouched { identity, generation };
        let wait = convert::wait(wait_ms);
        let identified = self.visitors.identify(request_id, tenant_id, session_token(session)?, vouched, wait).await;
        let (id, signed, is_everywhere) = identified.map_err(logged)?;
        Ok(Response::new(IdentifyVisitorResponse {
            session_id: id.to_string(),
            token: signed.token,
            expires_at: Some(convert::timestamp(signed.expires_at)),
            is_everywhere,
        }))
    }

    async fn list_ended_sessions(
        &self,
        request: Request<ListEndedSessionsRequest>,
    ) -> Result<Response<ListEndedSessionsResponse>, Status> {
        let ListEndedSessionsRequest { tenant_id, after } = request.into_inner();
        let ended = self.visitors.ended(convert::tenant_id_from_bytes(&tenant_id)?, after).await.map_err(logged)?;
        let session_ids = ended.iter().map(ToString::to_string).collect();
        Ok(Response::new(ListEndedSessionsResponse { session_ids }))
    }

    async fn get_session(&self, request: Request<GetSessionRequest>) -> Result<Response<Session>, Status> {
        let request = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&request.tenant_id)?;
        let id = session_id(&request.session_id)?;
        let session = self.visitors.opened(tenant_id, id, request.generation).await.map_err(logged)?;
        Ok(Response::new(Session {
            session_id: session.id.to_string(),
            bot_id: session.bot_id.to_string(),
            locale: session.locale,
            metadata_json: Value::Object(session.metadata).to_string(),
            routing_key: session.routing_key,
            mode: session.mode.as_str().to_owned(),
            created_at: Some(convert::timestamp(session.created_at)),
            expires_at: Some(convert::timestamp(session.expires_at)),
            identity: session.identity.map(|identity| rpc::Identity {
                visitor_user_id: identity.visitor_user_id,
                name: identity.name,
                email: identity.email,
                continues: identity.continues.map(|id| id.to_string()),
            }),
        }))
    }
}
