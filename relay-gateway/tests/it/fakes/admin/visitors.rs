//! Visitors' sessions.

use std::sync::atomic::Ordering;

use proto::visitors::v1::{
    AdmitVisitorRequest, EndSessionRequest, EndSessionResponse, GetSessionRequest, IdentifyVisitorRequest,
    IdentifyVisitorResponse, ListEndedSessionsRequest, ListEndedSessionsResponse, ListRevokedVisitorsRequest,
    ListRevokedVisitorsResponse, OpenSessionRequest, OpenSessionResponse, RefreshTokenRequest, RefreshTokenResponse,
    RevokeVisitorRequest, RevokeVisitorResponse, Session, visitors_server::Visitors,
};
use serde_json::json;
use service::ApiError;
use tonic::{Request as Rpc, Response as Answer, Status};
use wire::ErrorCode;

use super::{FakeAdmin, later};

#[tonic::async_trait]
impl Visitors for FakeAdmin {
    async fn open_session(&self, request: Rpc<OpenSessionRequest>) -> Result<Answer<OpenSessionResponse>, Status> {
        self.called("OpenSession", &request)?;
        let request = request.into_inner();
        // What was asked for, to be read by the test.
        let token = format!(
            "{}|{}|{}|{}|{}",
            request.origin,
            request.locale,
            request.mode,
            request.routing_key.unwrap_or_default(),
            request.metadata_json
        );
        Ok(Answer::new(OpenSessionResponse { session_id: "vs_1".into(), token, expires_at: later() }))
    }

    async fn refresh_token(&self, request: Rpc<RefreshTokenRequest>) -> Result<Answer<RefreshTokenResponse>, Status> {
        self.called("RefreshToken", &request)?;
        let token = request.into_inner().session_id;
        Ok(Answer::new(RefreshTokenResponse { token, expires_at: later() }))
    }

    async fn admit_visitor(&self, request: Rpc<AdmitVisitorRequest>) -> Result<Answer<Session>, Status> {
        self.called("AdmitVisitor", &request)?;
        let AdmitVisitorRequest { visitor_user_id, generation, .. } = request.into_inner();
        let revoked = self.revoked.lock().expect("not poisoned");
        if revoked.iter().any(|visitor| visitor.visitor_user_id == visitor_user_id && generation < visitor.generation) {
            return Err(ApiError::new(ErrorCode::InvalidVisitorToken, "revoked").into());
        }
        Ok(Answer::new(Session {
            session_id: format!("vs_{}", "7".repeat(32)),
            bot_id: "b1".into(),
            locale: "fr".into(),
            metadata_json: "{}".into(),
            mode: "bot".into(),
            ..Session::default()
        }))
    }

    async fn list_revoked_visitors(
        &self,
        request: Rpc<ListRevokedVisitorsRequest>,
    ) -> Result<Answer<ListRevokedVisitorsResponse>, Status> {
        self.called("ListRevokedVisitors", &request)?;
        let after = request.into_inner().after;
        let revoked = self.revoked.lock().expect("not poisoned");
        let revoked = revoked.iter().filter(|visitor| visitor.generation > after).cloned().collect();
        Ok(Answer::new(ListRevokedVisitorsResponse { revoked }))
    }

    async fn revoke_visitor(
        &self,
        request: Rpc<RevokeVisitorRequest>,
    ) -> Result<Answer<RevokeVisitorResponse>, Status> {
        self.called("RevokeVisitor", &request)?;
        let is_everywhere = !self.is_slow.load(Ordering::SeqCst);
        if !is_everywhere {
            tokio::time::sleep(std::time::Duration::from_millis(request.into_inner().wait_ms.into())).await;
        }
        Ok(Answer::new(RevokeVisitorResponse { revoked_at: later(), is_everywhere }))
    }

    async fn end_session(&self, request: Rpc<EndSessionRequest>) -> Result<Answer<EndSessionResponse>, Status> {
        self.called("EndSession", &request)?;
        let request = request.into_inner();
        self.endings.lock().expect("not poisoned").push(request.clone());
        let is_everywhere = !self.is_slow.load(Ordering::SeqCst);
        if !is_everywhere {
            tokio::time::sleep(std::time::Duration::from_millis(request.wait_ms.into())).await;
        }
        Ok(Answer::new(EndSessionResponse { session_id: "vs_1".into(), is_everywhere }))
    }

    async fn identify_visitor(
        &self,
        request: Rpc<IdentifyVisitorRequest>,
    ) -> Result<Answer<IdentifyVisitorResponse>, Status> {
        self.called("IdentifyVisitor", &request)?;
        let request = request.into_inner();
        self.identified.lock().expect("not poisoned").push(request.clone());
        let is_everywhere = !self.is_slow.load(Ordering::SeqCst);
        if !is_everywhere {
            tokio::time::sleep(std::time::Duration::from_millis(request.wait_ms.into())).await;
        }
        let (session_id, token) = ("vs_2".into(), "the next token".into());
        Ok(Answer::new(IdentifyVisitorResponse { session_id, token, expires_at: later(), is_everywhere }))
    }

    async fn list_ended_sessions(
        &self,
        request: Rpc<ListEndedSessionsRequest>,
    ) -> Result<Answer<ListEndedSessionsResponse>, Status> {
        self.called("ListEndedSessions", &request)?;
        let session_ids = self.ended.lock().expect("not poisoned").clone();
        Ok(Answer::new(ListEndedSessionsResponse { session_ids }))
    }

    async fn get_session(&self, request: Rpc<GetSessionRequest>) -> Result<Answer<Session>, Status> {
        self.called("GetSession", &request)?;
        Ok(Answer::new(Session {
            session_id: request.into_inner().session_id,
            bot_id: "b1".into(),
            locale: "fr".into(),
            metadata_json: json!({"page_url": "https://shop.demo.com/cart"}).to_string(),
            routing_key: None,
            mode: "bot".into(),
            created_at: later(),
            expires_at: self.session_ends.lock().expect("not poisoned").or_else(later),
            identity: self.identity.lock().expect("not poisoned").clone(),
        }))
    }
}
