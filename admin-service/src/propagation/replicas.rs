//! The other replicas: registering, so that their changes wait for this one's leases; telling them what is done; and
//! forgetting those that are gone.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use shared::{
    coherence::replica::{Leases, Neighbours, Registration},
    time::since_boot_ms,
};
use uuid::Uuid;

use super::{GatewayId, Inner, as_millis};
use crate::store::{Replica, StoreError};

/// What this replica has told of itself, and what it has seen of others.
#[derive(Default)]
pub(super) struct OwnRegistration {
    /// Counts the renewals; held while one is written, so that they are written in order.
    renewal: tokio::sync::Mutex<u64>,
    neighbours: Mutex<Neighbours<Uuid>>,
    reported: AtomicU64,
}

impl Inner {
    /// How long a registration stands. Others wait for a replica that crashed until it has run out, so it is short; and it
    /// outlives a lease by enough for a renewal to come late.
    fn registered_for(&self) -> Duration {
        self.lease * 2
    }

    /// Writes the registration, or renews it, before a lease rests on it.
    pub(super) async fn register(&self) -> Result<(), StoreError> {
        let mut renewal = self.registration.renewal.lock().await;
        if self.closing.is_cancelled() {
            return Err(StoreError::Unavailable("this replica is stopping".to_owned()));
        }
        let (sent, period_ms) = (since_boot_ms(), as_millis(self.registered_for()));
        let registration = Registration { incarnation: self.incarnation, renewal: *renewal + 1, period_ms };
        self.store.register(registration, as_millis(self.lease)).await?;
        *renewal += 1;
        self.leases().registered(sent, period_ms);
        Ok(())
    }

    /// Renews the registration, once a gateway has made it necessary.
    pub(super) async fn keep_registered(&self) {
        loop {
            tokio::time::sleep(self.lease / 3).await;
            if *self.registration.renewal.lock().await > 0
                && let Err(error) = self.register().await
            {
                // Nothing is granted that the last renewal does not cover.
                tracing::warn!(%error, "the registration was not renewed");
            }
        }
    }

    /// Looks who else is registered, and removes those whose registration has run out.
    pub(super) async fn look_at_others(&self) {
        let Ok(replicas) = self.store.replicas().await else { return };
        let others: Vec<Registration<Uuid>> = replicas
            .iter()
            .map(|replica| replica.registration)
            .filter(|registration| registration.incarnation != self.incarnation)
            .collect();
        let ended = {
            let mut neighbours = self.registration.neighbours.lock().unwrap_or_else(PoisonError::into_inner);
            neighbours.observe(&others, since_boot_ms())
        };
        if !ended.is_empty() {
            tracing::info!(replicas = ?ended, "replicas are gone: their leases have run out");
            if let Err(error) = self.store.unregister(&ended).await {
                tracing::warn!(%error, "replicas that are gone stay registered");
            }
        }
        let now = since_boot_ms();
        let mut leases = self.leases();
        for replica in &replicas {
            Self::hear(&mut leases, replica);
        }
        leases.forget_ended(now);
        self.metrics.holding(leases.standing(0, now).acknowledged.len());
    }

    /// Notes what gateways have acknowledged to another replica: one that has moved there may still have a lease from here.
    pub(super) fn hear(leases: &mut Leases<GatewayId>, replica: &Replica) {
        for gateway in &replica.acknowledged {
            leases.acknowledged(gateway, replica.done);
        }
    }

    /// Tells the others, where there can be any, once a change is done here.
    pub(super) async fn report(&self) {
        if !self.store.is_shared() {
            return;
        }
        let (mut known, mut progress) = (self.feed.known(), self.progress.subscribe());
        loop {
            tokio::select! {
                moved = known.changed() => if moved.is_err() { return },
                moved = progress.changed() => if moved.is_err() { return },
            }
            let revision = *known.borrow_and_update();
            if revision <= self.registration.reported.load(Ordering::Relaxed)
                || *self.registration.renewal.lock().await == 0
            {
                continue;
            }
            let now = since_boot_ms();
            let standing = {
                let leases = self.leases();
                leases.is_done(revision, now).then(|| leases.standing(revision, now))
            };
            let Some(standing) = standing else { continue };
            match self.store.report_done(self.incarnation, revision, &standing).await {
                Ok(()) => self.registration.reported.store(revision, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "others were not told what is done"),
            }
        }
    }

    /// Leaves word how long the leases still last, or leaves nothing where there are none.
    pub(super) async fn retire(&self) {
        let mut renewal = self.registration.renewal.lock().await;
        if *renewal == 0 {
            return;
        }
        let now = since_boot_ms();
        let left = self.leases().last_end(now).map(|end| end - now);
        let told = match left {
            None => self.store.unregister(&[self.incarnation]).await,
            Some(period_ms) => {
                *renewal += 1;
                let last = Registration { incarnation: self.incarnation, renewal: *renewal, period_ms };
                self.store.register(last, as_millis(self.lease)).await
            }
        };
        if let Err(error) = told {
            tracing::warn!(%error, "others will wait for this replica until its registration has run out");
        }
    }
}
