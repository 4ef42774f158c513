//! `Visitors`: sessions and tokens for the browsers that gateways have judged.

use proto::visitors::v1::{
    GetSessionRequest, OpenSessionRequest, OpenSessionResponse, RefreshTokenRequest, RefreshTokenResponse, Session,
    visitors_server::Visitors as Service,
};
use serde_json::{Map, Value};
use shared::{ApiError, SessionId, origin::Origin};
use tonic::{Request, Response, Status};

use super::{convert, edge::logged};
use crate::{
    domain::visitor::Mode,
    errors::UseCaseError,
    visitors::{NewSession, Visitors},
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

/// What is no session's id is no session.
fn session_id(text: &str) -> Result<SessionId, ApiError> {
    text.parse().map_err(|_| UseCaseError::SessionOver.into())
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
        let refreshed = self.visitors.refresh(tenant_id, id, &request.widget_public_key, &origin).await;
        let signed = refreshed.map_err(logged)?;
        let expires_at = Some(convert::timestamp(signed.expires_at));
        Ok(Response::new(RefreshTokenResponse { token: signed.token, expires_at }))
    }

    async fn get_session(&self, request: Request<GetSessionRequest>) -> Result<Response<Session>, Status> {
        let request = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&request.tenant_id)?;
        let session = self.visitors.session(tenant_id, session_id(&request.session_id)?).await.map_err(logged)?;
        Ok(Response::new(Session {
            session_id: session.id.to_string(),
            bot_id: session.bot_id.to_string(),
            locale: session.locale,
            metadata_json: Value::Object(session.metadata).to_string(),
            routing_key: session.routing_key,
            mode: session.mode.as_str().to_owned(),
            created_at: Some(convert::timestamp(session.created_at)),
            expires_at: Some(convert::timestamp(session.expires_at)),
        }))
    }
}
