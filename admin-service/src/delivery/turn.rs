//! A turn: one worker delivers one tenant's outbox for a while. Conversations go side by side, each in its order.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use wire::time::{now, since_boot_ms};

use super::{
    attempt::{Attempted, attempt},
    endpoint::Endpoint,
    metrics::AttemptOutcome,
    standing::Standing,
    states::Unknown,
    verdict::Verdict,
    workers::{Workers, claim_period},
};
use crate::store::{AttemptResult, Claim, DueEvent, Recorded, StoreError};

/// How long a turn takes in new events while others wait for a turn.
const LONGEST_TURN: Duration = Duration::from_secs(10);
/// How long to wait for a lease.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look for events that another replica has taken in.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An endpoint that has failed for so long is stopped.
const FAILS_AT_MOST: Duration = Duration::from_hours(5 * 24);
/// How often a result is tried to be written while the claim stands.
const WRITE_AGAIN: Duration = Duration::from_millis(500);

/// Why a turn ended.
enum Ended {
    /// Nothing is due, or others are to have a turn.
    Done,
    /// Another worker may have the outbox.
    ClaimLost,
}

/// Delivers what is due in an outbox, and ends the claim.
pub(super) async fn deliver(workers: Arc<Workers>, claim: Claim, standing: Arc<Standing>) {
    let tenant_id = claim.tenant_id;
    let mut turn = Turn {
        workers: Arc::clone(&workers),
        claim,
        standing,
        begun_at: Instant::now(),
        in_flight: JoinSet::new(),
        seqs: HashSet::new(),
        seen: Vec::new(),
    };
    let ended = turn.run().await;
    workers.states.forget(tenant_id);
    match ended {
        Ok(Ended::Done) => {}
        Ok(Ended::ClaimLost) => return tracing::warn!(%tenant_id, "another worker has this outbox"),
        Err(error) => {
            tracing::warn!(%tenant_id, %error, "an outbox waits: it cannot be delivered now");
            // Not at once again.
            sleep(Duration::from_secs(1)).await;
        }
    }
    if let Err(error) = workers.store.release(claim).await {
        tracing::debug!(%tenant_id, %error, "a claim runs out by itself");
    }
}

struct Turn {
    workers: Arc<Workers>,
    claim: Claim,
    standing: Arc<Standing>,
    begun_at: Instant,
    in_flight: JoinSet<Attempted>,
    /// The numbers of the events in flight.
    seqs: HashSet<u64>,
    /// Results that are not written yet.
    seen: Vec<Attempted>,
}

impl Turn {
    async fn run(&mut self) -> Result<Ended, Unknown> {
        let workers = Arc::clone(&self.workers);
        let listening = workers.bell.listen(self.claim.tenant_id);
        if self.claim.is_restarted && !workers.store.restart(self.claim, now()).await.map_err(stored)? {
            return Ok(Ended::ClaimLost);
        }
        loop {
            let endpoint = workers.states.endpoint(self.claim.tenant_id, PATIENCE).await?;
            if !endpoint.has_callback() && self.in_flight.is_empty() {
                workers.store.give_up(self.claim).await.map_err(stored)?;
                return Ok(Ended::Done);
            }
            let takes_more = endpoint.is_open
                && endpoint.has_callback()
                && self.standing.is_valid()
                && self.begun_at.elapsed() < LONGEST_TURN;
            if takes_more {
                self.fill(&endpoint).await.map_err(stored)?;
            }
            if self.in_flight.is_empty() {
                return Ok(Ended::Done);
            }
            let has_room = self.in_flight.len() < workers.config.parallel;
            tokio::select! {
                Some(ended) = self.in_flight.join_next() => self.seen.extend(ended.ok()),
                () = listening.rung(), if has_room => continue,
                () = sleep(LOOK_EVERY), if has_room => continue,
            }
            while let Some(ended) = self.in_flight.try_join_next() {
                self.seen.extend(ended.ok());
            }
            if let Some(ended) = self.write().await? {
                return Ok(ended);
            }
        }
    }

    /// Begins attempts until as many are in flight as a receiver gets at once.
    async fn fill(&mut self, endpoint: &Arc<Endpoint>) -> Result<(), StoreError> {
        let room = self.workers.config.parallel.saturating_sub(self.in_flight.len());
        if room == 0 {
            return Ok(());
        }
        // Those in flight are due still.
        let limit = (room + self.seqs.len()) as u64;
        let due = self.workers.store.due(self.claim.tenant_id, now(), limit).await?;
        let new: Vec<DueEvent> = due.into_iter().filter(|event| !self.seqs.contains(&event.seq)).take(room).collect();
        for event in new {
            self.seqs.insert(event.seq);
            let workers = Arc::clone(&self.workers);
            let (standing, endpoint) = (Arc::clone(&self.standing), Arc::clone(endpoint));
            self.in_flight.spawn(attempt(workers, self.claim.tenant_id, standing, endpoint, event));
        }
        Ok(())
    }

    /// Writes what was seen, for as long as the claim stands. Answers why the turn ends, if it does.
    async fn write(&mut self) -> Result<Option<Ended>, Unknown> {
        let mut results: Vec<AttemptResult> = Vec::new();
        let mut stop = None;
        for attempted in self.seen.drain(..) {
            match attempted {
                Attempted::NotBegun { seq } => drop(self.seqs.remove(&seq)),
                Attempted::Made { result, stop: said, verdict } => {
                    self.workers.metrics.attempted(outcome(&verdict));
                    self.seqs.remove(&result.seq);
                    stop = stop.or(said);
                    results.push(result);
                }
            }
        }
        if results.is_empty() {
            return Ok(None);
        }
        let period = claim_period(&self.workers.config);
        let failing_since = loop {
            let asked = since_boot_ms();
            match self.workers.store.record(self.claim, &results, period).await {
                Ok(Recorded::Written { failing_since }) => {
                    self.standing.renew(asked, period);
                    break failing_since;
                }
                Ok(Recorded::ClaimLost) => return Ok(Some(Ended::ClaimLost)),
                // A lost answer may mean that the results are written: written again, they are an attempt more in the list.
                Err(error) if self.standing.is_valid() => {
                    tracing::warn!(%error, "results of attempts are not written yet");
                    sleep(WRITE_AGAIN).await;
                }
                Err(error) => return Err(stored(error)),
            }
        };
        let has_failed_too_long = failing_since.is_some_and(|since| {
            Duration::try_from(now().duration_since(since)).is_ok_and(|time| time >= FAILS_AT_MOST)
        });
        if has_failed_too_long {
            stop =
                stop.or_else(|| Some(format!("the receiver has failed for {} days", FAILS_AT_MOST.as_secs() / 86_400)));
        }
        if let Some(reason) = stop {
            // This worker's own attempts must end before the change is true everywhere, so it is not waited for here.
            let (events, tenant_id) = (self.workers.events.clone(), self.claim.tenant_id);
            let stopping = tokio::spawn(async move { events.stop_endpoint(tenant_id, &reason).await.map(drop) });
            if let Ok(Ok(Err(error))) = timeout(PATIENCE, stopping).await {
                return Err(error.into());
            }
        }
        Ok(None)
    }
}

fn stored(error: StoreError) -> Unknown {
    Unknown::Directory(error.into())
}

fn outcome(verdict: &Verdict) -> AttemptOutcome {
    match verdict {
        Verdict::Delivered => AttemptOutcome::Delivered,
        Verdict::Parked(_) => AttemptOutcome::Parked,
        Verdict::Retry { .. } => AttemptOutcome::Retried,
        Verdict::StopEndpoint(_) => AttemptOutcome::Stopped,
    }
}
