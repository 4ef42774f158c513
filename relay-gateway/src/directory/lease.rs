//! The lease as requests see it: one number, read without a lock.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use coherence::Millis;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::gauge::ConstGauge,
    registry::Unit,
};
use service::telemetry::metrics::Metrics;
use wire::time::since_boot_ms;

/// Whether the cache may be used. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaseView(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// 0 where there is no lease.
    until: AtomicU64,
    /// When the lease was asked for; 0 where there never was one.
    asked: AtomicU64,
}

impl LeaseView {
    /// One that `/metrics` shows the age of.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let made = Self::default();
        metrics.register(|registry| registry.register_collector(Box::new(made.clone())));
        made
    }

    /// Whether what is cached at this moment may be used for a request that begins at this moment.
    pub(crate) fn is_held(&self) -> bool {
        // `Acquire`: a call that sees the renewed lease must also see that the entries dropped before the renewal are gone.
        since_boot_ms() < self.0.until.load(Ordering::Acquire)
    }

    /// Whether there ever was a lease that was not given up.
    pub(crate) fn was_ever_held(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed) > 0
    }

    pub(super) fn set(&self, until: Millis, asked: Millis) {
        self.0.asked.store(asked, Ordering::Relaxed);
        self.0.until.store(until, Ordering::Release);
    }
}

impl Collector for LeaseView {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let asked = self.0.asked.load(Ordering::Relaxed);
        if asked > 0 {
            // Whole milliseconds, far below where f64 would round.
            let age = ConstGauge::new(since_boot_ms().saturating_sub(asked) as f64 / 1000.0);
            let help = "Time since the newest lease was asked for: above its length, the cache is not used";
            age.encode(encoder.encode_descriptor(
                "directory_lease_age",
                help,
                Some(&Unit::Seconds),
                age.metric_type(),
            )?)?;
        }
        let held = ConstGauge::new(i64::from(self.is_held()));
        let help = "1 while the cache may be used, 0 while every request asks the admin service";
        held.encode(encoder.encode_descriptor("directory_lease_held", help, None, held.metric_type())?)
    }
}
