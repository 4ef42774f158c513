//! How events are delivered.

use std::{str::FromStr, time::Duration};

use ipnet::IpNet;
use service::config::{Read, Settings};

use crate::domain::callback_ports::PortRanges;

/// How events are delivered.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// The pause before the second attempt.
    pub(crate) retry_base: Duration,
    /// How long one attempt may take.
    pub(crate) timeout: Duration,
    /// How many attempts go to one receiver at the same time, at most.
    pub(crate) parallel: usize,
    /// The ports that callbacks may have.
    pub(crate) ports: PortRanges,
    /// Networks that callbacks may be in although they are not public.
    pub(crate) allowed_networks: Vec<IpNet>,
    /// How long events are kept that are done.
    pub(crate) retention: Duration,
}

/// Networks, separated by commas.
struct Networks(Vec<IpNet>);

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = |text: &str| {
            text.trim().parse().map_err(|_| format!("{:?} is no network such as 10.0.0.0/8 or fd00::/8", text.trim()))
        };
        text.split(',').map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl WebhookConfig {
    pub(super) fn read(settings: &mut Settings) -> Read<Self> {
        let retry_base = settings.millis("webhook_retry_base_ms");
        let timeout = settings.checked("webhook_timeout_ms", |timeout: &u64| {
            if (100..=60_000).contains(timeout) { Ok(()) } else { Err("must be 100 to 60000".to_owned()) }
        });
        let parallel = settings.checked("webhook_parallel", |count: &usize| {
            if (1..=64).contains(count) { Ok(()) } else { Err("must be 1 to 64".to_owned()) }
        });
        let ports = settings.required("webhook_ports");
        let allowed_networks = settings.optional::<Networks>("webhook_allowed_networks");
        let retention = settings.checked("event_retention_days", |days: &u64| {
            if (4..=3650).contains(days) {
                Ok(())
            } else {
                Err("must be 4 to 3650: an event is tried for more than three days".to_owned())
            }
        });
        Ok(Self {
            retry_base: retry_base?,
            timeout: timeout.map(Duration::from_millis)?,
            parallel: parallel?,
            ports: ports?,
            allowed_networks: allowed_networks?.map(|Networks(networks)| networks).unwrap_or_default(),
            retention: retention.map(|days| Duration::from_hours(24 * days))?,
        })
    }

    /// Lets callbacks be on this machine: for a laptop, where the receiver is tried out beside the relay.
    pub fn allow_loopback(&mut self) {
        self.allowed_networks
            .extend(["127.0.0.0/8", "::1/128"].iter().filter_map(|network| network.parse::<IpNet>().ok()));
    }
}
