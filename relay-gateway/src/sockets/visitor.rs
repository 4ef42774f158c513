//! A visitor as the participant of a socket: a browser or an app with a visitor's token. What a visitor may do is decided in the files
//! below; this one composes them.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{Arc, LazyLock},
    time::Instant,
};

use uuid::Uuid;
use wire::{SessionId, request_id::RequestId};

use super::{
    closing::Closing,
    participant::{About, Admitted, Checked, Participant},
};
use crate::{
    directory::TenantDirectory,
    domain::token::{Opens, VisitorToken},
    limits::Lane,
};

mod admission;
mod answers;
mod closings;
mod frames;
mod grounds;
mod judge;
mod own_frames;

use grounds::Grounds;
pub(crate) use judge::VisitorJudge;

/// A visitor whose token was verified.
pub(crate) struct Visitor<D> {
    judge: Arc<VisitorJudge<D>>,
    about: About,
    token: VisitorToken,
    grounds: Arc<Grounds>,
}

impl<D: TenantDirectory> Visitor<D> {
    pub(crate) fn new(
        judge: &Arc<VisitorJudge<D>>,
        token: VisitorToken,
        client: IpAddr,
        request_id: RequestId,
    ) -> Self {
        let about = About { tenant_id: token.tenant_id, counted_as: counted_as(&token), client, request_id };
        let grounds = Arc::new(Grounds::of(&token));
        Self { judge: Arc::clone(judge), about, token, grounds }
    }
}

impl<D: TenantDirectory> Participant for Visitor<D> {
    type Judge = VisitorJudge<D>;

    fn about(&self) -> &About {
        &self.about
    }

    fn grounds(&self) -> &Arc<Grounds> {
        &self.grounds
    }

    async fn admit(&self) -> Result<Admitted, Closing> {
        let admitted = admission::admit(&self.judge, &self.about, &self.token, &self.grounds).await;
        if let Err(Closing::Token | Closing::Forbidden(_)) = admitted {
            let _ = self.judge.limits.count_failure(Lane::Visitor, self.about.client, Instant::now());
        }
        admitted
    }

    async fn check(&self, text: &str) -> Result<Checked, Closing> {
        frames::check(&self.judge, &self.about, &self.grounds, text).await
    }

    async fn may_hear(&self) -> Result<(), Closing> {
        self.judge.still_allowed(&self.about, &self.grounds).await
    }
}

/// What the visitor's sockets are counted by: all sockets of one visitor together.
fn counted_as(token: &VisitorToken) -> SessionId {
    match &token.opens {
        Opens::Session { session, .. } => *session,
        // The session's id is not known before the admin service has admitted the visitor. For counting, any id that is always the
        // visitor's will do.
        Opens::Minted { visitor_user_id, .. } => {
            static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
            let [high, low] = [0, 1].map(|key| KEYS[key].hash_one((token.tenant_id, visitor_user_id)));
            Uuid::from_u64_pair(high, low).into()
        }
    }
}
