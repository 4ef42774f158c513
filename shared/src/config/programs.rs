//! The programs of this project, so that each can tell a setting that belongs to another.

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
}

const TELEMETRY: [(&str, &str); 2] =
    [("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"), ("trace_ratio", "OTEL_TRACES_SAMPLER_ARG")];

pub(super) const PROGRAMS: [Program; 4] = [
    Program {
        name: "admin-service",
        env_prefix: "ADMIN_",
        defaults: include_str!("../../../admin-service/config.default.toml"),
        renamed: &TELEMETRY,
    },
    Program {
        name: "relay-gateway",
        env_prefix: "GATEWAY_",
        defaults: include_str!("../../../relay-gateway/config.default.toml"),
        renamed: &TELEMETRY,
    },
    Program {
        name: "chat-relay backend",
        env_prefix: "CHAT_BACKEND_",
        defaults: include_str!("../../../deploy/standalone/backend.default.toml"),
        renamed: &TELEMETRY,
    },
    Program {
        name: "chat-relay",
        env_prefix: "CHAT_RELAY_",
        defaults: include_str!("../../../deploy/standalone/config.default.toml"),
        renamed: &[TELEMETRY[0], TELEMETRY[1], ("api_key", "ADMIN_API_KEY"), ("api_key_file", "ADMIN_API_KEY_FILE")],
    },
];

impl Program {
    /// The variable of one of its keys; `None` where it has no such key.
    pub(super) fn variable(&self, key: &str) -> Option<String> {
        super::documented_keys(self.defaults).iter().find(|(known, _)| known == key)?;
        let renamed = self.renamed.iter().find(|(known, _)| *known == key);
        Some(
            renamed.map_or_else(
                || format!("{}{}", self.env_prefix, key.to_ascii_uppercase()),
                |(_, name)| (*name).to_owned(),
            ),
        )
    }
}
