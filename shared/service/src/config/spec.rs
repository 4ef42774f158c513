//! What a program can be told, and the programs that run inside it: their settings are its settings too, so that none can be
//! forgotten.

use super::keys::documented_keys;

/// What a program can be told.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The program's name.
    pub program: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
    /// `ADMIN_` makes the key `rest_listen` the variable `ADMIN_REST_LISTEN`.
    pub env_prefix: &'static str,
    /// Keys whose variable has another name: `("api_key", "ADMIN_API_KEY")`.
    pub env_names: &'static [(&'static str, &'static str)],
    /// The embedded defaults, one `key = value` under a comment each; an empty value is unset.
    /// A key that ends in `_file` beside the same key without it names a file that holds the setting.
    pub defaults: &'static str,
    /// Keys that are never flags (a process list shows flags) and never printed. Each has a `_file` key beside it.
    pub secrets: &'static [&'static str],
    /// Programs that run inside this one, whose settings are its own too.
    pub parts: &'static [Part],
    /// Other programs in the same binary, each with a sentence of help. The first argument selects one.
    pub commands: &'static [(&'static str, &'static str)],
}

impl Spec {
    /// The variable of a key.
    pub(super) fn env_name(&self, key: &str) -> String {
        // The variable of `api_key_file` is that of `api_key` with `_FILE` behind it.
        if let Some(held) = key.strip_suffix("_file").filter(|held| self.is_secret(held)) {
            return format!("{}_FILE", self.env_name(held));
        }
        self.env_names
            .iter()
            .find(|(named, _)| *named == key)
            .map_or_else(|| format!("{}{}", self.env_prefix, key.to_ascii_uppercase()), |(_, name)| (*name).to_owned())
    }

    /// Every key of the program's, each with the comment above it.
    #[must_use]
    pub fn keys(&self) -> Vec<(String, String)> {
        all_keys(self.defaults, self.parts)
    }

    /// Whether the key's value is hidden, and no flag.
    pub(super) fn is_secret(&self, key: &str) -> bool {
        let is_own = || documented_keys(self.defaults).iter().any(|(known, _)| known == key);
        self.secrets.contains(&key) || (self.parts.iter().any(|part| part.secrets.contains(&key)) && !is_own())
    }
}

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
