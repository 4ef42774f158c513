//! A turn: one worker delivers one tenant's outbox for a while. Conversations go side by side, each in its order.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};
use wire::time::{now, since_boot_ms};

use super::{
    attempt::{Attempted, attempt},
    metrics::AttemptOutcome,
    standing::Standing,
    states::Unknown,
    verdict::Verdict,
    workers::{Workers, claim_period},
};
use crate::store::{AttemptResult, Claim, DueEvent, Failing, Recorded, StoreError};

/// How long a turn takes in new events while others wait for a turn.
const LONGEST_TURN: Duration = Duration::from_secs(10);
/// How long to wait for a lease.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an outbox waits after its delivery met trouble.
const PAUSE_AFTER_TROUBLE: Duration = Duration::from_secs(1);
/// How often to look for events that another replica has taken in.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An endpoint that has failed for so long is stopped.
const FAILS_AT_MOST: Duration = Duration::from_hours(5 * 24);
/// So often at least: two failures in a quiet week stop nothing.
const FAILURES_AT_LEAST: u32 = 10;
/// The pause before results are written again.
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
            if matches!(error, Unknown::NoLease) {
                workers.lacks_lease.store(true, Ordering::Relaxed);
            }
            // Its claim stands a moment longer, so that it is not claimed again at once.
            sleep(PAUSE_AFTER_TROUBLE).await;
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
        // What went wrong while attempts are in flight. Their answers are written first: otherwise the events would be sent again.
        let mut trouble: Option<Unknown> = None;
        loop {
            if trouble.is_none() && self.takes_more() {
                match self.begin_attempts().await {
                    Ok(None) => {}
                    Ok(Some(Ended::Done)) if !self.in_flight.is_empty() => {}
                    Ok(Some(ended)) => return Ok(ended),
                    Err(error) => trouble = Some(error),
                }
            }
            if self.in_flight.is_empty() {
                return trouble.map_or(Ok(Ended::Done), Err);
            }
            let has_room = trouble.is_none() && self.in_flight.len() < workers.config.parallel;
            tokio::select! {
                Some(ended) = self.in_flight.join_next() => self.note(ended, &mut trouble),
                () = listening.rung(), if has_room => continue,
                () = sleep(LOOK_EVERY), if has_room => continue,
            }
            while let Some(ended) = self.in_flight.try_join_next() {
                self.note(ended, &mut trouble);
            }
            match self.write().await {
                Ok(None) => {}
                Ok(Some(ended)) => return Ok(ended),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
    }

    /// Keeps what came of an attempt until it is written.
    fn note(&mut self, ended: Result<Attempted, JoinError>, trouble: &mut Option<Unknown>) {
        match ended {
            Ok(attempted) => self.seen.push(attempted),
            // The event has no result, and is still due. End the turn with a pause: otherwise the event would be tried again at once.
            Err(error) => *trouble = trouble.take().or(Some(Unknown::Panicked(error))),
        }
    }

    /// Whether attempts may begin: the claim must stand until they have ended.
    fn takes_more(&self) -> bool {
        !self.workers.stopping.is_cancelled()
            && self.standing.is_valid_for(self.workers.config.timeout)
            && self.begun_at.elapsed() < LONGEST_TURN
    }

    /// Begins attempts until `parallel` of them are in flight. Answers why the turn ends, if it does.
    async fn begin_attempts(&mut self) -> Result<Option<Ended>, Unknown> {
        let room = self.workers.config.parallel.saturating_sub(self.in_flight.len());
        if room == 0 {
            return Ok(None);
        }
        // While attempts are in flight, their answers do not wait for a lease.
        let patience = if self.in_flight.is_empty() { PATIENCE } else { Duration::ZERO };
        let endpoint = match self.workers.states.endpoint(self.claim.tenant_id, patience).await {
            Err(Unknown::NoLease) if !self.in_flight.is_empty() => return Ok(None),
            endpoint => endpoint?,
        };
        if !endpoint.has_callback() {
            if self.in_flight.is_empty() {
                self.workers.store.give_up(self.claim).await.map_err(stored)?;
            }
            return Ok(Some(Ended::Done));
        }
        if !endpoint.is_open {
            return Ok(Some(Ended::Done));
        }
        if std::mem::take(&mut self.claim.is_restarted)
            && !self.workers.store.restart(self.claim, now()).await.map_err(stored)?
        {
            return Ok(Some(Ended::ClaimLost));
        }
        // Those in flight are due still.
        let limit = (room + self.seqs.len()) as u64;
        let due = self.workers.store.due(self.claim.tenant_id, limit).await.map_err(stored)?;
        let new: Vec<DueEvent> = due.into_iter().filter(|event| !self.seqs.contains(&event.seq)).take(room).collect();
        for event in new {
            self.seqs.insert(event.seq);
            let workers = Arc::clone(&self.workers);
            let (standing, endpoint) = (Arc::clone(&self.standing), Arc::clone(&endpoint));
            self.in_flight.spawn(attempt(workers, self.claim.tenant_id, standing, endpoint, event));
        }
        Ok(None)
    }

    /// Writes what was seen, for as long as the claim stands. Answers why the turn ends, if it does.
    async fn write(&mut self) -> Result<Option<Ended>, Unknown> {
        let mut results: Vec<AttemptResult> = Vec::new();
        let mut stop: Option<Stop> = None;
        let mut revision = 0;
        for attempted in self.seen.drain(..) {
            match attempted {
                Attempted::NotBegun { seq } => drop(self.seqs.remove(&seq)),
                Attempted::Made { result, stop: said, verdict, revision: attempted_at } => {
                    self.workers.metrics.attempted(outcome(&verdict));
                    self.seqs.remove(&result.seq);
                    revision = revision.max(attempted_at);
                    stop = stop.or(said.map(|reason| Stop { revision: attempted_at, reason }));
                    results.push(result);
                }
            }
        }
        if results.is_empty() {
            return Ok(None);
        }
        let failing = match self.record(&results).await? {
            Recorded::ClaimLost => return Ok(Some(Ended::ClaimLost)),
            Recorded::Written { failing, is_restarted } => {
                self.claim.is_restarted |= is_restarted;
                failing
            }
        };
        if failing.is_some_and(fails_for_good) {
            let reason = format!("the receiver has failed for {} days", FAILS_AT_MOST.as_secs() / 86_400);
            stop = stop.or(Some(Stop { revision, reason }));
        }
        match stop {
            Some(stop) => self.stop(stop).await.map(|()| None),
            None => Ok(None),
        }
    }

    /// Writes results, again and again while the claim stands and the database does not answer.
    async fn record(&self, results: &[AttemptResult]) -> Result<Recorded, Unknown> {
        let period = claim_period(&self.workers.config);
        loop {
            let asked = since_boot_ms();
            match self.workers.store.record(self.claim, results, period).await {
                Ok(recorded) => {
                    if matches!(recorded, Recorded::Written { .. }) {
                        self.standing.renew(asked, period);
                    }
                    return Ok(recorded);
                }
                // If the answer to the commit was lost, the results may be written already. Written again, they are one attempt more.
                Err(error) if self.standing.is_valid() => {
                    tracing::warn!(%error, "results of attempts are not written yet");
                    sleep(WRITE_AGAIN).await;
                }
                Err(error) => return Err(stored(error)),
            }
        }
    }

    /// Stops the endpoint. The change waits up to a second for this worker's own attempts, so it runs in a task of its own, and this
    /// turn waits for it at most [`PATIENCE`].
    async fn stop(&self, Stop { revision, reason }: Stop) -> Result<(), Unknown> {
        let (events, tenant_id) = (self.workers.events.clone(), self.claim.tenant_id);
        let stopping = tokio::spawn(async move { events.stop_endpoint(tenant_id, revision, &reason).await });
        match timeout(PATIENCE, stopping).await {
            Ok(Ok(stopped)) => Ok(stopped?),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }
}

/// Which endpoint to stop: the one that the tenant had at a revision.
struct Stop {
    revision: u64,
    reason: String,
}

/// Whether a receiver has failed for so long, and so often, that its endpoint is stopped.
fn fails_for_good(failing: Failing) -> bool {
    let time = Duration::try_from(now().duration_since(failing.since));
    failing.attempts >= FAILURES_AT_LEAST && time.is_ok_and(|time| time >= FAILS_AT_MOST)
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
