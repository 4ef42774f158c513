//! `chatrelay.visitors.v1.Visitors`: visitors' sessions and their tokens.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use proto::visitors::v1 as rpc;
use serde_json::{Map, Value};
use service::ApiError;
use wire::{ErrorCode, SessionId, TenantId, origin::Origin, request_id::RequestId, time::WireTime};

use super::{
    identity::Issued,
    transport::{AdminClient, propagation_wait_ms},
    wire_time::time,
};

/// What a session is begun with.
pub(crate) struct NewSession {
    pub(crate) widget_public_key: String,
    /// The page's.
    pub(crate) origin: Origin,
    pub(crate) locale: String,
    /// What the page says of itself and its visitor.
    pub(crate) metadata: Map<String, Value>,
    pub(crate) routing_key: Option<String>,
    /// `bot` or `human`: who answers first.
    pub(crate) mode: String,
}

/// A session that has begun, and its first token.
pub(crate) struct OpenedSession {
    pub(crate) session_id: String,
    pub(crate) token: Issued,
}

/// A session as it was begun.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) session_id: SessionId,
    pub(crate) bot_id: String,
    pub(crate) locale: String,
    /// A JSON object.
    pub(crate) metadata_json: String,
    pub(crate) routing_key: Option<String>,
    pub(crate) mode: String,
    /// When the session ends by itself, in Unix milliseconds.
    pub(crate) ends_at_ms: i64,
    /// Who the visitor is, where the tenant's backend has vouched for it.
    pub(crate) identity: Option<Identity>,
}

/// A visitor whom the tenant's backend knows.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The tenant's own id of the visitor.
    pub(crate) visitor_user_id: String,
    /// What the page calls the visitor.
    pub(crate) name: Option<String>,
    /// The visitor's e-mail address, as the page tells it.
    pub(crate) email: Option<String>,
    /// The visitor's session from before it was known who the visitor is.
    pub(crate) continues: Option<SessionId>,
}

/// Who a visitor is, by a minted token, and what the page says beside it.
pub(crate) struct Vouched {
    pub(crate) visitor_user_id: String,
    pub(crate) generation: u64,
    pub(crate) tenant_generation: u64,
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
}

/// Visitors of one tenant that were revoked, each with the generation that its valid tokens have.
pub(crate) type Revoked = HashMap<String, u64>;

/// Sessions of one tenant that were ended before their time.
pub(crate) type Ended = HashSet<SessionId>;

/// A widget's session's token.
pub(crate) struct SessionToken {
    pub(crate) session: SessionId,
    pub(crate) generation: u64,
    /// Whether the token's own time is over.
    pub(crate) has_ended: bool,
}

/// The token by which a visitor ends a session.
pub(crate) enum EndingToken {
    Session(SessionToken),
    /// A minted one: with it, every token that was minted for its visitor ends.
    Minted {
        visitor_user_id: String,
        generation: u64,
        tenant_generation: u64,
    },
}

/// A change that was committed, and what it answers once it is true everywhere.
pub(crate) struct Committed<T> {
    pub(crate) answer: T,
    /// Whether every gateway has applied the change, or has no lease.
    pub(crate) is_everywhere: bool,
}

impl<T> Committed<T> {
    /// What the change made, where it is true everywhere.
    ///
    /// # Errors
    /// [`ErrorCode::ChangePropagating`] with `message`, where it is not yet.
    pub(crate) fn everywhere(self, message: &'static str) -> Result<T, ApiError> {
        if self.is_everywhere {
            Ok(self.answer)
        } else {
            Err(ApiError::new(ErrorCode::ChangePropagating, message).retry_after_seconds(1))
        }
    }
}

impl AdminClient {
    /// Begins a session.
    pub(crate) async fn open_session(
        &self,
        tenant_id: TenantId,
        session: NewSession,
        request_id: &RequestId,
    ) -> Result<OpenedSession, ApiError> {
        let NewSession { widget_public_key, origin, locale, metadata, routing_key, mode } = session;
        let message = rpc::OpenSessionRequest {
            tenant_id: bytes(tenant_id),
            widget_public_key,
            origin: origin.to_string(),
            locale,
            metadata_json: Value::Object(metadata).to_string(),
            routing_key,
            mode,
        };
        let answer = self.call(request_id, message).await?;
        let token = Issued { token: answer.token, expires_at: time(answer.expires_at)? };
        Ok(OpenedSession { session_id: answer.session_id, token })
    }

    /// Another token for a session, by one of this key, origin and generation.
    pub(crate) async fn refresh_token(
        &self,
        tenant_id: TenantId,
        session: SessionId,
        bound_to: (String, &Origin),
        generation: u64,
        request_id: &RequestId,
    ) -> Result<Issued, ApiError> {
        let (widget_public_key, origin) = bound_to;
        let message = rpc::RefreshTokenRequest {
            tenant_id: bytes(tenant_id),
            session_id: session.to_string(),
            widget_public_key,
            origin: origin.to_string(),
            generation: Some(generation),
        };
        let answer = self.call(request_id, message).await?;
        Ok(Issued { token: answer.token, expires_at: time(answer.expires_at)? })
    }

    /// What a widget's session was begun with, by a token of this generation.
    pub(crate) async fn session(
        &self,
        tenant_id: TenantId,
        session: SessionId,
        generation: u64,
        request_id: &RequestId,
    ) -> Result<Session, ApiError> {
        let message = rpc::GetSessionRequest {
            tenant_id: bytes(tenant_id),
            session_id: session.to_string(),
            generation: Some(generation),
        };
        session_of(self.call(request_id, message).await?)
    }

    /// The session that stands for a visitor whom the tenant's backend knows, by a minted token of this generation.
    pub(crate) async fn admit_visitor(
        &self,
        tenant_id: TenantId,
        visitor_user_id: &str,
        generation: u64,
        request_id: &RequestId,
    ) -> Result<Session, ApiError> {
        let visitor_user_id = visitor_user_id.to_owned();
        let identity = Identity { visitor_user_id: visitor_user_id.clone(), name: None, email: None, continues: None };
        let message = rpc::AdmitVisitorRequest { tenant_id: bytes(tenant_id), visitor_user_id, generation };
        let session = session_of(self.call(request_id, message).await?)?;
        Ok(Session { identity: Some(identity), ..session })
    }

    /// The tenant's visitors that were revoked after its count of revocations was `after`.
    pub(crate) async fn revoked_visitors(
        &self,
        tenant_id: TenantId,
        after: u64,
        request_id: &RequestId,
    ) -> Result<Revoked, ApiError> {
        let message = rpc::ListRevokedVisitorsRequest { tenant_id: bytes(tenant_id), after };
        let revoked = self.call(request_id, message).await?.revoked;
        Ok(revoked.into_iter().map(|visitor| (visitor.visitor_user_id, visitor.generation)).collect())
    }

    /// The tenant's sessions that were ended by changes after the revision `after`.
    pub(crate) async fn ended_sessions(
        &self,
        tenant_id: TenantId,
        after: u64,
        request_id: &RequestId,
    ) -> Result<Ended, ApiError> {
        let message = rpc::ListEndedSessionsRequest { tenant_id: bytes(tenant_id), after };
        let ended = self.call(request_id, message).await?.session_ids;
        let ended = ended.iter().map(|id| id.parse()).collect::<Result<_, _>>();
        ended.map_err(|_| ApiError::internal("the admin service sent a malformed session id"))
    }

    /// Ends a session, and answers its id. Waits at most `within` until the change is true everywhere.
    pub(crate) async fn end_session(
        &self,
        tenant_id: TenantId,
        token: EndingToken,
        within: Duration,
        request_id: &RequestId,
    ) -> Result<Committed<String>, ApiError> {
        let token = match token {
            EndingToken::Session(token) => rpc::end_session_request::Token::Session(token_of(token)),
            EndingToken::Minted { visitor_user_id, generation, tenant_generation } => {
                rpc::end_session_request::Token::Minted(rpc::MintedToken {
                    visitor_user_id,
                    generation,
                    tenant_generation,
                })
            }
        };
        let wait_ms = propagation_wait_ms(within);
        let message = rpc::EndSessionRequest { tenant_id: bytes(tenant_id), token: Some(token), wait_ms };
        let answer = self.change(request_id, message, within).await?;
        Ok(Committed { answer: answer.session_id, is_everywhere: answer.is_everywhere })
    }

    /// Ends a session, and begins the one that follows it for a visitor whom the tenant's backend vouches for. Waits at most `within`
    /// until the end is true everywhere.
    pub(crate) async fn identify_visitor(
        &self,
        tenant_id: TenantId,
        token: SessionToken,
        vouched: Vouched,
        within: Duration,
        request_id: &RequestId,
    ) -> Result<Committed<OpenedSession>, ApiError> {
        let Vouched { visitor_user_id, generation, tenant_generation, name, email } = vouched;
        let message = rpc::IdentifyVisitorRequest {
            tenant_id: bytes(tenant_id),
            session: Some(token_of(token)),
            identity: Some(rpc::MintedToken { visitor_user_id, generation, tenant_generation }),
            name,
            email,
            wait_ms: propagation_wait_ms(within),
        };
        let answer = self.change(request_id, message, within).await?;
        let token = Issued { token: answer.token, expires_at: time(answer.expires_at)? };
        let answered = OpenedSession { session_id: answer.session_id, token };
        Ok(Committed { answer: answered, is_everywhere: answer.is_everywhere })
    }

    /// Ends a visitor's minted tokens, and answers when. Waits at most `within` until the change is true everywhere.
    pub(crate) async fn revoke_visitor(
        &self,
        tenant_id: TenantId,
        visitor_user_id: String,
        within: Duration,
        request_id: &RequestId,
    ) -> Result<Committed<WireTime>, ApiError> {
        let wait_ms = propagation_wait_ms(within);
        let message = rpc::RevokeVisitorRequest { tenant_id: bytes(tenant_id), visitor_user_id, wait_ms };
        let answer = self.change(request_id, message, within).await?;
        Ok(Committed { answer: time(answer.revoked_at)?, is_everywhere: answer.is_everywhere })
    }
}

fn bytes(tenant_id: TenantId) -> Vec<u8> {
    tenant_id.as_uuid().as_bytes().to_vec()
}

fn token_of(token: SessionToken) -> rpc::SessionToken {
    let SessionToken { session, generation, has_ended } = token;
    rpc::SessionToken { session_id: session.to_string(), generation, has_ended }
}

fn session_of(session: rpc::Session) -> Result<Session, ApiError> {
    let rpc::Session { session_id, bot_id, locale, metadata_json, routing_key, mode, expires_at, identity, .. } =
        session;
    let parsed = |id: String| id.parse().map_err(|_| ApiError::internal("a session without an id"));
    let ends_at_ms = expires_at.map_or(0, |at| at.seconds.saturating_mul(1000));
    let identity = match identity {
        Some(rpc::Identity { visitor_user_id, name, email, continues }) => {
            Some(Identity { visitor_user_id, name, email, continues: continues.map(parsed).transpose()? })
        }
        None => None,
    };
    let session_id = parsed(session_id)?;
    Ok(Session { session_id, bot_id, locale, metadata_json, routing_key, mode, ends_at_ms, identity })
}
