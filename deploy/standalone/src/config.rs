//! What the one-process deployment can be told.

use std::{net::SocketAddr, path::PathBuf};

use admin_service::{MasterKeys, config::check_database_url};
use chat_backend::config::{FilesSettings, MailConfig};
use relay_gateway::config::HttpUrl;
use secrecy::SecretString;
use service::{
    config::{ConfigError, IN_ONE_PROCESS, Read, SecretList, Settings, Sources, Spec},
    laptop::Exposure,
    telemetry::TelemetryConfig,
};

const SPEC: Spec = Spec {
    program: "chat-relay",
    about: "The admin service, the relay gateway and a chat backend in one process.",
    env_prefix: "CHAT_RELAY_",
    env_names: &[
        ("api_key", "ADMIN_API_KEY"),
        ("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("trace_ratio", "OTEL_TRACES_SAMPLER_ARG"),
        ("smtp_url", "CHAT_BACKEND_SMTP_URL"),
        ("smtp_from", "CHAT_BACKEND_SMTP_FROM"),
        ("mail_after_ms", "CHAT_BACKEND_MAIL_AFTER_MS"),
    ],
    defaults: include_str!("../config.default.toml"),
    secrets: &["api_key", "relay_secret", "grpc_token", "events_token", "master_keys", "smtp_url"],
    parts: &IN_ONE_PROCESS,
    commands: &[("backend", "The chat backend by itself, with settings of its own: `chat-relay backend --help`")],
};

/// The one-process deployment.
#[derive(Clone, Debug)]
pub struct Config {
    /// The relay.
    pub listen: SocketAddr,
    /// The REST facade.
    pub admin_listen: SocketAddr,
    /// The admin service's gRPC.
    pub grpc_listen: SocketAddr,
    /// `/metrics`, if anywhere.
    pub ops_listen: Option<SocketAddr>,
    /// Where browsers reach the relay, where that is not where it listens.
    pub relay_url: Option<HttpUrl>,
    /// Which requests may see `/demo`.
    pub demo: Exposure,
    /// Whether the embedded chat backend has the demo's articles, for visitors of local pages: on a laptop
    /// ([`service::laptop::Laptop`]), unless `demo_page` is false. Elsewhere `demo_page = true` turns on the page alone.
    pub demo_knowledge: bool,
    /// Databases and keys.
    pub data_dir: PathBuf,
    /// The admin service's database, where it is not SQLite in the data directory.
    pub database_url: Option<SecretString>,
    /// The chat backend.
    pub backend: BackendConfig,
    /// The admin keys, where they are not a generated one.
    pub api_key: Option<SecretList>,
    /// What HMAC#2 is made with, where it is not the data directory's: the first signs.
    pub relay_secret: Option<SecretList>,
    /// What gateways may send over gRPC, where it is not the data directory's.
    pub grpc_token: Option<SecretList>,
    /// What further chat backends may publish with over gRPC, beside the admin key.
    pub events_token: Option<SecretList>,
    /// What seals secrets at rest, where it is not the data directory's.
    pub master_keys: Option<MasterKeys>,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// How the gateway behaves.
    pub gateway: relay_gateway::config::Behaviour,
    /// How the admin service behaves.
    pub admin: admin_service::config::Behaviour,
}

impl Config {
    /// Reads and checks everything, also what the services read: all problems are told in one run, before anything is opened.
    ///
    /// # Errors
    /// Every problem there is, at once.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut settings = Settings::load(SPEC, sources)?;
        let listen = settings.required("listen");
        let admin_listen = settings.required("admin_listen");
        let grpc_listen = settings.required("grpc_listen");
        let ops_listen = settings.optional("ops_listen");
        let relay_url = settings.optional("relay_url");
        let demo_page = settings.optional("demo_page");
        let data_dir = settings.required("data_dir");
        let database_url = read_database_url(&mut settings);
        let backend = BackendConfig::read(&mut settings);
        let secrets = Secrets::read(&mut settings);
        let telemetry = TelemetryConfig::read(&mut settings);
        let gateway = relay_gateway::config::Behaviour::read(&mut settings);
        let admin = admin_service::config::Behaviour::read(&mut settings);
        settings.finish()?;
        let Secrets { api_key, relay_secret, grpc_token, events_token, master_keys } = secrets?;
        let (gateway, demo_page) = (gateway?, demo_page?);
        let admin = allow_loopback_on_a_laptop(admin?, &gateway);
        Ok(Self {
            listen: listen?,
            admin_listen: admin_listen?,
            grpc_listen: grpc_listen?,
            ops_listen: ops_listen?,
            relay_url: relay_url?,
            demo: gateway.public.laptop.exposure(demo_page),
            demo_knowledge: demo_page != Some(false) && gateway.public.laptop.exposure(None) != Exposure::Off,
            data_dir: data_dir?,
            database_url: database_url?,
            backend: backend?,
            api_key,
            relay_secret,
            grpc_token,
            events_token,
            master_keys,
            telemetry: telemetry?,
            gateway,
            admin,
        })
    }

    /// Which requests reach the admin API at the relay's own address.
    #[must_use]
    pub fn admin_api(&self) -> Exposure {
        self.gateway.public.exposed.admin_api
    }
}

/// The chat backend.
#[derive(Clone, Debug)]
pub struct BackendConfig {
    /// Where it is, if it is not the embedded one.
    pub url: Option<HttpUrl>,
    /// Where the embedded one keeps the files that visitors and operators send.
    pub files: FilesSettings,
    /// Where the embedded one mails answers from, if it does.
    pub mail: Option<MailConfig>,
}

impl BackendConfig {
    fn read(settings: &mut Settings) -> Read<Self> {
        let url = settings.optional("chat_backend_url");
        let files = FilesSettings::read(settings);
        let mail = MailConfig::read(settings);
        let (url, files, mail) = (url?, files?, mail?);
        if url.is_some() && mail.is_some() {
            return Err(settings.problem(
                "smtp_url is the embedded chat backend's: where chat_backend_url names another, that one sends the mail".to_owned(),
            ));
        }
        Ok(Self { url, files, mail })
    }
}

/// On a laptop, receivers run beside the relay: callbacks may be loopback addresses.
fn allow_loopback_on_a_laptop(
    mut admin: admin_service::config::Behaviour,
    gateway: &relay_gateway::config::Behaviour,
) -> admin_service::config::Behaviour {
    if gateway.public.laptop.exposure(None) != Exposure::Off {
        admin.webhooks.allow_loopback();
    }
    admin
}

/// The secrets. Where one is not set, the data directory has it; `events_token` has no default.
struct Secrets {
    api_key: Option<SecretList>,
    relay_secret: Option<SecretList>,
    grpc_token: Option<SecretList>,
    events_token: Option<SecretList>,
    master_keys: Option<MasterKeys>,
}

impl Secrets {
    fn read(settings: &mut Settings) -> Read<Self> {
        let api_key = settings.optional_secrets("api_key");
        let relay_secret = settings.optional_secrets("relay_secret");
        let grpc_token = settings.optional_secrets("grpc_token");
        let events_token = settings.optional_secrets("events_token");
        let master_keys = settings.optional("master_keys");
        Ok(Self {
            api_key: api_key?,
            relay_secret: relay_secret?,
            grpc_token: grpc_token?,
            events_token: events_token?,
            master_keys: master_keys?,
        })
    }
}

fn read_database_url(settings: &mut Settings) -> Read<Option<SecretString>> {
    let Some(url) = settings.optional::<String>("database_url")? else { return Ok(None) };
    match check_database_url(&url) {
        Ok(()) => Ok(Some(url.into())),
        Err(wrong) => Err(settings.problem(format!("database_url {wrong}"))),
    }
}

#[cfg(test)]
mod tests;
