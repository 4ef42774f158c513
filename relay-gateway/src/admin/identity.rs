//! `chatrelay.identity.v1.Identity`: operators, the tokens that the admin service signs, and the keys it signs them with.

use proto::identity::v1 as rpc;
use service::ApiError;
use wire::{TenantId, request_id::RequestId, time::WireTime};

use super::{transport::AdminClient, wire_time::time};

/// What an operator is made or refreshed with.
pub(crate) struct NewOperator {
    pub(crate) email: String,
    pub(crate) display_name: String,
    /// `None` leaves an operator's keys as they are.
    pub(crate) routing_keys: Option<Vec<String>>,
    pub(crate) avatar_url: Option<String>,
}

/// An operator of a tenant.
pub(crate) struct Operator {
    pub(crate) operator_id: String,
    pub(crate) tenant_id: String,
    pub(crate) email: String,
    pub(crate) display_name: String,
    pub(crate) routing_keys: Vec<String>,
    pub(crate) avatar_url: Option<String>,
}

/// What making or refreshing an operator has come to.
pub(crate) struct ProvisionedOperator {
    pub(crate) operator: Operator,
    /// Whether this call made the operator.
    pub(crate) created: bool,
    pub(crate) created_at: WireTime,
    pub(crate) updated_at: WireTime,
}

/// Which visitor a token is minted for.
pub(crate) struct NewVisitorToken {
    pub(crate) visitor_user_id: String,
    pub(crate) visitor_email_hash: Option<String>,
    pub(crate) ttl_seconds: u32,
}

/// A token that the admin service has signed.
pub(crate) struct Issued {
    pub(crate) token: String,
    pub(crate) expires_at: WireTime,
}

impl AdminClient {
    /// Makes an operator, or refreshes the one with this email.
    pub(crate) async fn provision_operator(
        &self,
        tenant_id: TenantId,
        operator: NewOperator,
        request_id: &RequestId,
    ) -> Result<ProvisionedOperator, ApiError> {
        let NewOperator { email, display_name, routing_keys, avatar_url } = operator;
        let routing_keys = routing_keys.map(|items| rpc::RoutingKeys { items });
        let tenant_id = tenant_id.as_uuid().as_bytes().to_vec();
        let message = rpc::ProvisionOperatorRequest { tenant_id, email, display_name, routing_keys, avatar_url };
        let answer = self.call(request_id, message).await?;
        let operator = sent(answer.operator)?;
        let (created_at, updated_at) = (time(operator.created_at)?, time(operator.updated_at)?);
        Ok(ProvisionedOperator { operator: operator.into(), created: answer.created, created_at, updated_at })
    }

    /// A token by which the operator with this email acts in this tenant. It is of the tenant's `token_generation`.
    pub(crate) async fn issue_operator_token(
        &self,
        tenant_id: TenantId,
        email: String,
        token_generation: u64,
        request_id: &RequestId,
    ) -> Result<(Operator, Issued), ApiError> {
        let message = rpc::IssueOperatorTokenRequest {
            tenant_id: tenant_id.as_uuid().as_bytes().to_vec(),
            email,
            token_generation: Some(token_generation),
        };
        let answer = self.call(request_id, message).await?;
        let issued = Issued { token: answer.token, expires_at: time(answer.expires_at)? };
        Ok((sent(answer.operator)?.into(), issued))
    }

    /// A token by which a visitor whom the tenant's backend knows opens a socket. It is of the tenant's `token_generation`.
    pub(crate) async fn mint_visitor_token(
        &self,
        tenant_id: TenantId,
        visitor: NewVisitorToken,
        token_generation: u64,
        request_id: &RequestId,
    ) -> Result<Issued, ApiError> {
        let NewVisitorToken { visitor_user_id, visitor_email_hash, ttl_seconds } = visitor;
        let message = rpc::MintVisitorTokenRequest {
            tenant_id: tenant_id.as_uuid().as_bytes().to_vec(),
            visitor_user_id,
            visitor_email_hash,
            ttl_seconds,
            token_generation: Some(token_generation),
        };
        let answer = self.call(request_id, message).await?;
        Ok(Issued { token: answer.token, expires_at: time(answer.expires_at)? })
    }

    /// The public keys of tokens: a JSON Web Key Set (RFC 7517), as text.
    pub(crate) async fn signing_keys(&self, request_id: &RequestId) -> Result<String, ApiError> {
        Ok(self.call(request_id, rpc::GetSigningKeysRequest {}).await?.jwks_json)
    }
}

/// The operator of an answer. A blank one in its place would tell the tenant of an operator that does not exist.
fn sent(operator: Option<rpc::Operator>) -> Result<rpc::Operator, ApiError> {
    operator.ok_or_else(|| ApiError::internal("the admin service sent no operator"))
}

impl From<rpc::Operator> for Operator {
    fn from(operator: rpc::Operator) -> Self {
        let rpc::Operator { operator_id, tenant_id, email, display_name, routing_keys, avatar_url, .. } = operator;
        Self { operator_id, tenant_id, email, display_name, routing_keys, avatar_url }
    }
}

#[cfg(test)]
mod tests {
    use wire::ErrorCode;

    use super::*;

    #[test]
    fn an_answer_without_its_operator_is_a_fault_of_ours() {
        assert_eq!(sent(None).expect_err("refused").code(), ErrorCode::Internal);
        assert!(sent(Some(rpc::Operator::default())).is_ok());
    }
}
