//! Programs that run inside another one: their settings are its settings too, so that none can be forgotten.

use std::collections::BTreeMap;

use figment::{
    Figment,
    providers::{Format as _, Toml},
};

use super::{ConfigError, DEFAULTS, Given, Settings, Spec, documented_keys};

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

impl Spec {
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

impl Settings {
    /// What a program inside this one is told: its own defaults, and over them what was given here for its keys.
    #[must_use]
    pub fn of_part(&self, mut spec: Spec) -> Self {
        // Problems name the variables that can be set here.
        (spec.env_prefix, spec.env_names) = (self.spec.env_prefix, self.spec.env_names);
        // The files that secrets come from were read already, and what was wrong with one was told.
        let unreadable = self.unreadable.clone();
        let mut settings = Self { spec, given: BTreeMap::new(), unreadable, problems: Vec::new() };
        settings.take_toml(Figment::from(Toml::string(spec.defaults)), DEFAULTS, &spec.keys());
        let part = self.spec.parts.iter().find(|part| part.program == spec.program);
        let is_given =
            |(key, given): &(&String, &Given)| given.source != DEFAULTS && part.is_some_and(|part| part.takes(key));
        let given = self.given.iter().filter(is_given).map(|(key, given)| (key.clone(), given.clone()));
        settings.given.extend(given);
        settings
    }

    /// Sets what nobody has set: the program around this one knows it.
    pub fn fill(&mut self, key: &str, text: String) {
        let is_given = |given: &Given| given.source != DEFAULTS && !given.text.is_empty();
        if !self.given.get(key).is_some_and(is_given) {
            self.give(key, text, "this deployment".to_owned());
        }
    }

    /// Notes what is wrong with the settings of a part, each problem once: some keys are read by several.
    pub fn adopt<T>(&mut self, read: &Result<T, ConfigError>) {
        if let Err(ConfigError::Problems(problems)) = read {
            for problem in problems {
                if !self.problems.contains(problem) {
                    self.problems.push(problem.clone());
                }
            }
        }
    }
}
