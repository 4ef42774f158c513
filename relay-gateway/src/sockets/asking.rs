//! What the admin service is asked about a socket: its session, and what ended since it was last asked.

use std::collections::{HashMap, HashSet};

use proto::visitors::v1::{
    AdmitVisitorRequest, GetSessionRequest, ListEndedSessionsRequest, ListRevokedVisitorsRequest, Session,
    visitors_client::VisitorsClient,
};
use service::ApiError;
use wire::{ErrorCode, SessionId, TenantId, request_id::RequestId};

use super::{
    AuthenticatedVisitor, Closing, Sockets,
    closing::{denied, unchecked},
};
use crate::{directory::TenantDirectory, domain::widget_access::AccessDenied};

/// Visitors of one tenant that were revoked, each with the generation that its valid tokens have.
pub(super) type Revoked = HashMap<String, u64>;

/// Sessions of one tenant that were ended before their time.
pub(super) type Ended = HashSet<SessionId>;

impl<D: TenantDirectory> Sockets<D> {
    /// What a widget's session was begun with.
    pub(super) async fn session(
        &self,
        visitor: &AuthenticatedVisitor,
        session: SessionId,
        generation: u64,
    ) -> Result<Session, Closing> {
        let message = GetSessionRequest {
            tenant_id: visitor.token.tenant_id.as_uuid().as_bytes().to_vec(),
            session_id: session.to_string(),
            generation: Some(generation),
        };
        let method = "chatrelay.visitors.v1.Visitors/GetSession";
        let answer = self.admin.call(method, &visitor.request_id, message, |channel, request| async move {
            VisitorsClient::new(channel).get_session(request).await
        });
        answer.await.map_err(|error| over(&error))
    }

    /// The session that stands for a known visitor.
    pub(super) async fn visitor(
        &self,
        visitor: &AuthenticatedVisitor,
        visitor_user_id: &str,
        generation: u64,
    ) -> Result<Session, Closing> {
        let message = AdmitVisitorRequest {
            tenant_id: visitor.token.tenant_id.as_uuid().as_bytes().to_vec(),
            visitor_user_id: visitor_user_id.to_owned(),
            generation,
        };
        let method = "chatrelay.visitors.v1.Visitors/AdmitVisitor";
        let answer = self.admin.call(method, &visitor.request_id, message, |channel, request| async move {
            VisitorsClient::new(channel).admit_visitor(request).await
        });
        answer.await.map_err(|error| over(&error))
    }

    /// The tenant's visitors that were revoked after its count of revocations was this.
    pub(super) async fn revoked(
        &self,
        tenant_id: TenantId,
        after: u64,
        request_id: &RequestId,
    ) -> Result<Revoked, Closing> {
        let message = ListRevokedVisitorsRequest { tenant_id: tenant_id.as_uuid().as_bytes().to_vec(), after };
        let method = "chatrelay.visitors.v1.Visitors/ListRevokedVisitors";
        let answer = self.admin.call(method, request_id, message, |channel, request| async move {
            VisitorsClient::new(channel).list_revoked_visitors(request).await
        });
        let revoked = answer.await.map_err(|error| unchecked(&error))?.revoked;
        Ok(revoked.into_iter().map(|visitor| (visitor.visitor_user_id, visitor.generation)).collect())
    }

    /// The tenant's sessions that were ended by changes after this revision.
    pub(super) async fn ended(
        &self,
        tenant_id: TenantId,
        after: u64,
        request_id: &RequestId,
    ) -> Result<Ended, Closing> {
        let message = ListEndedSessionsRequest { tenant_id: tenant_id.as_uuid().as_bytes().to_vec(), after };
        let method = "chatrelay.visitors.v1.Visitors/ListEndedSessions";
        let answer = self.admin.call(method, request_id, message, |channel, request| async move {
            VisitorsClient::new(channel).list_ended_sessions(request).await
        });
        let ended = answer.await.map_err(|error| unchecked(&error))?.session_ids;
        let ended = ended.iter().map(|id| id.parse()).collect::<Result<_, _>>();
        ended.map_err(|_| unchecked(&ApiError::internal("the admin service sent a malformed session id")))
    }
}

/// What it means that a session was not found.
fn over(error: &ApiError) -> Closing {
    match error.code() {
        ErrorCode::InvalidVisitorToken => Closing::Token,
        ErrorCode::TenantSuspended => denied(AccessDenied::Suspended),
        _ => unchecked(error),
    }
}

/// The revision to ask from. After a database was restored, the history is an earlier one: ask from its beginning.
pub(super) fn since(seen: u64, now: u64) -> u64 {
    if now < seen { 0 } else { seen }
}

pub(super) fn not_ended(ended: &Ended, session: SessionId) -> Result<(), Closing> {
    if ended.contains(&session) { Err(Closing::Token) } else { Ok(()) }
}

pub(super) fn not_among(revoked: &Revoked, visitor_user_id: &str, generation: u64) -> Result<(), Closing> {
    let is_over = revoked.get(visitor_user_id).is_some_and(|valid| generation < *valid);
    if is_over { Err(Closing::Token) } else { Ok(()) }
}
