//! What a change does to the sockets that are open: each that it may concern is judged anew, before the change is acknowledged.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use coherence::Changes;
use futures_util::{StreamExt as _, stream};
use service::ApiError;
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout_at},
};
use wire::{TenantId, request_id::RequestId};

use super::{
    Closing, Sockets, all_closed,
    asking::{Ended, Revoked, not_among, not_ended, since},
    closing::{UNCHECKED, unchecked},
    frames,
    grounds::{Grounds, UNSEEN},
    judging::{active, allowed},
    registry::Open,
};
use crate::{
    directory::{ChangeListener, Known, TenantDirectory},
    domain::widget_access::WidgetAccess,
    signing_keys::concern_keys,
};

/// Tenants that are judged at once after a change.
const JUDGED_AT_ONCE: usize = 32;

/// How long the gateway may judge sockets after a change, all tenants together: the change and the lease wait for it. The gateway
/// closes every socket that it has not judged by then, since the change may forbid it; its visitor may connect again.
const JUDGED_WITHIN: Duration = Duration::from_secs(1);

/// The facts by which all sockets of one tenant are judged after a change. Each is fetched once, and only if a socket depends on it.
struct Judgement {
    tenant_id: TenantId,
    request_id: RequestId,
    known: OnceCell<Result<Known, ApiError>>,
    /// What each key allows: all sockets of one key share it.
    accesses: HashMap<Arc<str>, Result<Arc<WidgetAccess>, Closing>>,
    /// The lowest count of revocations, and the lowest revision of an ended session, that a socket has seen; [`UNSEEN`] if no socket
    /// has looked. One question about everything since then serves all sockets.
    seen_revoked: u64,
    seen_ended: u64,
    revoked: OnceCell<Revoked>,
    ended: OnceCell<Ended>,
}

impl<D: TenantDirectory> Sockets<D> {
    /// Closes the sockets whose tokens a retired key has signed, and every socket if the keys cannot be asked for in time.
    async fn recheck_keys(&self, deadline: Instant) {
        let sockets = self.registry.all();
        if sockets.is_empty() {
            return;
        }
        let keys = timeout_at(deadline, self.signing_keys.get()).await;
        let mut forbidden = Vec::new();
        for socket in sockets {
            let closing = match &keys {
                Ok(Ok(keys)) if keys.holds(&socket.signed_by) => continue,
                Ok(Ok(_)) => Closing::Token,
                Ok(Err(error)) => unchecked(error),
                Err(_) => UNCHECKED,
            };
            socket.command.send_modify(|command| command.close = Some(closing));
            forbidden.push(socket.command);
        }
        all_closed(&forbidden).await;
    }

    /// Judges a tenant's sockets anew: those that are forbidden, or cannot be judged in time, are closed when this returns; the
    /// others know of a new look.
    async fn recheck_tenant(&self, tenant_id: TenantId, deadline: Instant) {
        let sockets = self.registry.of(tenant_id);
        let mut judgement = Judgement::of(tenant_id, &sockets);
        let mut forbidden = Vec::new();
        for socket in sockets {
            let judging = self.judge_anew(&mut judgement, &socket);
            if let Err(closing) = timeout_at(deadline, judging).await.unwrap_or(Err(UNCHECKED)) {
                socket.command.send_modify(|command| command.close = Some(closing));
                forbidden.push(socket.command);
            }
        }
        all_closed(&forbidden).await;
    }

    /// Judges one of a tenant's sockets by what is known after a change.
    async fn judge_anew(&self, judgement: &mut Judgement, socket: &Open) -> Result<(), Closing> {
        let Judgement { tenant_id, request_id, known, accesses, seen_revoked, seen_ended, revoked, ended } = judgement;
        let tenant_id = *tenant_id;
        let known = known.get_or_init(|| self.directory.lookup(tenant_id, request_id)).await;
        match &socket.grounds {
            Grounds::Widget { session, key, origin, seen } => {
                if !accesses.contains_key(key) {
                    let access = self.widget_access(known, key, request_id).await;
                    accesses.insert(Arc::clone(key), access);
                }
                let access = accesses.get(key).cloned().unwrap_or(Err(UNCHECKED))?;
                let access = allowed(access, origin)?;
                let now = active(known)?.sessions_ended;
                let before = seen.load(Ordering::Acquire);
                if before != UNSEEN && before != now {
                    let since = since(*seen_ended, now);
                    let ended = ended.get_or_try_init(|| self.ended(tenant_id, since, request_id)).await?;
                    not_ended(ended, *session)?;
                    seen.store(now, Ordering::Release);
                }
                self.registry.set_widget_access(tenant_id, socket.id, &access);
                if let Some(look) = new_look(socket.access.as_deref(), &access) {
                    socket.command.send_modify(|command| command.look = Some(look));
                }
            }
            Grounds::Minted { visitor_user_id, generation, tenant_generation, seen } => {
                let tenant = active(known)?;
                if *tenant_generation < tenant.token_generation {
                    return Err(Closing::Token);
                }
                let before = seen.load(Ordering::Acquire);
                if before != UNSEEN && before != tenant.visitor_revocations {
                    let since = since(*seen_revoked, tenant.visitor_revocations);
                    let revoked = revoked.get_or_try_init(|| self.revoked(tenant_id, since, request_id)).await?;
                    not_among(revoked, visitor_user_id, *generation)?;
                    seen.store(tenant.visitor_revocations, Ordering::Release);
                }
            }
        }
        Ok(())
    }
}

impl Judgement {
    fn of(tenant_id: TenantId, sockets: &[Open]) -> Self {
        let (mut seen_revoked, mut seen_ended) = (UNSEEN, UNSEEN);
        for socket in sockets {
            match &socket.grounds {
                Grounds::Widget { seen, .. } => seen_ended = seen_ended.min(seen.load(Ordering::Acquire)),
                Grounds::Minted { seen, .. } => seen_revoked = seen_revoked.min(seen.load(Ordering::Acquire)),
            }
        }
        Self {
            tenant_id,
            request_id: RequestId::generate(),
            known: OnceCell::new(),
            accesses: HashMap::new(),
            seen_revoked,
            seen_ended,
            revoked: OnceCell::new(),
            ended: OnceCell::new(),
        }
    }
}

impl<D: TenantDirectory> ChangeListener for Sockets<D> {
    fn apply<'a>(&'a self, changes: &'a Changes<TenantId>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        let tenants = self.registry.tenants(changes.keys.as_deref());
        let deadline = Instant::now() + JUDGED_WITHIN;
        let judging = move |tenant_id| self.recheck_tenant(tenant_id, deadline);
        Box::pin(async move {
            if concern_keys(changes) {
                self.recheck_keys(deadline).await;
            }
            stream::iter(tenants).for_each_concurrent(JUDGED_AT_ONCE, judging).await;
        })
    }
}

/// The frame that tells a widget its new look; `None` if the look has not changed.
fn new_look(before: Option<&WidgetAccess>, now: &WidgetAccess) -> Option<Arc<str>> {
    let before = before?.widget.as_ref()?;
    let now = now.widget.as_ref()?;
    (before.config != now.config).then(|| frames::config(now).to_json().into())
}
