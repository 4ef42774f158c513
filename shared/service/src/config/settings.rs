//! Merges the sources of settings (embedded defaults < file < environment < flags), and reads settings key by key. Each problem is
//! noted, and [`Settings::finish`] reports all of them in one run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroU64,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::ArgMatches;
use figment::{
    Figment,
    providers::{Format as _, Toml},
};

use super::{
    error::{ConfigError, EXIT_CONFIG},
    help,
    keys::held_by,
    misspelt,
    secrets::{self, SecretList},
    sources::Sources,
    spec::Spec,
};

/// The source of what is embedded.
const DEFAULTS: &str = "the defaults";

#[derive(Clone)]
struct Given {
    text: String,
    source: String,
}

/// Settings as given, to be read key by key; problems gather until [`Settings::finish`]. Its `Debug` shows no value.
#[derive(Clone)]
pub struct Settings {
    spec: Spec,
    given: BTreeMap<String, Given>,
    /// Keys whose file could not be used, which is a problem already.
    unreadable: BTreeSet<String>,
    problems: Vec<String>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("program", &self.spec.program).finish_non_exhaustive()
    }
}

/// A setting that was read, or one of the problems [`Settings::finish`] reports.
pub type Read<T> = Result<T, ConfigError>;

impl Settings {
    /// Merges the sources, the later over the earlier.
    ///
    /// # Errors
    /// [`ConfigError::Usage`] for `--help` and unknown flags; a file that cannot be read or has unknown keys is a
    /// problem like any other.
    pub fn load(spec: Spec, sources: &Sources) -> Result<Self, ConfigError> {
        let keys = spec.keys();
        let flags = help::command(spec, &keys).try_get_matches_from(&sources.args).map_err(|error| {
            let code = if error.use_stderr() { EXIT_CONFIG } else { 0 };
            ConfigError::Usage(error.to_string(), code)
        })?;
        let mut settings = Self { spec, given: BTreeMap::new(), unreadable: BTreeSet::new(), problems: Vec::new() };
        if let Some(command) = flags.subcommand_name() {
            settings.problems.push(format!("{command} must be the first argument: {} {command}", spec.program));
        }
        for part in spec.parts {
            settings.take_toml(Figment::from(Toml::string(&part.taken_defaults())), DEFAULTS, &keys);
        }
        settings.take_toml(Figment::from(Toml::string(spec.defaults)), DEFAULTS, &keys);
        if let Some(path) = flags.get_one::<PathBuf>("config") {
            let source = path.display().to_string();
            match std::fs::read_to_string(path) {
                Ok(text) => settings.take_toml(Figment::from(Toml::string(&text)), &source, &keys),
                Err(error) => settings.problems.push(format!("{source}: {error}")),
            }
        }
        settings.take_variables_and_flags(sources, &flags, &keys);
        for (key, _) in &keys {
            if let Some(held) = held_by(key, &keys) {
                settings.take_file(key, held);
            }
        }
        settings.look_at_other_variables(sources, &keys);
        Ok(settings)
    }

    fn take_variables_and_flags(&mut self, sources: &Sources, flags: &ArgMatches, keys: &[(String, String)]) {
        for key in self.spec.secrets {
            debug_assert!(keys.iter().any(|(known, _)| *known == format!("{key}_file")), "{key} has no {key}_file");
        }
        for (key, _) in keys {
            let name = self.env_name(key);
            if let Some((_, value)) = sources.env.iter().find(|(given, _)| *given == name) {
                self.give(key, value.clone(), name);
            }
            if !self.spec.is_secret(key)
                && let Some(value) = flags.get_one::<String>(key)
            {
                self.give(key, value.clone(), format!("--{}", key.replace('_', "-")));
            }
        }
    }

    /// Finds variables that were meant for this program and that it does not read. Nothing logs yet, so warnings are printed.
    fn look_at_other_variables(&mut self, sources: &Sources, keys: &[(String, String)]) {
        let names: Vec<_> = keys.iter().map(|(key, _)| self.env_name(key)).collect();
        let keys: Vec<_> = keys.iter().map(|(key, _)| key.as_str()).collect();
        let given = sources.env.iter().map(|(name, _)| name.as_str());
        let Spec { program, env_prefix, parts, .. } = self.spec;
        let misspelt::Found { problems, unknown, foreign } =
            misspelt::variables(env_prefix, parts, &keys, &names, given);
        self.problems.extend(problems);
        for warning in foreign {
            eprintln!("{program}: warning: {warning}");
        }
        if !unknown.is_empty() {
            eprintln!("{program}: warning: nothing reads {}", unknown.join(", "));
        }
    }

    fn take_toml(&mut self, figment: Figment, source: &str, keys: &[(String, String)]) {
        let values: figment::value::Dict = match figment.extract() {
            Ok(values) => values,
            Err(error) => return self.problems.push(format!("{source}: {error}")),
        };
        for (key, value) in values {
            use figment::value::Value;
            let text = match value {
                Value::String(_, text) => text,
                Value::Num(_, number) => number
                    .to_i128()
                    .map(|whole| whole.to_string())
                    .or_else(|| number.to_u128().map(|whole| whole.to_string()))
                    .or_else(|| number.to_f64().map(|real| real.to_string()))
                    .unwrap_or_default(),
                Value::Bool(_, truth) => truth.to_string(),
                _ => {
                    self.problems.push(format!("{source}: {key} must be a string, a number, true or false"));
                    continue;
                }
            };
            if keys.iter().any(|(known, _)| *known == key) {
                self.give(&key, text, source.to_owned());
            } else {
                let known = keys.iter().map(|(known, _)| known.as_str());
                let why_not = self.spec.parts.iter().find_map(|part| part.why_not(&key));
                let meant = || misspelt::nearest(&key, known).map(|known| format!("is {known} meant?"));
                let hint = why_not.map(str::to_owned).or_else(meant);
                let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
                self.problems.push(format!("{source}: there is no setting named {key}{hint}; see --help"));
            }
        }
    }

    /// Has the setting `held` come from the file that `key` names, if it names one.
    fn take_file(&mut self, key: &str, held: &str) {
        let Some(named) = self.given.get(key).filter(|named| !named.text.is_empty()) else { return };
        let (path, source) = (named.text.clone(), named.source.clone());
        if let Some(given) = self.given.get(held)
            && given.source != DEFAULTS
            && !given.text.is_empty()
        {
            self.unreadable.insert(held.to_owned());
            self.problems.push(format!(
                "{held} (from {}) and {key} (from {source}) are both set: keep {} or {}",
                given.source,
                self.env_name(held),
                self.env_name(key),
            ));
            return;
        }
        match secrets::read_file(Path::new(&path)) {
            Ok((text, warning)) => {
                if let Some(warning) = warning {
                    // Nothing logs yet.
                    eprintln!("{}: warning: {key} (from {source}): {warning}", self.spec.program);
                }
                self.give(held, text.to_string(), path);
            }
            Err(wrong) => {
                self.unreadable.insert(held.to_owned());
                self.problems.push(format!("{key} (from {source}): {wrong}"));
            }
        }
    }

    fn give(&mut self, key: &str, text: String, source: String) {
        self.given.insert(key.to_owned(), Given { text: text.trim().to_owned(), source });
    }

    fn env_name(&self, key: &str) -> String {
        self.spec.env_name(key)
    }

    /// A setting that may be unset.
    ///
    /// # Errors
    /// A problem, already noted.
    pub fn optional<T: FromStr<Err: fmt::Display>>(&mut self, key: &str) -> Read<Option<T>> {
        if self.unreadable.contains(key) {
            return Err(ConfigError::Problems(Vec::new()));
        }
        let Some(given) = self.given.get(key).filter(|given| !given.text.is_empty()) else {
            return Ok(None);
        };
        match given.text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let shown = if self.spec.is_secret(key) { "its value".to_owned() } else { format!("{:?}", given.text) };
                let problem = format!("{key} (from {}): {shown}: {error}", given.source);
                Err(self.problem(problem))
            }
        }
    }

    /// A setting that must be there.
    ///
    /// # Errors
    /// A problem, already noted.
    pub fn required<T: FromStr<Err: fmt::Display>>(&mut self, key: &str) -> Read<T> {
        self.optional(key)?.ok_or_else(|| {
            let name = self.env_name(key);
            let file = self.given.contains_key(&format!("{key}_file"));
            let or_file = if file { format!(", {name}_FILE to a file that holds it") } else { String::new() };
            self.problem(format!("{key} is not set: set {name}{or_file}, or {key} in the file"))
        })
    }

    /// A required setting that must also pass `check`, which says what is wrong.
    ///
    /// # Errors
    /// A problem, already noted.
    pub fn checked<T: FromStr<Err: fmt::Display>>(
        &mut self,
        key: &str,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Read<T> {
        let value = self.required(key)?;
        match check(&value) {
            Ok(()) => Ok(value),
            Err(wrong) => Err(self.problem(format!("{key} {wrong}"))),
        }
    }

    /// A period that must be there, in milliseconds, at least one.
    ///
    /// # Errors
    /// A problem, already noted.
    pub fn millis(&mut self, key: &str) -> Read<Duration> {
        self.required(key).map(|millis: NonZeroU64| Duration::from_millis(millis.get()))
    }

    /// A period that must be there, in milliseconds. Zero is allowed.
    ///
    /// # Errors
    /// A problem, already noted.
    pub fn millis_or_zero(&mut self, key: &str) -> Read<Duration> {
        self.required(key).map(Duration::from_millis)
    }

    /// Checks that the number `key` is at most the number `bound`. The problem names both values and their sources. A number that cannot
    /// be read is a problem already, and is not compared.
    ///
    /// # Errors
    /// A problem, already noted.
    pub fn check_at_most(&mut self, key: &str, bound: &str, why: &str) -> Read<()> {
        let number = |key: &str| self.given.get(key).and_then(|given| given.text.parse::<u64>().ok());
        let (Some(value), Some(most)) = (number(key), number(bound)) else { return Ok(()) };
        if value <= most {
            return Ok(());
        }
        let shown = |key: &str| self.given.get(key).map_or("", |given| given.source.as_str());
        let problem = format!(
            "{key} ({value}, from {}) must be at most {bound} ({most}, from {}): {why}; lower {}, or raise {}",
            shown(key),
            shown(bound),
            self.env_name(key),
            self.env_name(bound),
        );
        Err(self.problem(problem))
    }

    /// A secret, or a list of them, that may be unset.
    ///
    /// # Errors
    /// A problem, already noted. A short or easily guessed secret is a problem.
    pub fn optional_secrets(&mut self, key: &str) -> Read<Option<SecretList>> {
        let Some(text) = self.optional::<String>(key)? else { return Ok(None) };
        text.parse().map(Some).map_err(|wrong| self.problem(format!("{key} {wrong}")))
    }

    /// A secret, or a list of them, that must be there.
    ///
    /// # Errors
    /// As [`Settings::optional_secrets`].
    pub fn secrets(&mut self, key: &str) -> Read<SecretList> {
        let text: String = self.required(key)?;
        text.parse().map_err(|wrong| self.problem(format!("{key} {wrong}")))
    }

    /// Notes a problem that concerns several settings. A setting that two services read is wrong once.
    pub fn problem(&mut self, problem: String) -> ConfigError {
        if !self.problems.contains(&problem) {
            self.problems.push(problem.clone());
        }
        ConfigError::Problems(vec![problem])
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every problem there was.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError::Problems(self.problems)) }
    }
}
