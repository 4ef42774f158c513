//! Reads where all gateways count together.

use std::{num::NonZeroU64, time::Duration};

use service::config::{Read, Settings};

use crate::limits::{FleetConfig, RedisAddress};

/// Milliseconds that a call may wait for Redis, at most.
const MOST_MS: u64 = 1000;

pub(super) fn read(settings: &mut Settings) -> Read<Option<FleetConfig>> {
    let address = settings.optional::<RedisAddress>("redis_url");
    let patience = settings.checked("redis_timeout_ms", |millis: &NonZeroU64| {
        if millis.get() <= MOST_MS { Ok(()) } else { Err(format!("must be at most {MOST_MS}: each call waits for it")) }
    });
    let patience = Duration::from_millis(patience?.get());
    Ok(address?.map(|address| FleetConfig { address, patience }))
}
