//! An operator as the participant of a socket: a page with an operator's token, or with a ticket that was made for one. PROTOCOL.md,
//! section 8.5.

use std::{net::IpAddr, sync::Arc, time::Instant};

use wire::{SessionId, frames::operator::OperatorHello, request_id::RequestId};

use super::{
    closing::Closing,
    participant::{About, Admitted, Checked, Participant},
};
use crate::{
    directory::TenantDirectory,
    domain::{operator::Membership, token::OperatorToken},
    limits::Lane,
};

mod frames;
mod judge;

pub(crate) use judge::OperatorJudge;

/// Where the chat backend takes operators' sockets.
const PATH: &str = "ws/operator";

/// An operator whose token was verified.
pub(crate) struct Operator<D> {
    judge: Arc<OperatorJudge<D>>,
    about: About,
    /// What the admission rests on.
    token: Arc<OperatorToken>,
}

impl<D: TenantDirectory> Operator<D> {
    pub(crate) fn new(
        judge: &Arc<OperatorJudge<D>>,
        token: OperatorToken,
        client: IpAddr,
        request_id: RequestId,
    ) -> Self {
        // All sockets of one operator are counted together.
        let counted_as = SessionId::from(token.operator_id);
        let about = About { tenant_id: token.tenant_id, counted_as, client, request_id };
        Self { judge: Arc::clone(judge), about, token: Arc::new(token) }
    }

    async fn judge_and_greet(&self) -> Result<Admitted, Closing> {
        // To connect counts as a frame.
        if !self.judge.limits.admits_frames(self.about.counted_as, 1, 0, Instant::now()) {
            return Err(Closing::TooFast("the operator connects too often: wait"));
        }
        // The token was verified before the socket had its slot. Check its key again: from here on, a change finds the socket.
        self.judge.still_signed(&self.token).await?;
        let membership = self.judge.judge(&self.token, &self.about.request_id).await?;
        let Membership { display_name, avatar_url, routing_keys, .. } = (*membership).clone();
        let operator_id = self.token.operator_id.to_string();
        let actor = format!("operator:{operator_id}");
        let hello = OperatorHello { operator_id, display_name, avatar_url, routing_keys }.to_json();
        Ok(Admitted { path: PATH, actor, hello, ends_at_ms: self.token.ends_at_ms() })
    }
}

impl<D: TenantDirectory> Participant for Operator<D> {
    type Judge = OperatorJudge<D>;

    fn about(&self) -> &About {
        &self.about
    }

    fn grounds(&self) -> &Arc<OperatorToken> {
        &self.token
    }

    async fn admit(&self) -> Result<Admitted, Closing> {
        let admitted = self.judge_and_greet().await;
        if let Err(Closing::Token | Closing::Forbidden(_)) = admitted {
            let _ = self.judge.limits.count_failure(Lane::Operator, self.about.client, Instant::now());
        }
        admitted
    }

    async fn check(&self, text: &str) -> Result<Checked, Closing> {
        match self.may_hear().await {
            Ok(()) => {}
            Err(Closing::TryAgain(_)) => {
                let error = crate::directory::unavailable("an operator's tenant cannot be checked");
                return Ok(Checked::Refuse { error, client_id: None });
            }
            Err(closing) => return Err(closing),
        }
        let takes_files = async || self.judge.takes_files(&self.about).await;
        frames::check(text, takes_files).await
    }

    async fn may_hear(&self) -> Result<(), Closing> {
        self.judge.still_allowed(&self.token, &self.about.request_id).await
    }
}
