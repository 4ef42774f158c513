//! The other replicas: registering, so that their changes wait for this one's leases; telling them what is done; and
//! forgetting those that are gone.

use std::{sync::PoisonError, time::Duration};

use coherence::{Revision, replica::Registration};
use uuid::Uuid;
use wire::time::{as_millis, since_boot_ms};

use super::{
    feed::FeedPosition,
    holders::is_gateway,
    state::{Inner, bounded, stopping},
};
use crate::store::{Done, Replica, StoreError};

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
        // Counted before it is written: if the answer is lost, the next renewal still has a number of its own.
        *renewal += 1;
        bounded(self.store.register(registration, as_millis(self.lease))).await?;
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

    /// Reads which other replicas are registered and how far each has come, and removes those whose registration has run out. The
    /// history was read up to `known`.
    pub(super) async fn look_at_others(&self, known: Revision) -> Result<(), StoreError> {
        let mut replicas = self.store.replicas().await?;
        for Replica { done, .. } in &mut replicas {
            // A report of a revision that this history does not have is a report of another history.
            done.revision = done.revision.min(known);
            for (_, revision) in done.acknowledged.iter_mut().filter(|(_, revision)| *revision < Revision::MAX) {
                if *revision > known {
                    *revision = 0;
                }
            }
        }
        let others = || replicas.iter().filter(|replica| replica.registration.incarnation != self.incarnation);
        let registrations: Vec<Registration<Uuid>> = others().map(|replica| replica.registration).collect();
        let now = since_boot_ms();
        let ended = {
            let mut neighbours = self.registration.neighbours.lock().unwrap_or_else(PoisonError::into_inner);
            neighbours.observe(&registrations, now)
        };
        for registration in ended {
            tracing::info!(replica = %registration.incarnation, "a replica is gone, and its leases have run out");
            self.store.unregister(registration).await?;
        }
        {
            let mut leases = self.leases();
            // A gateway that has moved to another replica may still have a lease from here. If it gave its lease up there, that is
            // not noted here: it may ask here later.
            for (gateway, revision) in others().flat_map(|replica| &replica.done.acknowledged) {
                if *revision < Revision::MAX {
                    leases.acknowledged(gateway, *revision, now);
                }
            }
            leases.forget_ended(now);
            self.metrics.holding(leases.holders(now).filter(|id| is_gateway(id)).count());
        }
        self.replicas.send_replace(replicas.into());
        Ok(())
    }

    /// Tells the other replicas, if there can be any, how far changes have come here, whenever that has changed.
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
            let FeedPosition { era, revision } = *known.borrow_and_update();
            let done = self.done(revision);
            if reported.as_ref() == Some(&(era, done.clone())) || *self.registration.renewal.lock().await == 0 {
                continue;
            }
            match bounded(self.store.report_done(self.incarnation, &done)).await {
                // No row matched where our registration has lapsed: report again once registered.
                Ok(is_registered) => reported = is_registered.then_some((era, done)),
                Err(error) => tracing::debug!(%error, "others were not told what is done"),
            }
        }
    }

    /// How far changes have come here, of those up to `known`.
    fn done(&self, known: Revision) -> Done {
        let leases = self.leases();
        let acknowledged = leases.acknowledgements().map(|(gateway, revision)| (*gateway, revision)).collect();
        Done { revision: leases.done(known, since_boot_ms()), acknowledged }
    }

    /// Writes which gateways still hold a lease of this replica's and for how long. If no gateway does, it removes the registration.
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
                bounded(self.store.unregister(last)).await
            }
            Some(period_ms) => {
                *renewal += 1;
                let last = Registration { incarnation: self.incarnation, renewal: *renewal, period_ms };
                let known = self.feed.known().borrow().revision;
                bounded(self.store.retire(last, &self.done(known))).await
            }
        };
        if let Err(error) = told {
            tracing::warn!(%error, "others will wait for this replica until its registration has run out");
        }
    }
}
