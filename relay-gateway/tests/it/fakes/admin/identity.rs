//! Operators, tokens and signing keys.

use proto::identity::v1::{
    GetSigningKeysRequest, GetSigningKeysResponse, IssueOperatorTokenRequest, IssueOperatorTokenResponse,
    MintVisitorTokenRequest, MintVisitorTokenResponse, Operator, ProvisionOperatorRequest, ProvisionOperatorResponse,
    identity_server::Identity,
};
use tonic::{Request as Rpc, Response as Answer, Status};
use wire::TenantId;

use super::{FakeAdmin, later};
use crate::fakes::tokens::jwks;

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
            operator_id: "op-1".into(),
            tenant_id: TenantId::from_slice(&request.tenant_id).expect("16 bytes").to_string(),
            email: request.email,
            display_name: request.display_name,
            routing_keys: request.routing_keys.map(|keys| keys.items).unwrap_or_default(),
            avatar_url: request.avatar_url,
            created_at: later(),
            updated_at: later(),
        };
        Ok(Answer::new(ProvisionOperatorResponse { operator: Some(operator), created }))
    }

    async fn issue_operator_token(
        &self,
        request: Rpc<IssueOperatorTokenRequest>,
    ) -> Result<Answer<IssueOperatorTokenResponse>, Status> {
        self.called("IssueOperatorToken", &request)?;
        let operator = Operator { operator_id: "op-1".into(), ..Operator::default() };
        Ok(Answer::new(IssueOperatorTokenResponse {
            operator: Some(operator),
            token: "jwt".into(),
            expires_at: later(),
        }))
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
