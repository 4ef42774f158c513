//! Counts of the whole fleet, in Redis or Valkey: what a signature was used for, tenants' rates, and sessions of widget keys.
//!
//! Each worker has a connection of its own, on which calls are pipelined, and each call asks once. If Redis is away, slow, full or
//! read-only, the gateway counts alone: each limit is divided by the number of gateways. A call waits for Redis at most
//! [`FleetConfig::patience`], and no call waits for a connection that is known to be lost.

mod address;
mod connection;
mod keys;
mod link;
mod probe;
mod scripts;

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

pub use address::RedisAddress;
use service::workers::{PerWorker, Workers};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use uuid::Uuid;
use wire::TenantId;

use self::{
    connection::Connection,
    link::{Link, Missing},
    scripts::{ADMIT, Asked, BEGIN_SESSION, GIVE_BACK, KEEP_MS},
};
use super::{
    limit::{Allowance, Exceeded, Limit, Now, PERIOD_S},
    local::{TenantRate, whole_seconds},
    signature_use::{SignedUse, Use},
};
use crate::metrics::{FleetMetrics, GatewayCount};

/// How long a gateway waits for Redis before it takes its first call.
const FIRST_CONNECTION: Duration = Duration::from_secs(1);

/// How often a connection that nobody uses is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long connecting may take, with names, TLS, Sentinels and the first answers.
const OPEN_WITHIN: Duration = Duration::from_secs(3);

/// How long the gateway waits for an answer after its call went on. If none comes, the connection is given up.
const LATE_WITHIN: Duration = Duration::from_millis(50);

/// How long a signature that is given back may take to arrive.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(30);

/// The pauses between attempts to connect: the first and, twice as long each time, the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(3)];

/// Where the fleet counts.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// Redis or Valkey.
    pub address: RedisAddress,
    /// How long a call may wait for it.
    pub patience: Duration,
}

/// What the gateways count together.
pub(crate) struct Fleet {
    config: FleetConfig,
    /// Shared with the tasks that wait for late answers.
    links: Arc<PerWorker<Link>>,
    gateways: GatewayCount,
    /// How many workers are connected, of how many.
    connected: watch::Sender<Connected>,
    metrics: FleetMetrics,
}

#[derive(Clone, Copy, Default)]
struct Connected {
    links: usize,
    of: usize,
}

impl Connected {
    fn is_whole(self) -> bool {
        self.links == self.of
    }
}

/// What the fleet's count says of a signed call.
pub(super) enum Admission {
    /// It is admitted. The signature is given back when the hold is dropped unspent.
    Admitted(Allowance, Hold),
    /// The signature was used before.
    Replayed,
    /// The tenant's rate is spent.
    RateSpent(Exceeded, Allowance),
    /// Redis did not answer: this gateway decides alone. If it was asked, the signature may be reserved there all the same.
    Unknown(Option<Hold>),
}

/// A signature that is reserved in Redis. Dropped unspent, it is given back there, and nobody waits for that.
#[must_use = "dropping it gives the signature back"]
pub(super) struct Hold {
    /// `None` where there is nothing to give back: a read reserves nothing.
    reserved: Option<Reserved>,
    is_spent: bool,
}

/// What was reserved: the key, its field, and the value that only this call has written.
struct Reserved {
    key: Vec<u8>,
    field: scripts::Field,
    token: u64,
    /// The connection that was asked. There, the call that gives back follows on the one that reserved.
    at: Connection,
}

impl Fleet {
    pub(crate) fn new(config: FleetConfig, gateways: GatewayCount, metrics: FleetMetrics) -> Self {
        Self { config, links: Arc::default(), gateways, connected: watch::Sender::default(), metrics }
    }

    /// Connects each worker, keeps it connected as long as its runtime runs, and waits a moment for the first connections.
    pub(crate) async fn connect(self: &Arc<Self>, workers: &Workers) {
        // Where there are more workers than links, some share one.
        let of = workers.count().min(self.links.iter().count());
        self.connected.send_modify(|connected| connected.of = of);
        workers.spawn_on_each(|| {
            let fleet = Arc::clone(self);
            async move {
                if fleet.links.take_charge() {
                    fleet.keep_connected().await;
                }
            }
        });
        let mut connected = self.connected.subscribe();
        let whole = connected.wait_for(|connected| connected.is_whole());
        if timeout(FIRST_CONNECTION, whole).await.is_err() {
            tracing::warn!("Redis does not answer yet: this gateway counts alone until it does");
        }
    }

    /// Whether every worker counts in Redis.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.borrow().is_whole()
    }

    /// The number of gateways, 1 at least. While this gateway counts alone, it charges each call so many times, and thereby admits its share.
    pub(super) fn gateways(&self) -> u32 {
        self.gateways.get().max(1)
    }

    /// Reserves the signature and spends one call of the tenant's rate, in one step. A replay spends nothing.
    pub(super) async fn admit(&self, call: &SignedUse<'_>, tenant: TenantRate, now: Now) -> Admission {
        let Some(connection) = self.connection() else { return Admission::Unknown(None) };
        let signature_key = keys::signature(tenant.id, call.signature);
        let (field, token) = (scripts::Field::of(call.used), fastrand::u64(..));
        let keep_until = call.timestamp_ms + KEEP_MS;
        let keep_ms = (keep_until - now.unix_ms).max(1);
        let rate_key = keys::rate(tenant);
        let each = each_us(PERIOD_S, tenant.per_min);
        let asked = ADMIT.with(|call| {
            call.arg(&rate_key[..]).arg(&signature_key[..]);
            call.arg(field.kind()).arg(field.as_bytes()).arg(&token.to_ne_bytes()).arg(keep_ms).arg(keep_until);
            call.arg(each).arg(tenant.per_min.get());
        });
        let reserved =
            (call.used != Use::Read).then(|| Reserved { key: signature_key, field, token, at: connection.0.clone() });
        // Made before Redis is asked: if the caller leaves meanwhile, the signature is given back.
        let mut hold = Hold { reserved, is_spent: false };
        let limit = tenant.per_min.get();
        match self.ask(connection, asked).await {
            Ok((0, remaining)) => {
                let remaining = u32::try_from(remaining).unwrap_or(0);
                Admission::Admitted(Allowance::after(limit, remaining), hold)
            }
            Ok((1, _)) => {
                hold.reserved = None;
                Admission::Replayed
            }
            Ok((_, wait_us)) => {
                hold.reserved = None;
                let retry_after_s = whole_seconds(micros(wait_us));
                let exceeded = Exceeded { limit: Limit::TenantRate(limit), retry_after_s };
                Admission::RateSpent(exceeded, Allowance { limit, remaining: 0, reset_s: retry_after_s })
            }
            Err(Unknown) => Admission::Unknown(Some(hold)),
        }
    }

    /// Spends one session of the widget key and of the address's share. What is refused spends nothing.
    ///
    /// # Errors
    /// [`Unknown`] where Redis says nothing; inside, [`Limit::KeyShare`] and [`Limit::KeySessions`].
    pub(super) async fn begin_session(
        &self,
        tenant: TenantId,
        key: Uuid,
        per_hour: NonZeroU32,
        network: IpAddr,
    ) -> Result<Result<(), Exceeded>, Unknown> {
        let connection = self.connection().ok_or(Unknown)?;
        let [whole, share] = keys::sessions(tenant, key, per_hour, network);
        let each = each_us(3600, per_hour);
        let asked = BEGIN_SESSION.with(|call| {
            call.arg(&whole[..]).arg(&share[..]).arg(each).arg(per_hour.get());
        });
        let (refused, wait_us) = self.ask(connection, asked).await?;
        let limit = match refused {
            0 => return Ok(Ok(())),
            1 => Limit::KeyShare,
            _ => Limit::KeySessions(per_hour.get()),
        };
        Ok(Err(Exceeded { limit, retry_after_s: whole_seconds(micros(wait_us)) }))
    }

    fn connection(&self) -> Option<(Connection, u64)> {
        let connection = self.links.connection();
        if connection.is_none() {
            self.metrics.counted_alone("disconnected");
        }
        connection
    }

    /// Asks once, and waits for the answer as long as a call may. An answer that comes later is still heard: a call that Redis has not been
    /// told of by then could be replayed at another gateway.
    async fn ask(&self, (mut connection, number): (Connection, u64), asked: Asked) -> Result<(i64, i64), Unknown> {
        let sent = Instant::now();
        let mut answer = Box::pin(async move { asked.send(&mut connection).await });
        let in_time = timeout(self.config.patience, &mut answer).await;
        let took = sent.elapsed();
        let outcome = match in_time {
            Ok(Ok(answer)) => {
                self.links.was_in_time(number);
                self.metrics.asked("answered", took);
                return Ok(answer);
            }
            Ok(Err(error)) => {
                self.links.lose(number, Missing::Failed(error.to_string()));
                "failed"
            }
            Err(_) => {
                self.links.was_late(number);
                let links = Arc::clone(&self.links);
                tokio::spawn(async move {
                    match timeout(LATE_WITHIN, answer).await {
                        Ok(Ok(_)) => {}
                        Ok(Err(error)) => links.lose(number, Missing::Failed(error.to_string())),
                        Err(_) => links.lose(number, Missing::Silent),
                    }
                });
                "late"
            }
        };
        self.metrics.asked(outcome, took);
        self.metrics.counted_alone(outcome);
        Err(Unknown)
    }

    /// Keeps this worker connected.
    async fn keep_connected(&self) {
        let mut pause = PAUSES[0];
        let mut is_known = false;
        loop {
            match self.open().await {
                Ok(connection) => {
                    let opened = Instant::now();
                    self.links.connected(connection);
                    self.note_connected(1);
                    let why = self.links.lost(LOOK_EVERY).await;
                    self.links.iter().for_each(Link::look);
                    if self.note_connected(-1) {
                        tracing::warn!(%why, "Redis is lost: this gateway counts alone, with its share of each limit");
                    }
                    is_known = true;
                    if opened.elapsed() > PAUSES[1] {
                        pause = PAUSES[0];
                    }
                }
                Err(error) if is_known => tracing::debug!(%error, "Redis is still away"),
                Err(error) => {
                    tracing::warn!(%error, redis = ?self.config.address, "Redis cannot be counted in: this gateway counts alone");
                    is_known = true;
                }
            }
            sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
            pause = (pause * 2).min(PAUSES[1]);
        }
    }

    async fn open(&self) -> Result<Connection, String> {
        let opened = timeout(OPEN_WITHIN, async {
            let mut connection = Connection::open(&self.config.address).await?;
            probe::check(&mut connection, self.config.patience).await?;
            Ok(connection)
        });
        let opened = opened.await.map_err(|_| "it does not answer".to_owned())?;
        opened.map_err(|error: redis::RedisError| error.to_string())
    }

    /// Answers whether this changed whether all workers are connected.
    fn note_connected(&self, by: isize) -> bool {
        let mut has_changed = false;
        self.connected.send_modify(|connected| {
            let was = connected.is_whole();
            connected.links = connected.links.saturating_add_signed(by);
            has_changed = was != connected.is_whole();
            self.metrics.connected(connected.links);
            if has_changed && connected.is_whole() {
                tracing::info!(redis = ?self.config.address, "rates and replays are counted for all gateways, in Redis");
            }
        });
        has_changed
    }
}

/// Redis said nothing.
#[derive(Debug)]
pub(super) struct Unknown;

impl Hold {
    /// The call goes out: the signature stays taken.
    pub(super) fn spend(&mut self) {
        self.is_spent = true;
    }

    /// Nothing of the call went out after all.
    pub(super) fn give_back(mut self) {
        self.is_spent = false;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(Reserved { key, field, token, mut at }) = self.reserved.take().filter(|_| !self.is_spent) else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let asked = GIVE_BACK.with(|call| {
                call.arg(&key[..]).arg(field.as_bytes()).arg(&token.to_ne_bytes());
            });
            // Where it does not arrive, the signature stays taken until it is forgotten.
            if let Ok(Err(error)) = timeout(GIVE_BACK_WITHIN, asked.send::<i64>(&mut at)).await {
                tracing::debug!(%error, "a signature was not given back");
            }
        });
    }
}

/// What one of `limit` costs in a period, rounded up, in microseconds.
fn each_us(period_s: u64, limit: NonZeroU32) -> u64 {
    (period_s * 1_000_000).div_ceil(u64::from(limit.get()))
}

fn micros(wait_us: i64) -> Duration {
    Duration::from_micros(u64::try_from(wait_us).unwrap_or(0))
}
