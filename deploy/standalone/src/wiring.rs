//! Makes each service's configuration: how it behaves was read, and where its neighbours are is known at the start.

use std::{net::SocketAddr, num::NonZeroUsize, time::Duration};

use admin_service::MasterKeys;
use relay_gateway::config::{AdminTls, HttpUrl, List};
use secrecy::SecretString;
use service::config::SecretList;

use crate::config::Config;

/// What the admin service needs and only the start knows.
#[derive(Debug)]
pub(crate) struct AdminWiring {
    pub(crate) database_url: SecretString,
    pub(crate) api_key: SecretList,
    pub(crate) master_keys: MasterKeys,
    pub(crate) grpc_token: SecretList,
    pub(crate) relay_secret: SecretList,
    pub(crate) relay_url: HttpUrl,
}

/// What the gateway needs and only the start knows.
#[derive(Debug)]
pub(crate) struct GatewayWiring {
    pub(crate) admin_grpc: SocketAddr,
    pub(crate) admin_rest: SocketAddr,
    pub(crate) grpc_token: SecretList,
    pub(crate) relay_secret: SecretList,
    pub(crate) backend_url: HttpUrl,
}

/// The admin service's configuration.
pub(crate) fn admin(config: &Config, known: AdminWiring) -> admin_service::config::Config {
    let wiring = admin_service::config::Wiring {
        rest_listen: config.admin_listen,
        grpc_listen: config.grpc_listen,
        grpc_tls: None,
        // Metrics of both services are served together.
        ops_listen: None,
        database_url: known.database_url,
        api_key: known.api_key,
        master_keys: known.master_keys,
        grpc_token: known.grpc_token,
        // The chat backend publishes with what the gateway calls it with.
        relay_secrets: Some(known.relay_secret),
        events_token: config.events_token.clone(),
        relay_url: known.relay_url.as_url().clone(),
        // The gateway and the chat backend end first, and then nobody calls any more.
        drain_delay: Duration::ZERO,
        telemetry: config.telemetry.clone(),
    };
    admin_service::config::Config::new(wiring, config.admin.clone())
}

/// The gateway's configuration.
pub(crate) fn gateway(config: &Config, known: GatewayWiring) -> relay_gateway::config::Config {
    let wiring = relay_gateway::config::Wiring {
        listen: config.listen,
        ops_listen: None,
        id: "standalone".to_owned(),
        // One worker: this runtime, whose threads the services share.
        threads: NonZeroUsize::MIN,
        admin_urls: List(vec![HttpUrl::at(known.admin_grpc)]),
        admin_tls: AdminTls::default(),
        admin_token: known.grpc_token,
        admin_rest: HttpUrl::at(known.admin_rest),
        backend_url: known.backend_url,
        relay_secret: known.relay_secret,
        tls: None,
        fleet: None,
        telemetry: config.telemetry.clone(),
        descriptors_each: if config.backend.url.is_none() { 3 } else { 2 },
    };
    relay_gateway::config::Config::new(wiring, config.gateway.clone())
}
