//! The programs of this project, so that each can tell a setting that belongs to another.

use super::spec::{Part, all_keys};

/// A program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    /// What its variables begin with.
    pub(super) env_prefix: &'static str,
    /// Its embedded defaults.
    pub(super) defaults: &'static str,
    /// Keys whose variable does not begin with the prefix.
    renamed: &'static [(&'static str, &'static str)],
    /// What runs inside it.
    parts: &'static [Part],
}

/// What runs inside `chat-relay`, which takes every setting of theirs but those listed here.
pub const IN_ONE_PROCESS: [Part; 2] = [
    Part {
        program: "relay-gateway",
        env_prefix: "GATEWAY_",
        defaults: include_str!("../../../../relay-gateway/config.default.toml"),
        secrets: &["admin_grpc_token", "relay_secret", "redis_url"],
        not_taken: &[
            ("ops_listen", "ops_listen is where /metrics of both services is"),
            ("id", "there is one gateway in the process, and its id is standalone"),
            ("threads", "the services share one runtime, with a thread for each core"),
            ("admin_grpc", "the gateway asks the admin service in its own process"),
            ("admin_grpc_ca_file", "the gateway asks the admin service in its own process"),
            ("admin_grpc_cert_file", "the gateway asks the admin service in its own process"),
            ("admin_grpc_key_file", "the gateway asks the admin service in its own process"),
            ("admin_grpc_token", "grpc_token is what both ends use"),
            ("admin_grpc_token_file", "grpc_token_file names the file of what both ends use"),
            ("tls_cert_file", "the process speaks http: put a proxy with TLS before it, or run the programs apart"),
            ("tls_key_file", "the process speaks http: put a proxy with TLS before it, or run the programs apart"),
            ("redis_url", "there is one gateway in the process, which counts for itself"),
            ("redis_url_file", "there is one gateway in the process, which counts for itself"),
            ("redis_timeout_ms", "there is one gateway in the process, which counts for itself"),
            ("admin_rest", "the gateway passes calls to the admin service in its own process"),
        ],
    },
    Part {
        program: "admin-service",
        env_prefix: "ADMIN_",
        defaults: include_str!("../../../../admin-service/config.default.toml"),
        secrets: &["api_key", "master_keys", "grpc_token", "relay_secrets", "events_token", "database_url"],
        not_taken: &[
            ("rest_listen", "it is named admin_listen"),
            ("grpc_tls_cert_file", "the gateway of the process calls without TLS: run the programs apart"),
            ("grpc_tls_key_file", "the gateway of the process calls without TLS: run the programs apart"),
            ("grpc_client_ca_file", "the gateway of the process calls without TLS: run the programs apart"),
            ("grpc_client_crl_file", "the gateway of the process calls without TLS: run the programs apart"),
            ("relay_secrets", "relay_secret is what both ends use"),
            ("relay_secrets_file", "relay_secret_file names the file of what both ends use"),
            ("ops_listen", "ops_listen is where /metrics of both services is"),
            (
                "drain_delay_ms",
                "drain_delay_ms is the relay's: the admin service drains after it, when nobody calls any more",
            ),
        ],
    },
];

const TELEMETRY: [(&str, &str); 2] =
    [("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"), ("trace_ratio", "OTEL_TRACES_SAMPLER_ARG")];

pub(super) const PROGRAMS: [Program; 4] = [
    Program {
        name: "admin-service",
        env_prefix: "ADMIN_",
        defaults: include_str!("../../../../admin-service/config.default.toml"),
        renamed: &TELEMETRY,
        parts: &[],
    },
    Program {
        name: "relay-gateway",
        env_prefix: "GATEWAY_",
        defaults: include_str!("../../../../relay-gateway/config.default.toml"),
        renamed: &TELEMETRY,
        parts: &[],
    },
    Program {
        name: "chat-relay backend",
        env_prefix: "CHAT_BACKEND_",
        defaults: include_str!("../../../../deploy/chat-backend/config.default.toml"),
        renamed: &TELEMETRY,
        parts: &[],
    },
    Program {
        name: "chat-relay",
        env_prefix: "CHAT_RELAY_",
        defaults: include_str!("../../../../deploy/standalone/config.default.toml"),
        renamed: &[TELEMETRY[0], TELEMETRY[1], ("api_key", "ADMIN_API_KEY"), ("api_key_file", "ADMIN_API_KEY_FILE")],
        parts: &IN_ONE_PROCESS,
    },
];

impl Program {
    /// The variable of one of its keys; `None` where it has no such key.
    pub(super) fn variable(&self, key: &str) -> Option<String> {
        all_keys(self.defaults, self.parts).iter().find(|(known, _)| known == key)?;
        let renamed = self.renamed.iter().find(|(known, _)| *known == key);
        Some(
            renamed.map_or_else(
                || format!("{}{}", self.env_prefix, key.to_ascii_uppercase()),
                |(_, name)| (*name).to_owned(),
            ),
        )
    }
}
