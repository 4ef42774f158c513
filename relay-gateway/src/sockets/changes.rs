//! What a change does to the sockets that are open: each that it may concern is judged again, and each that is forbidden is closed,
//! before the change is acknowledged.

use std::{pin::Pin, sync::Arc, time::Duration};

use coherence::Changes;
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};
use wire::TenantId;

use super::{
    accept::Sockets,
    close::all_closed,
    closing::UNCHECKED,
    participant::{Judge, Participant},
};
use crate::directory::ChangeListener;

/// Tenants that are judged at once after a change.
const JUDGED_AT_ONCE: usize = 32;

/// How long the gateway may judge sockets after a change, all tenants together: the change and the lease wait for it. The gateway
/// closes every socket that it has not judged by then, since the change may forbid it; its browser may connect again.
const JUDGED_WITHIN: Duration = Duration::from_secs(1);

impl<P: Participant> Sockets<P> {
    /// Judges the sockets of every tenant by what is common to them. Those that are forbidden, or cannot be judged in time, are closed
    /// when this returns.
    async fn judge_all(&self, deadline: Instant) {
        let mut sockets = self.registry.all();
        if sockets.is_empty() {
            return;
        }
        let grounds: Vec<_> = sockets.iter().map(|socket| Arc::clone(&socket.grounds)).collect();
        let verdicts = timeout_at(deadline, self.judge.judge_all(&grounds)).await;
        let mut verdicts = verdicts.unwrap_or_default().into_iter();
        sockets.retain(|socket| match verdicts.next().unwrap_or(Err(UNCHECKED)) {
            Ok(()) => false,
            Err(closing) => {
                socket.close(closing);
                true
            }
        });
        all_closed(&sockets).await;
    }

    /// Judges a tenant's sockets. Those that are forbidden, or cannot be judged in time, are closed when this returns.
    async fn judge_tenant(&self, tenant_id: TenantId, deadline: Instant) {
        let sockets = self.registry.of(tenant_id);
        let grounds: Vec<_> = sockets.iter().map(|socket| Arc::clone(&socket.grounds)).collect();
        let mut answers = self.judge.answers(tenant_id, &grounds);
        let mut forbidden = Vec::new();
        for socket in sockets {
            let judging = self.judge.judge_again(&mut answers, &socket.grounds);
            match timeout_at(deadline, judging).await.unwrap_or(Err(UNCHECKED)) {
                Ok(None) => {}
                Ok(Some(frame)) => socket.tell(frame),
                Err(closing) => {
                    socket.close(closing);
                    forbidden.push(socket);
                }
            }
        }
        all_closed(&forbidden).await;
    }
}

impl<P: Participant> ChangeListener for Sockets<P> {
    fn apply<'a>(&'a self, changes: &'a Changes<TenantId>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        let tenants = self.registry.tenants(changes.keys.as_deref());
        let deadline = Instant::now() + JUDGED_WITHIN;
        let judging = move |tenant_id| self.judge_tenant(tenant_id, deadline);
        Box::pin(async move {
            if P::Judge::concern_all(changes) {
                self.judge_all(deadline).await;
            }
            stream::iter(tenants).for_each_concurrent(JUDGED_AT_ONCE, judging).await;
        })
    }
}
