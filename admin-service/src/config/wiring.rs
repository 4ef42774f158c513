//! Where this admin service and its neighbours are, and their secrets.

use std::{net::SocketAddr, time::Duration};

use secrecy::SecretString;
use service::{
    config::{Read, SecretList, Settings},
    serve::TlsFiles,
    telemetry::TelemetryConfig,
};
use url::Url;

use super::database;
use crate::sealing::MasterKeys;

/// What connects an admin service with the rest of its deployment.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// Where operators reach the REST facade.
    pub rest_listen: SocketAddr,
    /// Where gateways reach gRPC.
    pub grpc_listen: SocketAddr,
    /// The certificates of gRPC, where both ends show one.
    pub grpc_tls: Option<TlsFiles>,
    /// Where Prometheus reaches `/metrics`, if anywhere.
    pub ops_listen: Option<SocketAddr>,
    /// The database: `sqlite:` or `postgres:`.
    pub database_url: SecretString,
    /// What is accepted as `X-Admin-Key`.
    pub api_key: SecretList,
    /// What seals secrets at rest.
    pub master_keys: MasterKeys,
    /// The bearer tokens accepted from gateways.
    pub grpc_token: SecretList,
    /// What chat backends may sign publications with (HMAC#2), if any may over HTTP.
    pub relay_secrets: Option<SecretList>,
    /// The bearer tokens that publish over gRPC, beside the admin key.
    pub events_token: Option<SecretList>,
    /// Where browsers reach the relay: what embed codes name.
    pub relay_url: Url,
    /// How long new connections are still taken when the process stops.
    pub drain_delay: Duration,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

impl Wiring {
    /// Reads the settings of an admin service that is a process of its own.
    ///
    /// # Errors
    /// Problems, already noted.
    pub fn read(settings: &mut Settings) -> Read<Self> {
        let rest_listen = settings.required("rest_listen");
        let grpc_listen = settings.required("grpc_listen");
        let grpc_tls = TlsFiles::read_mutual(settings, "grpc_");
        let ops_listen = settings.optional("ops_listen");
        let database_url = database::read_url(settings);
        let api_key = settings.secrets("api_key");
        let master_keys = settings.required("master_keys");
        let grpc_token = settings.secrets("grpc_token");
        let relay_secrets = settings.optional_secrets("relay_secrets");
        let events_token = settings.optional_secrets("events_token");
        let relay_url = settings.checked("relay_url", check_relay_url);
        let drain_delay = settings.millis_or_zero("drain_delay_ms");
        let telemetry = TelemetryConfig::read(settings);
        Ok(Self {
            rest_listen: rest_listen?,
            grpc_listen: grpc_listen?,
            grpc_tls: grpc_tls?,
            ops_listen: ops_listen?,
            database_url: database_url?,
            api_key: api_key?,
            master_keys: master_keys?,
            grpc_token: grpc_token?,
            relay_secrets: relay_secrets?,
            events_token: events_token?,
            relay_url: relay_url?,
            drain_delay: drain_delay?,
            telemetry: telemetry?,
        })
    }
}

/// Whether browsers could load a script from under this URL.
pub(super) fn check_relay_url(url: &Url) -> Result<(), String> {
    let is_web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    if is_web && url.query().is_none() && url.fragment().is_none() && url.username().is_empty() {
        Ok(())
    } else {
        Err("must be an http or https URL such as https://relay.example.com, without user, query or fragment"
            .to_owned())
    }
}
