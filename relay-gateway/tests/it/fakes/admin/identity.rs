//! Operators, tokens and signing keys.

use std::sync::atomic::Ordering;

use proto::identity::v1::{
    GetSigningKeysRequest, GetSigningKeysResponse, IssueOperatorTokenRequest, IssueOperatorTokenResponse,
    ListOperatorsRequest, ListOperatorsResponse, MintVisitorTokenRequest, MintVisitorTokenResponse, Operator,
    ProvisionOperatorRequest, ProvisionOperatorResponse, RefreshOperatorTokenRequest, RevokeOperatorRequest,
    RevokeOperatorResponse, identity_server::Identity, revoke_operator_request,
};
use service::ApiError;
use tonic::{Request as Rpc, Response as Answer, Status};
use wire::{ErrorCode, TenantId};

use super::{FakeAdmin, later};
use crate::fakes::tokens::jwks;

fn operator(tenant_id: &[u8], email: &str) -> Operator {
    Operator {
        operator_id: "op-1".into(),
        tenant_id: TenantId::from_slice(tenant_id).expect("16 bytes").to_string(),
        email: email.to_owned(),
        display_name: "Ada".into(),
        created_at: later(),
        updated_at: later(),
        ..Operator::default()
    }
}

impl FakeAdmin {
    /// Waits as long as a change that is not true everywhere, where a test wants that; answers whether it is.
    async fn spread(&self, wait_ms: u32) -> bool {
        assert!(wait_ms > 0, "the gateway waits no longer than its caller");
        let is_everywhere = !self.is_slow.load(Ordering::SeqCst);
        if !is_everywhere {
            tokio::time::sleep(std::time::Duration::from_millis(wait_ms.into())).await;
        }
        is_everywhere
    }
}

#[tonic::async_trait]
impl Identity for FakeAdmin {
    async fn provision_operator(
        &self,
        request: Rpc<ProvisionOperatorRequest>,
    ) -> Result<Answer<ProvisionOperatorResponse>, Status> {
        self.called("ProvisionOperator", &request)?;
        let request = request.into_inner();
        let created = request.routing_keys.is_some();
        let operator = Operator {
            display_name: request.display_name,
            routing_keys: request.routing_keys.map(|keys| keys.items).unwrap_or_default(),
            avatar_url: request.avatar_url,
            ..operator(&request.tenant_id, &request.email)
        };
        let is_everywhere = Some(self.spread(request.wait_ms).await);
        Ok(Answer::new(ProvisionOperatorResponse { operator: Some(operator), created, is_everywhere }))
    }

    async fn issue_operator_token(
        &self,
        request: Rpc<IssueOperatorTokenRequest>,
    ) -> Result<Answer<IssueOperatorTokenResponse>, Status> {
        self.called("IssueOperatorToken", &request)?;
        let request = request.into_inner();
        let operator = Some(operator(&request.tenant_id, &request.email));
        Ok(Answer::new(IssueOperatorTokenResponse { operator, token: "jwt".into(), expires_at: later() }))
    }

    async fn refresh_operator_token(
        &self,
        request: Rpc<RefreshOperatorTokenRequest>,
    ) -> Result<Answer<IssueOperatorTokenResponse>, Status> {
        self.called("RefreshOperatorToken", &request)?;
        let request = request.into_inner();
        let first = request.first_issued_at.expect("a time").seconds;
        // What was asked for, to be read by the test.
        let token =
            format!("{} {} {} {first}", request.operator_id, request.membership_version, request.token_generation);
        let operator = Some(operator(&request.tenant_id, "ada@acme.com"));
        Ok(Answer::new(IssueOperatorTokenResponse { operator, token, expires_at: later() }))
    }

    async fn revoke_operator(
        &self,
        request: Rpc<RevokeOperatorRequest>,
    ) -> Result<Answer<RevokeOperatorResponse>, Status> {
        use revoke_operator_request::Operator as Named;
        self.called("RevokeOperator", &request)?;
        let request = request.into_inner();
        let email = match request.operator.expect("an operator") {
            Named::Email(email) => email,
            Named::OperatorId(id) => format!("{id}@acme.com"),
        };
        if email.starts_with("nobody") {
            return Err(ApiError::new(ErrorCode::OperatorNotFound, "nobody").into());
        }
        let operator = Operator { revoked_at: later(), ..operator(&request.tenant_id, &email) };
        let is_everywhere = self.spread(request.wait_ms).await;
        Ok(Answer::new(RevokeOperatorResponse { operator: Some(operator), is_everywhere }))
    }

    async fn list_operators(
        &self,
        request: Rpc<ListOperatorsRequest>,
    ) -> Result<Answer<ListOperatorsResponse>, Status> {
        self.called("ListOperators", &request)?;
        let ListOperatorsRequest { tenant_id, limit, cursor } = request.into_inner();
        let operators = vec![operator(&tenant_id, &format!("{limit}.{cursor}@acme.com"))];
        let next_cursor = if cursor.is_empty() { "next".to_owned() } else { String::new() };
        Ok(Answer::new(ListOperatorsResponse { operators, next_cursor, active: 1, seats: 3 }))
    }

    async fn mint_visitor_token(
        &self,
        request: Rpc<MintVisitorTokenRequest>,
    ) -> Result<Answer<MintVisitorTokenResponse>, Status> {
        self.called("MintVisitorToken", &request)?;
        let _passing = self.gate.read().await;
        Ok(Answer::new(MintVisitorTokenResponse {
            token: request.into_inner().ttl_seconds.to_string(),
            expires_at: later(),
        }))
    }

    async fn get_signing_keys(
        &self,
        request: Rpc<GetSigningKeysRequest>,
    ) -> Result<Answer<GetSigningKeysResponse>, Status> {
        self.called("GetSigningKeys", &request)?;
        let keys = self.key_set.lock().expect("not poisoned").map_or_else(jwks, str::to_owned);
        let _held_back = self.keys_gate.read().await;
        Ok(Answer::new(GetSigningKeysResponse { jwks_json: keys }))
    }
}
