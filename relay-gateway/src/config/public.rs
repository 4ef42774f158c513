//! The public listener: which proxies it trusts, which of the admin service's paths it passes through, and its bounds.

use service::{
    config::{Read, Settings},
    laptop::{Exposure, Laptop},
    serve::Bounds,
};

use super::values::{HttpUrl, List, Network};

/// The public listener.
#[derive(Clone, Debug)]
pub struct Public {
    /// The paths of the REST facade that are passed through.
    pub exposed: Exposed,
    /// Whether this deployment is one that only its own machine reaches.
    pub laptop: Laptop,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub(super) trusted_proxies: List<Network>,
    pub(super) bounds: Bounds,
}

/// The paths of the REST facade that are passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// Paths that the operators' key opens.
    pub admin_api: Exposure,
    /// Paths that account keys open.
    pub developer_api: bool,
}

impl Public {
    pub(super) fn read(settings: &mut Settings) -> Read<Self> {
        let listen = settings.required("listen");
        let relay_url = settings.optional::<HttpUrl>("relay_url");
        let trusted_proxies = settings.optional("trusted_proxies");
        let admin_api = settings.optional("expose_admin_api");
        let developer_api = settings.required("expose_developer_api");
        let bounds = read_bounds(settings);
        let trusted_proxies = trusted_proxies?;
        let laptop = Laptop::new(listen?, relay_url?.is_some(), trusted_proxies.is_some());
        Ok(Self {
            exposed: Exposed { admin_api: laptop.exposure(admin_api?), developer_api: developer_api? },
            laptop,
            trusted_proxies: trusted_proxies.unwrap_or(List(Vec::new())),
            bounds: bounds?,
        })
    }
}

fn read_bounds(settings: &mut Settings) -> Read<Bounds> {
    let header_timeout = settings.millis("header_timeout_ms");
    let write_timeout = settings.millis("write_timeout_ms");
    let max_connections =
        settings.checked(
            "max_connections",
            |count: &usize| {
                if *count > 0 { Ok(()) } else { Err("must be at least 1".to_owned()) }
            },
        );
    let drain_delay = settings.millis_or_zero("drain_delay_ms");
    let drain_timeout = settings.millis("drain_timeout_ms");
    Ok(Bounds {
        header_timeout: header_timeout?,
        write_timeout: write_timeout?,
        max_connections: max_connections?,
        drain_delay: drain_delay?,
        drain_timeout: drain_timeout?,
    })
}
