//! Minted tokens, and the keys that the admin service signs tokens with.

use proto::identity::v1 as rpc;
use service::ApiError;
use wire::{TenantId, request_id::RequestId, time::WireTime};

use super::{transport::AdminClient, wire_time::time};

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
