//! What visitors are judged by, as the directory and the admin service answer it. Each thing is asked at most once, and only if a
//! judgement depends on it: after a change, all sockets of a tenant share the answers.

use std::{collections::HashMap, sync::Arc};

use service::ApiError;
use wire::{TenantId, request_id::RequestId};

use super::{
    closings::{active, denied},
    grounds::{Grounds, RestsOn, UNSEEN},
};
use crate::{
    admin::{AdminClient, Ended, Revoked},
    directory::{Known, TenantDirectory},
    domain::{
        tenant::TenantState,
        widget_access::{AccessDenied, WidgetAccess},
    },
    sockets::closing::{Closing, unchecked},
};

/// Where answers come from.
pub(super) struct Sources<D> {
    pub(super) directory: D,
    pub(super) admin: AdminClient,
}

/// What was learnt of one tenant. A failed look-up of the tenant or of a widget key is kept too, and decides for every socket that
/// depends on it.
pub(crate) struct Answers {
    tenant_id: TenantId,
    request_id: RequestId,
    known: Option<Result<Known, ApiError>>,
    /// What each widget key allows.
    accesses: HashMap<Arc<str>, Result<Arc<WidgetAccess>, Closing>>,
    /// The lowest revision of an ended session, and the lowest count of revocations, that a socket was last judged by; [`UNSEEN`] if
    /// none was judged yet. One question about everything since then serves all sockets.
    seen_ended: u64,
    seen_revoked: u64,
    ended: Option<Ended>,
    revoked: Option<Revoked>,
}

impl Answers {
    /// For sockets of one tenant, on behalf of this request.
    pub(super) fn of<'g>(
        tenant_id: TenantId,
        request_id: RequestId,
        sockets: impl IntoIterator<Item = &'g Grounds>,
    ) -> Self {
        let (mut seen_ended, mut seen_revoked) = (UNSEEN, UNSEEN);
        for grounds in sockets {
            match &grounds.rests_on {
                RestsOn::Widget { seen, .. } => seen_ended = seen_ended.min(seen.last()),
                RestsOn::Minted { seen, .. } => seen_revoked = seen_revoked.min(seen.last()),
            }
        }
        let accesses = HashMap::new();
        Self { tenant_id, request_id, known: None, accesses, seen_ended, seen_revoked, ended: None, revoked: None }
    }

    async fn known<D: TenantDirectory>(&mut self, from: &Sources<D>) -> &Result<Known, ApiError> {
        if self.known.is_none() {
            self.known = Some(from.directory.lookup(self.tenant_id, &self.request_id).await);
        }
        self.known.as_ref().expect("it was looked up")
    }

    /// The tenant, where its visitors may talk.
    pub(super) async fn active_tenant<D: TenantDirectory>(
        &mut self,
        from: &Sources<D>,
    ) -> Result<&TenantState, Closing> {
        active(self.known(from).await)
    }

    /// What a widget key of the tenant's allows, unless it is unknown or the tenant is suspended.
    pub(super) async fn widget_access<D: TenantDirectory>(
        &mut self,
        from: &Sources<D>,
        key: &Arc<str>,
    ) -> Result<Arc<WidgetAccess>, Closing> {
        if let Some(access) = self.accesses.get(key) {
            return access.clone();
        }
        let request_id = self.request_id.clone();
        let access = match self.known(from).await {
            Ok(known) => match &known.tenant {
                Some(tenant) => match from.directory.widget_access(tenant, key, &request_id).await {
                    Ok(access) => access.open(tenant).map(drop).map_err(denied).map(|()| access),
                    Err(error) => Err(unchecked(&error)),
                },
                None => Err(denied(AccessDenied::Key)),
            },
            Err(error) => Err(unchecked(error)),
        };
        self.accesses.insert(Arc::clone(key), access.clone());
        access
    }

    /// The tenant's sessions that were ended since the sockets were last judged. `now` is the tenant's `sessions_ended`.
    pub(super) async fn ended<D>(&mut self, from: &Sources<D>, now: u64) -> Result<&Ended, Closing> {
        if self.ended.is_none() {
            let after = since(self.seen_ended, now);
            let asked = from.admin.ended_sessions(self.tenant_id, after, &self.request_id).await;
            self.ended = Some(asked.map_err(|error| unchecked(&error))?);
        }
        Ok(self.ended.as_ref().expect("it was asked for"))
    }

    /// The tenant's visitors that were revoked since the sockets were last judged. `now` is the tenant's `visitor_revocations`.
    pub(super) async fn revoked<D>(&mut self, from: &Sources<D>, now: u64) -> Result<&Revoked, Closing> {
        if self.revoked.is_none() {
            let after = since(self.seen_revoked, now);
            let asked = from.admin.revoked_visitors(self.tenant_id, after, &self.request_id).await;
            self.revoked = Some(asked.map_err(|error| unchecked(&error))?);
        }
        Ok(self.revoked.as_ref().expect("it was asked for"))
    }
}

/// The number to ask from. After a database was restored, the history is an earlier one: ask from its beginning.
fn since(seen: u64, now: u64) -> u64 {
    if now < seen { 0 } else { seen }
}
