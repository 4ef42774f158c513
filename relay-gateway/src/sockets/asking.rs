//! What the admin service is asked about a socket: its session, and what ended since it was last asked.

use service::ApiError;
use wire::{ErrorCode, SessionId, TenantId, request_id::RequestId};

use super::{
    AuthenticatedVisitor, Closing, Sockets,
    closing::{denied, unchecked},
};
use crate::{
    admin::{Ended, Revoked, Session},
    directory::TenantDirectory,
    domain::widget_access::AccessDenied,
};

impl<D: TenantDirectory> Sockets<D> {
    /// What a widget's session was begun with.
    pub(super) async fn session(
        &self,
        visitor: &AuthenticatedVisitor,
        session: SessionId,
        generation: u64,
    ) -> Result<Session, Closing> {
        let answer = self.admin.session(visitor.token.tenant_id, session, generation, &visitor.request_id).await;
        answer.map_err(|error| over(&error))
    }

    /// The session that stands for a known visitor.
    pub(super) async fn visitor(
        &self,
        visitor: &AuthenticatedVisitor,
        visitor_user_id: &str,
        generation: u64,
    ) -> Result<Session, Closing> {
        let tenant_id = visitor.token.tenant_id;
        let answer = self.admin.admit_visitor(tenant_id, visitor_user_id, generation, &visitor.request_id).await;
        answer.map_err(|error| over(&error))
    }

    /// The tenant's visitors that were revoked after its count of revocations was this.
    pub(super) async fn revoked(
        &self,
        tenant_id: TenantId,
        after: u64,
        request_id: &RequestId,
    ) -> Result<Revoked, Closing> {
        self.admin.revoked_visitors(tenant_id, after, request_id).await.map_err(|error| unchecked(&error))
    }

    /// The tenant's sessions that were ended by changes after this revision.
    pub(super) async fn ended(
        &self,
        tenant_id: TenantId,
        after: u64,
        request_id: &RequestId,
    ) -> Result<Ended, Closing> {
        self.admin.ended_sessions(tenant_id, after, request_id).await.map_err(|error| unchecked(&error))
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
