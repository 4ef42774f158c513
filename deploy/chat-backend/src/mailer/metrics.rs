//! What Prometheus is shown of mails.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use service::telemetry::metrics::Metrics;

/// What became of an attempt.
pub(super) enum Sent {
    Taken,
    /// The mail server will never take it.
    Refused,
    /// Nobody took it now.
    Later,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// Counts attempts.
pub(super) struct MailMetrics(Family<Outcome, Counter>);

impl MailMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let attempts = Family::<Outcome, Counter>::default();
        metrics.register(|registry| {
            registry.register(
                "chat_backend_mails",
                "Attempts to mail answers to visitors: sent, failed (tried again) or refused (given up)",
                attempts.clone(),
            );
        });
        Self(attempts)
    }

    pub(super) fn note(&self, sent: &Sent) {
        let outcome = match sent {
            Sent::Taken => "sent",
            Sent::Later => "failed",
            Sent::Refused => "refused",
        };
        self.0.get_or_create(&Outcome { outcome }).inc();
    }
}
