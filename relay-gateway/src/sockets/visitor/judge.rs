//! Decides whether a visitor may have a socket: one judgement, made when the socket opens, when a change may concern it and, where the
//! directory is not current, with each frame.

use std::sync::Arc;

use coherence::Changes;
use wire::{TenantId, request_id::RequestId};

use super::{
    answers::{Answers, Sources},
    closings::allowed,
    grounds::{Grounds, RestsOn},
    own_frames,
};
use crate::{
    admin::AdminClient,
    directory::TenantDirectory,
    domain::widget_access::WidgetAccess,
    limits::Limits,
    signing_keys::{SigningKeys, concern_keys},
    sockets::{
        closing::{Closing, unchecked},
        participant::{About, Judge},
    },
};

/// Judges visitors.
pub(crate) struct VisitorJudge<D> {
    pub(super) sources: Sources<D>,
    pub(super) limits: Arc<Limits>,
    signing_keys: SigningKeys<D>,
}

impl<D: TenantDirectory> VisitorJudge<D> {
    pub(crate) fn new(directory: D, admin: AdminClient, signing_keys: SigningKeys<D>, limits: Arc<Limits>) -> Self {
        Self { sources: Sources { directory, admin }, limits, signing_keys }
    }

    /// Whether the grounds hold, by these answers. For a widget's socket, answers what its key allows.
    pub(super) async fn judge(
        &self,
        answers: &mut Answers,
        grounds: &Grounds,
    ) -> Result<Option<Arc<WidgetAccess>>, Closing> {
        match &grounds.rests_on {
            RestsOn::Widget { session, key, origin, tenant_generation, seen } => {
                let access = answers.widget_access(&self.sources, key).await?;
                allowed(&access, origin)?;
                let tenant = answers.active_tenant(&self.sources).await?;
                if tenant_generation.is_some_and(|vouched| vouched < tenant.token_generation) {
                    return Err(Closing::Token);
                }
                let now = tenant.sessions_ended;
                if seen.has_moved(now) && answers.ended(&self.sources, now).await?.contains(session) {
                    return Err(Closing::Token);
                }
                seen.note(now);
                Ok(Some(access))
            }
            RestsOn::Minted { visitor_user_id, generation, tenant_generation, seen } => {
                let tenant = answers.active_tenant(&self.sources).await?;
                if *tenant_generation < tenant.token_generation {
                    return Err(Closing::Token);
                }
                let now = tenant.visitor_revocations;
                if seen.has_moved(now) {
                    let revoked = answers.revoked(&self.sources, now).await?;
                    if revoked.get(&**visitor_user_id).is_some_and(|valid| generation < valid) {
                        return Err(Closing::Token);
                    }
                }
                seen.note(now);
                Ok(None)
            }
        }
    }

    /// Whether a frame may pass. While the directory is current, the gateway hears of each change that closes the socket. Where it is
    /// not, the gateway must ask.
    pub(super) async fn still_allowed(&self, about: &About, grounds: &Grounds) -> Result<(), Closing> {
        if self.sources.directory.still_current() {
            return Ok(());
        }
        self.still_signed(grounds).await?;
        let mut answers = Answers::of(about.tenant_id, about.request_id.clone(), [grounds]);
        self.judge(&mut answers, grounds).await.map(drop)
    }

    /// Whether the key that signed the visitor's token is not retired.
    pub(super) async fn still_signed(&self, grounds: &Grounds) -> Result<(), Closing> {
        let keys = self.signing_keys.get().await.map_err(|error| unchecked(&error))?;
        if keys.holds(&grounds.signed_by) { Ok(()) } else { Err(Closing::Token) }
    }
}

impl<D: TenantDirectory> Judge for VisitorJudge<D> {
    type Grounds = Grounds;
    type Answers = Answers;

    fn concern_all(changes: &Changes<TenantId>) -> bool {
        concern_keys(changes)
    }

    /// Whether the keys that signed the sockets' tokens are not retired.
    async fn judge_all(&self, sockets: &[Arc<Grounds>]) -> Vec<Result<(), Closing>> {
        let keys = self.signing_keys.get().await;
        let verdict = |grounds: &Arc<Grounds>| match &keys {
            Ok(keys) if keys.holds(&grounds.signed_by) => Ok(()),
            Ok(_) => Err(Closing::Token),
            Err(error) => Err(unchecked(error)),
        };
        sockets.iter().map(verdict).collect()
    }

    fn answers(&self, tenant_id: TenantId, sockets: &[Arc<Grounds>]) -> Answers {
        Answers::of(tenant_id, RequestId::generate(), sockets.iter().map(Arc::as_ref))
    }

    async fn judge_again(&self, answers: &mut Answers, grounds: &Grounds) -> Result<Option<Arc<str>>, Closing> {
        let Some(access) = self.judge(answers, grounds).await? else { return Ok(None) };
        let before = grounds.replace_access(&access);
        Ok(new_look(before.as_deref(), &access))
    }
}

/// The frame that tells a widget its new look; `None` if the look has not changed.
fn new_look(before: Option<&WidgetAccess>, now: &WidgetAccess) -> Option<Arc<str>> {
    let before = before?.widget.as_ref()?;
    let now = now.widget.as_ref()?;
    (before.config != now.config).then(|| own_frames::config(now).to_json().into())
}
