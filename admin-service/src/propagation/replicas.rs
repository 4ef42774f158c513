//! The other replicas: registering, so that their changes wait for this one's leases; telling them what is done; and
//! forgetting those that are gone.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use shared::{
    coherence::replica::{Neighbours, Registration},
    time::{as_millis, since_boot_ms},
};
use uuid::Uuid;

use super::{Inner, feed::Place};
use crate::store::{Done, StoreError};

/// What this replica has told of itself, and what it has seen of others.
#[derive(Default)]
pub(super) struct OwnRegistration {
    /// Counts the renewals; held while one is written, so that they are written in order.
    renewal: tokio::sync::Mutex<u64>,
    neighbours: Mutex<Neighbours<Uuid>>,
}

/// Why a replica that stops grants nothing any more.
pub(super) fn stopping() -> StoreError {
    StoreError::Unavailable("this replica is stopping".to_owned())
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
            return Err(stopping());
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

    /// Looks who else is registered and how far they have come, and removes those whose registration has run out.
    pub(super) async fn look_at_others(&self) -> Result<(), StoreError> {
        let replicas = self.store.replicas().await?;
        let others: Vec<Registration<Uuid>> = replicas
            .iter()
            .map(|replica| replica.registration)
            .filter(|registration| registration.incarnation != self.incarnation)
            .collect();
        let now = since_boot_ms();
        let ended = {
            let mut neighbours = self.registration.neighbours.lock().unwrap_or_else(PoisonError::into_inner);
            neighbours.observe(&others, now)
        };
        for registration in ended {
            tracing::info!(replica = %registration.incarnation, "a replica is gone, and its leases have run out");
            self.store.unregister(registration).await?;
        }
        {
            let mut leases = self.leases();
            // One that has moved to another replica may still have a lease from here.
            for (gateway, revision) in replicas.iter().flat_map(|replica| &replica.done.acknowledged) {
                leases.acknowledged(gateway, *revision);
            }
            leases.forget_ended(now);
            self.metrics.holding(leases.holders(now).count());
        }
        self.replicas.send_replace(replicas.into());
        Ok(())
    }

    /// Tells the others, where there can be any, how far changes have come here, whenever that has changed.
    pub(super) async fn report(&self) {
        if !self.store.is_shared() {
            return;
        }
        let (mut known, mut progress) = (self.feed.known(), self.progress.subscribe());
        let mut reported = None;
        loop {
            tokio::select! {
                moved = known.changed() => if moved.is_err() { return },
                moved = progress.changed() => if moved.is_err() { return },
            }
            let Place { era, revision } = *known.borrow_and_update();
            let done = {
                let leases = self.leases();
                let acknowledged = leases.acknowledgements().map(|(gateway, revision)| (*gateway, revision)).collect();
                Done { revision: leases.done(revision, since_boot_ms()), acknowledged }
            };
            if reported.as_ref() == Some(&(era, done.clone())) || *self.registration.renewal.lock().await == 0 {
                continue;
            }
            match self.store.report_done(self.incarnation, &done).await {
                Ok(()) => reported = Some((era, done)),
                Err(error) => tracing::debug!(%error, "others were not told what is done"),
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
            None => {
                let last = Registration { incarnation: self.incarnation, renewal: *renewal, period_ms: 0 };
                self.store.unregister(last).await
            }
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
