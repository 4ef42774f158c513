//! Programs that run inside another one: their settings are its settings too, so that none can be forgotten.

use super::documented_keys;

/// A program that runs inside another one.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The program's name when it runs by itself.
    pub program: &'static str,
    /// What its variables begin with then.
    pub env_prefix: &'static str,
    /// Its embedded defaults.
    pub defaults: &'static str,
    /// Its keys that are never flags.
    pub secrets: &'static [&'static str],
    /// Keys that make no sense in the whole, each with the reason: a sentence that follows "is not a setting here:".
    pub not_taken: &'static [(&'static str, &'static str)],
}

impl Part {
    /// Its keys, each with the comment above it.
    #[must_use]
    pub fn documented_keys(&self) -> Vec<(String, String)> {
        documented_keys(self.defaults)
    }

    /// Why the whole does not take this key of the part's.
    #[must_use]
    pub fn why_not(&self, key: &str) -> Option<&'static str> {
        self.not_taken.iter().find(|(left, _)| *left == key).map(|(_, reason)| *reason)
    }

    /// Whether the key is the part's and the whole takes it.
    #[must_use]
    pub fn takes(&self, key: &str) -> bool {
        self.why_not(key).is_none() && self.documented_keys().iter().any(|(known, _)| known == key)
    }

    /// The defaults of the keys that the whole takes.
    pub(super) fn taken_defaults(&self) -> String {
        let is_taken = |line: &&str| {
            !line.starts_with('#') && line.split_once('=').is_some_and(|(key, _)| self.why_not(key.trim()).is_none())
        };
        self.defaults.lines().filter(is_taken).map(|line| format!("{line}\n")).collect()
    }
}

/// The keys of a program and of what runs inside it, each with its comment: its own first, and each once.
pub(super) fn all_keys(defaults: &str, parts: &[Part]) -> Vec<(String, String)> {
    let mut keys = documented_keys(defaults);
    for part in parts {
        for (key, comment) in part.documented_keys() {
            if part.why_not(&key).is_none() && keys.iter().all(|(known, _)| *known != key) {
                keys.push((key, comment));
            }
        }
    }
    keys
}
