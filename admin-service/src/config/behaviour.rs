//! How an admin service behaves, wherever it and its neighbours are.

use std::time::Duration;

use coherence::LONGEST_LEASE_MS;
use service::config::{Read, Settings};

use super::{database::DatabaseBounds, webhooks::WebhookConfig};

/// Gateways ask three times a lease; below this they would do little else.
const SHORTEST_LEASE_MS: u64 = 250;

/// Every setting that says nothing of where things are.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// How many connections the database may have, and how long a statement may take.
    pub database: DatabaseBounds,
    /// The tokens that are signed.
    pub tokens: TokenConfig,
    /// How events are delivered.
    pub webhooks: WebhookConfig,
    /// How long a gateway may use what it has cached before it must ask again.
    pub lease: Duration,
    /// How long requests in flight get when the process stops.
    pub drain_timeout: Duration,
    /// Whether each REST request leaves a log line.
    pub access_log: bool,
}

/// The tokens that are signed.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// Their `iss`.
    pub issuer: String,
    /// How long an operator's token lives.
    pub operator_ttl: Duration,
    /// How long a widget session's token lives.
    pub visitor_ttl: Duration,
}

impl Behaviour {
    /// Reads and checks it.
    ///
    /// # Errors
    /// Problems, already noted.
    pub fn read(settings: &mut Settings) -> Read<Self> {
        let database = DatabaseBounds::read(settings);
        let tokens = TokenConfig::read(settings);
        let webhooks = WebhookConfig::read(settings);
        let lease = settings.checked("lease_ms", |lease: &u64| {
            if (SHORTEST_LEASE_MS..=LONGEST_LEASE_MS).contains(lease) {
                Ok(())
            } else {
                Err(format!("must be {SHORTEST_LEASE_MS} to {LONGEST_LEASE_MS}"))
            }
        });
        let drain_timeout = settings.millis_or_zero("drain_timeout_ms");
        let why = "when the process stops, a change may still wait for a lease";
        let fits = settings.check_at_most("lease_ms", "drain_timeout_ms", why);
        let access_log = settings.required("access_log");
        fits?;
        Ok(Self {
            database: database?,
            tokens: tokens?,
            webhooks: webhooks?,
            lease: lease.map(Duration::from_millis)?,
            drain_timeout: drain_timeout?,
            access_log: access_log?,
        })
    }
}

impl TokenConfig {
    fn read(settings: &mut Settings) -> Read<Self> {
        let issuer = settings.required("token_issuer");
        let operator_ttl = settings.required("operator_token_ttl_seconds").map(Duration::from_secs);
        let visitor_ttl = settings.checked("visitor_token_ttl_seconds", |seconds: &u64| {
            if (60..=86_400).contains(seconds) { Ok(()) } else { Err("must be 60 to 86400".to_owned()) }
        });
        Ok(Self { issuer: issuer?, operator_ttl: operator_ttl?, visitor_ttl: visitor_ttl.map(Duration::from_secs)? })
    }
}
