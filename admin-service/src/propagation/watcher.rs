//! One gateway's stream: leases when it asks, changes as they come, acknowledgements noted.

use std::{collections::BTreeSet, sync::Arc};

use coherence::{Changes, Revision, replica::Asked};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use wire::{
    TenantId,
    time::{as_millis, since_boot_ms},
};

use super::{
    feed::FeedPosition,
    holders::is_gateway,
    state::{GatewayId, Inner, Propagation, stopping},
};
use crate::store::{Position, StoreError};

/// What a gateway says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FromGateway {
    /// It asks for a lease.
    Ask { id: u64, seen: Option<Position> },
    /// It has applied everything up to a revision.
    Acknowledge { through: Revision },
    /// It will use no lease any more.
    GiveUp,
}

/// What a gateway is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToGateway {
    pub(crate) changes: Changes<TenantId>,
    /// The position then.
    pub(crate) through: Position,
    /// `None` if this grants no lease.
    pub(crate) grant: Option<Granted>,
}

/// A lease that is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    /// The number of the request that it answers.
    pub(crate) id: u64,
    pub(crate) lease_ms: u32,
    /// How many gateways hold a lease, at any replica.
    pub(crate) gateways: u32,
}

impl Propagation {
    /// Serves a gateway until its stream ends, or this replica stops. However the stream ends, the lease goes on until it
    /// runs out or its holder gives it up.
    ///
    /// # Errors
    /// [`StoreError`] where an asking cannot be answered: the gateway does well to ask another replica.
    pub(crate) async fn watch(
        &self,
        gateway: GatewayId,
        mut from: impl Stream<Item = FromGateway> + Unpin,
        to: mpsc::Sender<ToGateway>,
    ) -> Result<(), StoreError> {
        let inner = &*self.0;
        let mut known = inner.feed.known();
        // What the gateway has been told up to. Nothing is pushed before its first asking has said where it stands.
        let mut sent: Option<(FeedPosition, Position)> = None;
        // An asking that was refused because the gateway had acknowledged nothing.
        let mut refused: Option<u64> = None;
        loop {
            let news = tokio::select! {
                () = inner.closing.cancelled() => return Ok(()),
                message = from.next() => match message {
                    None => return Ok(()),
                    Some(FromGateway::Ask { id, seen }) => Some(inner.answer(gateway, id, seen).await?),
                    Some(FromGateway::Acknowledge { through }) => {
                        // Ignore an acknowledgement of what this stream has not told the gateway in this history. If it counted, a
                        // change could return before the gateway has applied it.
                        let told = sent.filter(|(place, _)| place.era == inner.feed.era() && through <= place.revision);
                        if told.is_some() {
                            inner.leases().acknowledged(&gateway, through, since_boot_ms());
                            inner.progress.send_replace(());
                        }
                        match (refused, told) {
                            // It has caught up: the asking that was refused is answered after all.
                            (Some(id), Some((place, position))) if through == place.revision => {
                                Some(inner.answer(gateway, id, Some(position)).await?)
                            }
                            _ => None,
                        }
                    }
                    Some(FromGateway::GiveUp) => {
                        inner.leases().released(&gateway);
                        inner.progress.send_replace(());
                        None
                    }
                },
                moved = known.changed() => match (moved, sent) {
                    (Err(_), _) => return Ok(()),
                    (Ok(()), None) => None,
                    (Ok(()), Some((told, _))) => {
                        let era = known.borrow_and_update().era;
                        inner.feed.since(told).map(|(changes, through)| {
                            Answer { era, news: ToGateway { changes, through, grant: None }, refused }
                        })
                    }
                },
            };
            if let Some(Answer { era, news, refused: still_refused }) = news {
                sent = Some((FeedPosition { era, revision: news.through.revision }, news.through));
                refused = still_refused;
                inner.leases().told(&gateway, news.through.revision, since_boot_ms());
                tokio::select! {
                    () = inner.closing.cancelled() => return Ok(()),
                    taken = to.send(news) => if taken.is_err() { return Ok(()) },
                }
            }
        }
    }
}

/// What a gateway is told next.
struct Answer {
    /// The history's era when it was read.
    era: u64,
    news: ToGateway,
    /// The asking that is still refused.
    refused: Option<u64>,
}

impl Inner {
    /// How many gateways hold a lease: here, and as the other replicas said last.
    fn gateways(&self) -> u32 {
        let mut holders: BTreeSet<GatewayId> = self.leases().holders(since_boot_ms()).copied().collect();
        let replicas = Arc::clone(&self.replicas.borrow());
        let others = replicas.iter().filter(|replica| replica.registration.incarnation != self.incarnation);
        let elsewhere = others.flat_map(|replica| &replica.done.acknowledged);
        holders.extend(elsewhere.filter(|(_, revision)| *revision < Revision::MAX).map(|(gateway, _)| *gateway));
        u32::try_from(holders.iter().filter(|id| is_gateway(id)).count()).unwrap_or(u32::MAX)
    }

    /// Notes the lease first, and then reads what the gateway must know to use it. So a change that this reading misses finds the
    /// lease, and waits for the gateway. In the other order, the change could return while the gateway uses the old state. A gateway
    /// that acknowledges nothing is told what changed, and gets no lease.
    async fn answer(&self, gateway: GatewayId, id: u64, seen: Option<Position>) -> Result<Answer, StoreError> {
        // Read the era before the history. If the history is replaced in between, this answer has the old era, so the gateway is told
        // to start over.
        let era = self.feed.era();
        loop {
            let asked = {
                let mut leases = self.leases();
                // Check under the lock: once this replica has reported its leases, no other replica would know of a later one.
                if self.closing.is_cancelled() {
                    return Err(stopping());
                }
                leases.asked(gateway, since_boot_ms())
            };
            if asked == Asked::Unregistered {
                self.register().await?;
                continue;
            }
            let (changes, through) = self.changes_after(seen).await?;
            if changes.keys.is_some() {
                // `seen` counts only in this history. A revision of another history means nothing here.
                self.leases().acknowledged(&gateway, changes.after, since_boot_ms());
            }
            self.progress.send_replace(());
            let answer = |grant: Option<Granted>| {
                let refused = grant.is_none().then_some(id);
                Answer { era, news: ToGateway { changes, through, grant }, refused }
            };
            match asked {
                Asked::Granted => {
                    let lease_ms = u32::try_from(as_millis(self.lease)).unwrap_or(u32::MAX);
                    return Ok(answer(Some(Granted { id, lease_ms, gateways: self.gateways() })));
                }
                Asked::Silent { is_news } if self.leases().is_silent(&gateway, since_boot_ms()) => {
                    if is_news {
                        tracing::warn!(
                            %gateway,
                            "a gateway has acknowledged no change for longer than a lease: it gets no further lease until it does"
                        );
                    }
                    return Ok(answer(None));
                }
                // The gateway's `seen` was the acknowledgement that was missing: take its request again.
                Asked::Silent { .. } | Asked::Unregistered => {}
            }
        }
    }
}
