//! Tenants' secrets, rotated, and tenants, suspended and reactivated.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{
    fleet::Fleet, percentile::percentile, postgres::Postgres, process::PATIENCE, scale, signed::Tenant, world::Operator,
};
use reqwest::{Client, Method};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    faults::{LEASE, ROUNDS, Waits, break_everything, check_logs, end},
    seen::{Known, Seen},
};

/// Changes of each tenant in a run at full size.
const MUTATIONS: usize = 2000;

/// What is known of one tenant by the one who changes it.
#[derive(Debug, Default)]
struct Truth {
    /// The newest secret, the one before it where an overlap keeps that, and those that a change which has returned has put out of use.
    current: String,
    previous: Option<String>,
    retired: Vec<String>,
    /// One of which nobody knows whether it is accepted: the rotation with overlap that was to keep it was made twice.
    uncertain: Option<String>,
    suspended: bool,
    /// Moves before each change and after it.
    version: u64,
    /// A change is under way, or was when its caller lost sight of it.
    unsettled: bool,
}

impl Truth {
    /// A change has returned. `is_certain` says whether it was made once.
    fn settle(&mut self, action: Action, secret: Option<String>, is_certain: bool) {
        self.version += 1;
        self.unsettled = false;
        if let Action::Rotate | Action::RotateWithOverlap | Action::RevokePrevious = action {
            self.retired.extend(self.previous.take().into_iter().chain(self.uncertain.take()));
        }
        let replaced = secret.map(|secret| std::mem::replace(&mut self.current, secret));
        match action {
            Action::Rotate => self.retired.extend(replaced),
            Action::RotateWithOverlap if is_certain => self.previous = replaced,
            Action::RotateWithOverlap => self.uncertain = replaced,
            Action::RevokePrevious => {}
            Action::Suspend | Action::Reactivate => self.suspended = action == Action::Suspend,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Rotate,
    RotateWithOverlap,
    RevokePrevious,
    Suspend,
    Reactivate,
}

impl Action {
    fn path(self, tenant_id: &str) -> String {
        let (path, further) = match self {
            Self::Rotate => ("rotate/tenant-secret", ""),
            Self::RotateWithOverlap => ("rotate/tenant-secret", "&grace_seconds=86400"),
            Self::RevokePrevious => ("revoke/previous-secret", ""),
            Self::Suspend => ("suspend/tenant", ""),
            Self::Reactivate => ("reactivate/tenant", ""),
        };
        format!("/{path}?tenant_id={tenant_id}{further}")
    }
}

#[derive(Clone)]
struct Subject {
    tenant: Tenant,
    truth: Arc<Mutex<Truth>>,
}

/// One client of one gateway: signs with a secret that is accepted or one that is retired, and judges the answer by what
/// was certain before it asked.
async fn hammer(relay: String, subjects: Vec<Subject>, seen: Arc<Seen>, over: Arc<AtomicBool>) {
    let client = Client::builder().timeout(LEASE * 3).build().expect("a client");
    while !over.load(Ordering::Relaxed) {
        let subject = &subjects[fastrand::usize(..subjects.len())];
        let mut tenant = subject.tenant.clone();
        let (retired, before, settled, suspended) = {
            let truth = subject.truth.lock().expect("not poisoned");
            let retired = !truth.retired.is_empty() && fastrand::bool();
            // The newest of the retired are those that are easily still in use: a change may retire two.
            let newest = truth.retired.len().saturating_sub(2)..;
            let newest_retired = fastrand::choice(&truth.retired[newest]).unwrap_or(&truth.current);
            let accepted = truth.previous.as_ref().filter(|_| fastrand::bool()).unwrap_or(&truth.current);
            tenant.secret = if retired { newest_retired } else { accepted }.clone();
            (retired, truth.version, !truth.unsettled, truth.suspended)
        };
        let body = format!("{{\"nonce\":\"{:x}\"}}", fastrand::u128(..));
        let answer = tenant.request(&client, Method::POST, &format!("{relay}/add/message"), body).send().await;
        let unchanged = subject.truth.lock().expect("not poisoned").version == before && settled;
        let known = Known { retired, shut_out: suspended, unchanged };
        let answer = match answer {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(error) if error.is_timeout() => Err("no answer".to_owned()),
            Err(error) => Err(format!("{error:?}")),
        };
        seen.judge(&format!("{relay} {}", tenant.id), known, answer);
        // Enough to meet every change many times, and not so much that the machine does nothing else.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Changes one tenant again and again, at whichever replica answers.
async fn change(subject: Subject, operators: Vec<Operator>, waits: Arc<Waits>, over: impl Fn() -> bool) {
    while !over() {
        let pauses = waits.pauses.load(Ordering::SeqCst);
        let suspended = subject.truth.lock().expect("not poisoned").suspended;
        let action = match fastrand::u8(..6) {
            _ if suspended => Action::Reactivate,
            0 => Action::Suspend,
            1 | 2 => Action::RotateWithOverlap,
            3 => Action::RevokePrevious,
            _ => Action::Rotate,
        };
        {
            let mut truth = subject.truth.lock().expect("not poisoned");
            truth.version += 1;
            truth.unsettled = true;
        }
        let (path, mut is_certain) = (action.path(&subject.tenant.id), true);
        // One whose outcome is not known is made again until it is.
        let deadline = Instant::now() + PATIENCE;
        let answer = loop {
            let operator = &operators[fastrand::usize(..operators.len())];
            match operator.try_call("POST", &path, None).await {
                Ok((200, answer)) => break answer,
                Ok((503, _)) | Err(_) => {
                    is_certain = false;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok((status, answer)) => panic!("{path} answered {status}: {answer}"),
            }
            assert!(Instant::now() < deadline, "{path} does not succeed");
        };
        let still = pauses.is_multiple_of(2) && waits.pauses.load(Ordering::SeqCst) == pauses;
        let list = if still { &waits.of_all } else { &waits.of_replicas_paused };
        list.lock().expect("not poisoned").push(answer["data"]["propagation"]["waited_ms"].as_u64().expect("a time"));
        let secret = answer["data"]["tenant_secret"].as_str().map(str::to_owned);
        subject.truth.lock().expect("not poisoned").settle(action, secret, is_certain);
        // Long enough for clients to see what is true now.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..100))).await;
    }
}

async fn subjects(operator: &Operator, count: usize) -> Vec<Subject> {
    let mut made = Vec::new();
    for index in 0..count {
        let fields = json!({"tenant_name": format!("Subject {index}"), "rate_limit_per_min": 6_000_000});
        let tenant = operator.provision(fields).await;
        let truth = Truth { current: tenant.secret.clone(), ..Truth::default() };
        made.push(Subject { tenant, truth: Arc::new(Mutex::new(truth)) });
    }
    made
}

async fn nothing_stale_is_accepted(postgres: Option<&Postgres>) {
    let url = postgres.map(|postgres| postgres.database("relay"));
    let lease = LEASE.as_millis().to_string();
    let mut fleet = Fleet::start(url.as_deref(), 3, &[("ADMIN_LEASE_MS", &lease), ("ADMIN_ACCESS_LOG", "false")]).await;
    let subjects = subjects(&fleet.replicas[0].operator(), 4).await;
    let operators: Vec<Operator> = fleet.replicas.iter().map(e2e::fleet::Replica::operator).collect();
    let (seen, waits) = (Arc::new(Seen::default()), Arc::new(Waits::default()));
    let (broken, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));

    let clients: Vec<JoinHandle<()>> = fleet
        .gateways
        .iter()
        .flat_map(|gateway| [gateway.relay; 3])
        .map(|relay| {
            let relay = format!("http://{relay}/api/v1/relay");
            tokio::spawn(hammer(relay, subjects.clone(), Arc::clone(&seen), Arc::clone(&over)))
        })
        .collect();
    let changers: Vec<JoinHandle<()>> = subjects
        .iter()
        .map(|subject| {
            let (broken, counted) = (Arc::clone(&broken), Arc::clone(&waits));
            let over = move || broken.load(Ordering::Relaxed) && counted.count() >= scale::of(MUTATIONS);
            tokio::spawn(change(subject.clone(), operators.clone(), Arc::clone(&waits), over))
        })
        .collect();
    let faults = break_everything(&mut fleet, postgres, &waits, scale::of(ROUNDS)).await;
    end((&broken, changers), (&over, clients)).await;
    // Once the registrations of what was killed have run out, nothing of it is left: every gateway is heard, at once.
    let (deadline, mut healthy) = (Instant::now() + LEASE * 5, 0);
    for (operator, subject) in operators.iter().cycle().zip(subjects.iter().cycle()) {
        let path = format!("/rotate/tenant-secret?tenant_id={}", subject.tenant.id);
        let (_, answer) = operator.call("POST", &path, None).await;
        let propagation = &answer["data"]["propagation"];
        let at_once = propagation["waited_ms"].as_u64().is_some_and(|ms| u128::from(ms) < LEASE.as_millis() / 2);
        let heard = (&propagation["gateways"], &propagation["acknowledged"]) == (&json!(3), &json!(3));
        healthy = if at_once && heard { healthy + 1 } else { 0 };
        if healthy == 8 {
            break;
        }
        assert!(Instant::now() < deadline, "changes are slow for good: {answer}");
    }
    check_logs(&fleet);

    let paused = waits.of_replicas_paused.lock().expect("not poisoned").len();
    let mut waits = std::mem::take(&mut *waits.of_all.lock().expect("not poisoned"));
    waits.sort_unstable();
    eprintln!("faults: {faults:?}");
    let at = |percent| percentile(&waits, percent);
    eprintln!(
        "{} mutations waited {} / {} / {} ms (p50 / p90 / most), and {paused} while a replica was paused",
        waits.len(),
        at(50),
        at(90),
        at(100)
    );
    assert!(waits.len() >= scale::of(MUTATIONS) && u128::from(at(100)) <= (LEASE + Duration::from_secs(1)).as_millis());
    seen.check(1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stale_is_accepted_on_sqlite() {
    nothing_stale_is_accepted(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stale_is_accepted_on_postgres_with_two_replicas() {
    let postgres = Postgres::start();
    nothing_stale_is_accepted(Some(&postgres)).await;
}
