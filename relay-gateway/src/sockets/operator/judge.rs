//! Decides whether an operator may have a socket: when it opens, when a change may concern it and, where the directory is not current,
//! with each frame.

use std::sync::Arc;

use coherence::Changes;
use wire::{TenantId, request_id::RequestId};

use crate::{
    directory::{Known, TenantDirectory},
    domain::{
        operator::{Membership, TokenOver, check_membership, check_tenant},
        tenant::TenantState,
        token::OperatorToken,
    },
    limits::Limits,
    signing_keys::{SigningKeys, concern_keys},
    sockets::{
        closing::{Closing, unchecked},
        participant::{About, Judge},
    },
};

/// Judges operators.
pub(crate) struct OperatorJudge<D> {
    directory: D,
    pub(super) limits: Arc<Limits>,
    signing_keys: SigningKeys<D>,
}

/// What is known of the tenant after a change: asked once for all sockets.
pub(crate) struct Answers {
    tenant_id: TenantId,
    request_id: RequestId,
    tenant: Option<Result<Arc<TenantState>, Closing>>,
}

impl<D: TenantDirectory> OperatorJudge<D> {
    pub(crate) fn new(directory: D, signing_keys: SigningKeys<D>, limits: Arc<Limits>) -> Self {
        Self { directory, limits, signing_keys }
    }

    /// The operator's membership, where the token still opens the tenant's inbox.
    pub(super) async fn judge(
        &self,
        token: &OperatorToken,
        request_id: &RequestId,
    ) -> Result<Arc<Membership>, Closing> {
        let tenant = self.tenant(token.tenant_id, request_id).await?;
        self.judge_in(&tenant, token, request_id).await
    }

    async fn tenant(&self, tenant_id: TenantId, request_id: &RequestId) -> Result<Arc<TenantState>, Closing> {
        let known = self.directory.lookup(tenant_id, request_id).await;
        let Known { tenant, .. } = known.map_err(|error| unchecked(&error))?;
        tenant.ok_or(Closing::Token)
    }

    async fn judge_in(
        &self,
        tenant: &TenantState,
        token: &OperatorToken,
        request_id: &RequestId,
    ) -> Result<Arc<Membership>, Closing> {
        let over = |why: TokenOver| match why {
            TokenOver::Suspended => suspended(),
            TokenOver::Superseded => Closing::Token,
        };
        check_tenant(token, tenant).map_err(over)?;
        let membership = self.directory.membership(tenant, token.operator_id, request_id).await;
        let membership = membership.map_err(|error| unchecked(&error))?.ok_or(Closing::Token)?;
        check_membership(token, &membership).map_err(over)?;
        Ok(membership)
    }

    /// Whether a frame may pass. While the directory is current, the gateway hears of each change that closes the socket. Where it is
    /// not, the gateway must ask.
    pub(super) async fn still_allowed(&self, token: &OperatorToken, request_id: &RequestId) -> Result<(), Closing> {
        if self.directory.still_current() {
            return Ok(());
        }
        self.still_signed(token).await?;
        self.judge(token, request_id).await.map(drop)
    }

    /// Whether the key that signed the token is not retired.
    pub(super) async fn still_signed(&self, token: &OperatorToken) -> Result<(), Closing> {
        let keys = self.signing_keys.get().await.map_err(|error| unchecked(&error))?;
        if keys.holds(&token.key_id) { Ok(()) } else { Err(Closing::Token) }
    }

    /// Whether the tenant takes files.
    pub(super) async fn takes_files(&self, about: &About) -> Result<bool, Closing> {
        Ok(self.tenant(about.tenant_id, &about.request_id).await?.file_upload_enabled)
    }
}

impl<D: TenantDirectory> Judge for OperatorJudge<D> {
    type Grounds = OperatorToken;
    type Answers = Answers;

    fn concern_all(changes: &Changes<TenantId>) -> bool {
        concern_keys(changes)
    }

    async fn judge_all(&self, sockets: &[Arc<OperatorToken>]) -> Vec<Result<(), Closing>> {
        let keys = self.signing_keys.get().await;
        let verdict = |token: &Arc<OperatorToken>| match &keys {
            Ok(keys) if keys.holds(&token.key_id) => Ok(()),
            Ok(_) => Err(Closing::Token),
            Err(error) => Err(unchecked(error)),
        };
        sockets.iter().map(verdict).collect()
    }

    fn answers(&self, tenant_id: TenantId, _: &[Arc<OperatorToken>]) -> Answers {
        Answers { tenant_id, request_id: RequestId::generate(), tenant: None }
    }

    async fn judge_again(&self, answers: &mut Answers, token: &OperatorToken) -> Result<Option<Arc<str>>, Closing> {
        if answers.tenant.is_none() {
            answers.tenant = Some(self.tenant(answers.tenant_id, &answers.request_id).await);
        }
        let tenant = answers.tenant.clone().expect("it was looked up")?;
        self.judge_in(&tenant, token, &answers.request_id).await.map(|_| None)
    }
}

/// What a suspended tenant's operators are told. A reason begins with the `error_code` that a call would be refused with.
fn suspended() -> Closing {
    Closing::Forbidden("tenant_suspended: ask the platform's operator")
}
