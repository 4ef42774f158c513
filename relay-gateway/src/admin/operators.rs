//! A tenant's operators: made, revoked and listed, their tokens, and what their tokens rest on.

use std::time::Duration;

use jiff::Timestamp;
use proto::{directory::v1 as directory, identity::v1 as rpc};
use service::ApiError;
use uuid::Uuid;
use wire::{TenantId, request_id::RequestId, time::WireTime};

use super::{
    identity::Issued,
    transport::{AdminClient, propagation_wait_ms},
    visitors::Committed,
    wire_time::time,
};
use crate::domain::operator::Membership;

/// What an operator is made or refreshed with.
pub(crate) struct NewOperator {
    pub(crate) email: String,
    pub(crate) display_name: String,
    /// `None` leaves an operator's keys as they are.
    pub(crate) routing_keys: Option<Vec<String>>,
    pub(crate) avatar_url: Option<String>,
}

/// How a caller names an operator.
pub(crate) enum OperatorName {
    Email(String),
    Id(String),
}

/// An operator of a tenant.
pub(crate) struct Operator {
    pub(crate) operator_id: String,
    pub(crate) tenant_id: String,
    pub(crate) email: String,
    pub(crate) display_name: String,
    pub(crate) routing_keys: Vec<String>,
    pub(crate) avatar_url: Option<String>,
    pub(crate) created_at: WireTime,
    pub(crate) updated_at: WireTime,
    /// `None`: the operator is active.
    pub(crate) revoked_at: Option<WireTime>,
}

/// A page of a tenant's operators.
pub(crate) struct OperatorPage {
    pub(crate) operators: Vec<Operator>,
    /// `None` on the last page.
    pub(crate) next_cursor: Option<String>,
    /// How many are active.
    pub(crate) active: u64,
    /// How many may be; 0: as many as the tenant likes.
    pub(crate) seats: u64,
}

/// The claims of the token that is to be refreshed.
pub(crate) struct OldToken {
    pub(crate) operator_id: Uuid,
    pub(crate) membership_version: u64,
    pub(crate) token_generation: u64,
    /// When the first token of the chain was issued. Unix seconds.
    pub(crate) first_issued_at: i64,
}

impl AdminClient {
    /// Makes an operator, or refreshes the one with this email; answers whether this call made it. Waits at most `within` until no
    /// gateway takes a token of an earlier membership.
    pub(crate) async fn provision_operator(
        &self,
        tenant_id: TenantId,
        operator: NewOperator,
        within: Duration,
        request_id: &RequestId,
    ) -> Result<Committed<(Operator, bool)>, ApiError> {
        let NewOperator { email, display_name, routing_keys, avatar_url } = operator;
        let routing_keys = routing_keys.map(|items| rpc::RoutingKeys { items });
        let wait_ms = propagation_wait_ms(within);
        let message = rpc::ProvisionOperatorRequest {
            tenant_id: bytes(tenant_id),
            email,
            display_name,
            routing_keys,
            avatar_url,
            wait_ms,
        };
        let answer = self.change(request_id, message, within).await?;
        let operator = read(answer.operator)?;
        // An older admin service does not say whether it is true everywhere, and knows of no membership that could be over.
        Ok(Committed { answer: (operator, answer.created), is_everywhere: answer.is_everywhere.unwrap_or(true) })
    }

    /// Ends an operator's membership, its tokens and its sockets. Waits at most `within` until that is true everywhere.
    pub(crate) async fn revoke_operator(
        &self,
        tenant_id: TenantId,
        name: OperatorName,
        within: Duration,
        request_id: &RequestId,
    ) -> Result<Committed<Operator>, ApiError> {
        use rpc::revoke_operator_request::Operator as Named;
        let operator = Some(match name {
            OperatorName::Email(email) => Named::Email(email),
            OperatorName::Id(id) => Named::OperatorId(id),
        });
        let wait_ms = propagation_wait_ms(within);
        let message = rpc::RevokeOperatorRequest { tenant_id: bytes(tenant_id), operator, wait_ms };
        let answer = self.change(request_id, message, within).await?;
        Ok(Committed { answer: read(answer.operator)?, is_everywhere: answer.is_everywhere })
    }

    /// A page of a tenant's operators, newest first, revoked ones included.
    pub(crate) async fn operators(
        &self,
        tenant_id: TenantId,
        cursor: String,
        limit: u32,
        request_id: &RequestId,
    ) -> Result<OperatorPage, ApiError> {
        let message = rpc::ListOperatorsRequest { tenant_id: bytes(tenant_id), limit, cursor };
        let rpc::ListOperatorsResponse { operators, next_cursor, active, seats } =
            self.call(request_id, message).await?;
        let operators = operators.into_iter().map(|operator| read(Some(operator))).collect::<Result<_, _>>()?;
        Ok(OperatorPage {
            operators,
            next_cursor: Some(next_cursor).filter(|cursor| !cursor.is_empty()),
            active,
            seats,
        })
    }

    /// A token by which the operator with this email acts in this tenant. It is of the tenant's `token_generation`.
    pub(crate) async fn issue_operator_token(
        &self,
        tenant_id: TenantId,
        email: String,
        token_generation: u64,
        request_id: &RequestId,
    ) -> Result<(Operator, Issued), ApiError> {
        let token_generation = Some(token_generation);
        let message = rpc::IssueOperatorTokenRequest { tenant_id: bytes(tenant_id), email, token_generation };
        issued(self.call(request_id, message).await?)
    }

    /// Another token for the operator of an older one.
    pub(crate) async fn refresh_operator_token(
        &self,
        tenant_id: TenantId,
        old: OldToken,
        request_id: &RequestId,
    ) -> Result<(Operator, Issued), ApiError> {
        let first = Timestamp::from_second(old.first_issued_at).map_err(ApiError::internal)?;
        let message = rpc::RefreshOperatorTokenRequest {
            tenant_id: bytes(tenant_id),
            operator_id: old.operator_id.to_string(),
            membership_version: old.membership_version,
            token_generation: old.token_generation,
            first_issued_at: Some(prost_types::Timestamp { seconds: first.as_second(), nanos: 0 }),
        };
        issued(self.call(request_id, message).await?)
    }

    /// What an operator's tokens rest on, as it is at some moment after the call began; `None` where the tenant has no such operator.
    pub(crate) async fn membership(
        &self,
        tenant_id: TenantId,
        operator_id: Uuid,
        request_id: &RequestId,
    ) -> Result<Option<Membership>, ApiError> {
        let operator_id = operator_id.as_bytes().to_vec();
        let message = directory::GetOperatorRequest { tenant_id: bytes(tenant_id), operator_id };
        let found = self.call(request_id, message).await?.membership;
        Ok(found.map(|membership| {
            let directory::OperatorMembership { version, is_revoked, email, display_name, avatar_url, routing_keys } =
                membership;
            Membership { version, is_revoked, email, display_name, avatar_url, routing_keys }
        }))
    }
}

fn bytes(tenant_id: TenantId) -> Vec<u8> {
    tenant_id.as_uuid().as_bytes().to_vec()
}

fn issued(answer: rpc::IssueOperatorTokenResponse) -> Result<(Operator, Issued), ApiError> {
    let issued = Issued { token: answer.token, expires_at: time(answer.expires_at)? };
    Ok((read(answer.operator)?, issued))
}

/// The operator of an answer. A blank one in its place would tell the tenant of an operator that does not exist.
fn read(operator: Option<rpc::Operator>) -> Result<Operator, ApiError> {
    let operator = operator.ok_or_else(|| ApiError::internal("the admin service sent no operator"))?;
    Ok(Operator {
        operator_id: operator.operator_id,
        tenant_id: operator.tenant_id,
        email: operator.email,
        display_name: operator.display_name,
        routing_keys: operator.routing_keys,
        avatar_url: operator.avatar_url,
        created_at: time(operator.created_at)?,
        updated_at: time(operator.updated_at)?,
        revoked_at: operator.revoked_at.map(|at| time(Some(at))).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use wire::ErrorCode;

    use super::*;

    #[test]
    fn an_answer_without_its_operator_is_a_fault_of_ours() {
        assert_eq!(read(None).err().map(|error| error.code()), Some(ErrorCode::Internal));
        let at = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
        let operator = rpc::Operator { created_at: at, updated_at: at, ..rpc::Operator::default() };
        assert!(read(Some(operator)).is_ok());
    }
}
