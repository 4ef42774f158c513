//! The programs of this project, so that each can tell a setting that belongs to another.

/// A program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    /// What its variables begin with.
    pub(super) env_prefix: &'static str,
    /// Its embedded defaults.
    pub(super) defaults: &'static str,
}

pub(super) const PROGRAMS: [Program; 4] = [
    Program {
        name: "admin-service",
        env_prefix: "ADMIN_",
        defaults: include_str!("../../../admin-service/config.default.toml"),
    },
    Program {
        name: "relay-gateway",
        env_prefix: "GATEWAY_",
        defaults: include_str!("../../../relay-gateway/config.default.toml"),
    },
    Program {
        name: "chat-relay backend",
        env_prefix: "CHAT_BACKEND_",
        defaults: include_str!("../../../deploy/standalone/backend.default.toml"),
    },
    Program {
        name: "chat-relay",
        env_prefix: "CHAT_RELAY_",
        defaults: include_str!("../../../deploy/standalone/config.default.toml"),
    },
];

impl Program {
    pub(super) fn has(&self, key: &str) -> bool {
        super::documented_keys(self.defaults).iter().any(|(known, _)| known == key)
    }
}
