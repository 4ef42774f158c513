//! Typed configuration from layered sources: embedded defaults < file < environment < flags.
//!
//! The embedded `config.default.toml` is the documentation: its comments become the help text of its flags.
//! Every problem is reported in one run. Loading takes its sources as an argument, so that no test touches
//! the process's environment.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
};

use figment::{
    Figment,
    providers::{Format as _, Toml},
};

use crate::telemetry::TelemetryConfig;

mod help;
mod misspelt;
mod parts;
mod programs;
mod secrets;
mod weak;

pub use parts::Part;
pub use programs::IN_ONE_PROCESS;
pub use secrets::{SecretList, check_secret};

/// `EX_USAGE`: the process was started wrongly, and starting it again will not help.
pub const EXIT_CONFIG: u8 = 64;

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
    /// Other programs of the same binary, each with a sentence on it: the binary is told one by its first argument.
    pub commands: &'static [(&'static str, &'static str)],
}

impl Spec {
    /// The variable of a key.
    fn env_name(&self, key: &str) -> String {
        // What names a file is called as what the file holds is.
        if let Some(held) = key.strip_suffix("_file").filter(|held| self.is_secret(held)) {
            return format!("{}_FILE", self.env_name(held));
        }
        self.env_names
            .iter()
            .find(|(named, _)| *named == key)
            .map_or_else(|| format!("{}{}", self.env_prefix, key.to_ascii_uppercase()), |(_, name)| (*name).to_owned())
    }
}

/// The source of what is embedded.
const DEFAULTS: &str = "the defaults";

/// Where settings come from. Its `Debug` names what is there and shows nothing of it.
#[derive(Clone, Default)]
pub struct Sources {
    /// The command line without the program's name.
    pub args: Vec<OsString>,
    /// The environment.
    pub env: Vec<(String, String)>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Sources").field("args", &self.args.len()).field("env", &names).finish()
    }
}

impl Sources {
    /// This process's own.
    #[must_use]
    pub fn process() -> Self {
        Self {
            args: std::env::args_os().skip(1).collect(),
            env: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        }
    }
}

/// Why a program will not start.
#[derive(Debug, Clone)]
pub enum ConfigError {
    /// `--help` or `--version` was asked for, or a flag is unknown: what to print, and the exit code.
    Usage(String, u8),
    /// Everything that is wrong, a line each.
    Problems(Vec<String>),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text, _) => f.write_str(text),
            Self::Problems(problems) => {
                writeln!(f, "the configuration has {} problem(s):", problems.len())?;
                problems.iter().try_for_each(|problem| writeln!(f, "  - {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// Prints it where it belongs and says how the process should end.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Usage(text, 0) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Self::Usage(text, code) => {
                eprint!("{text}");
                ExitCode::from(*code)
            }
            Self::Problems(_) => {
                eprint!("{self}");
                ExitCode::from(EXIT_CONFIG)
            }
        }
    }
}

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
        for (key, _) in &keys {
            let name = settings.env_name(key);
            if let Some((_, value)) = sources.env.iter().find(|(given, _)| *given == name) {
                settings.give(key, value.clone(), name);
            }
            if !spec.is_secret(key)
                && let Some(value) = flags.get_one::<String>(key)
            {
                settings.give(key, value.clone(), format!("--{}", key.replace('_', "-")));
            }
        }
        for key in spec.secrets {
            debug_assert!(keys.iter().any(|(known, _)| *known == format!("{key}_file")), "{key} has no {key}_file");
        }
        for (key, _) in &keys {
            if let Some(held) = held_by(key, &keys) {
                settings.take_file(key, held);
            }
        }
        let names: Vec<_> = keys.iter().map(|(key, _)| settings.env_name(key)).collect();
        let keys: Vec<_> = keys.iter().map(|(key, _)| key.as_str()).collect();
        let given = sources.env.iter().map(|(name, _)| name.as_str());
        let misspelt::Found { problems, unknown, foreign } =
            misspelt::variables(spec.env_prefix, spec.parts, &keys, &names, given);
        settings.problems.extend(problems);
        for warning in foreign {
            // Nothing logs yet.
            eprintln!("{}: warning: {warning}", spec.program);
        }
        if !unknown.is_empty() {
            // Nothing logs yet.
            eprintln!("{}: warning: nothing reads {}", spec.program, unknown.join(", "));
        }
        Ok(settings)
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

    /// A secret, or a list of them, that may be unset.
    ///
    /// # Errors
    /// A problem, already noted: one that is short or easily guessed is one.
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

    /// Notes a problem that concerns several settings.
    pub fn problem(&mut self, problem: String) -> ConfigError {
        self.problems.push(problem.clone());
        ConfigError::Problems(vec![problem])
    }

    /// The settings every process has for its telemetry.
    ///
    /// # Errors
    /// A problem, already noted.
    pub fn telemetry(&mut self) -> Read<TelemetryConfig> {
        let log_filter = self.required("log_filter");
        let log_format = self.required("log_format");
        let otlp_endpoint = self.optional("otlp_endpoint");
        let trace_ratio = self.required("trace_ratio");
        Ok(TelemetryConfig {
            log_filter: log_filter?,
            log_format: log_format?,
            otlp_endpoint: otlp_endpoint?,
            trace_ratio: trace_ratio?,
        })
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every problem there was.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError::Problems(self.problems)) }
    }
}

/// The keys of the defaults, each with the comment above it.
fn documented_keys(defaults: &str) -> Vec<(String, String)> {
    let mut keys = Vec::new();
    let mut comment = String::new();
    for line in defaults.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push_str(text.trim());
            comment.push(' ');
        } else if let Some((key, _)) = line.split_once('=') {
            keys.push((key.trim().to_owned(), std::mem::take(&mut comment).trim().to_owned()));
        } else {
            comment.clear();
        }
    }
    keys
}

/// The setting that comes from the file which `key` names; `None` where it names none.
fn held_by<'a>(key: &'a str, keys: &[(String, String)]) -> Option<&'a str> {
    key.strip_suffix("_file").filter(|held| keys.iter().any(|(known, _)| known == held))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    pub(super) const SPEC: Spec = Spec {
        program: "thing",
        about: "A thing.",
        env_prefix: "THING_",
        env_names: &[("api_key", "OTHER_KEY")],
        defaults: "# Where it listens.\nlisten = \"127.0.0.1:1\"\n# How many.\ncount = 3\n# Hush.\napi_key = \"\"\n\
                   # A file that holds api_key.\napi_key_file = \"\"\n# Where it might go.\ngoal = \"\"\n",
        secrets: &["api_key"],
        parts: &[],
        commands: &[("part", "One part by itself")],
    };

    fn sources(args: &[&str], env: &[(&str, &str)]) -> Sources {
        Sources {
            args: args.iter().map(OsString::from).collect(),
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn later_sources_win() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "count = 5\nlisten = \"127.0.0.1:5\"\n").expect("written");
        let path = file.path().to_str().expect("utf-8");
        let read = |args: &[&str], env: &[(&str, &str)]| {
            let mut settings = Settings::load(SPEC, &sources(args, env)).expect("loads");
            let got = (
                settings.required::<SocketAddr>("listen").expect("listen").port(),
                settings.required::<u32>("count").expect("count"),
            );
            settings.finish().expect("no problems");
            got
        };
        assert_eq!(read(&[], &[]), (1, 3));
        assert_eq!(read(&["--config", path], &[]), (5, 5));
        assert_eq!(read(&["--config", path], &[("THING_COUNT", "7")]), (5, 7));
        assert_eq!(read(&["--config", path, "--count", "9"], &[("THING_COUNT", "7")]), (5, 9));
    }

    #[test]
    fn every_problem_is_reported_in_one_run_and_no_secret_is_shown() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "cuont = 5\n").expect("written");
        let path = file.path().to_str().expect("utf-8");
        let env = [("THING_LISTEN", "nowhere"), ("THING_COUNT", "-1"), ("OTHER_KEY", "hunter2")];
        let mut settings = Settings::load(SPEC, &sources(&["--config", path], &env)).expect("loads");
        assert!(settings.required::<SocketAddr>("listen").is_err());
        assert!(settings.required::<u32>("count").is_err());
        assert!(settings.required::<u32>("api_key").is_err());
        let text = settings.finish().expect_err("problems").to_string();
        for expected in ["cuont: is count meant?", "nowhere", "THING_LISTEN", "-1", "api_key"] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
        let shown = format!("{:?}", sources(&[], &env));
        assert!(shown.contains("OTHER_KEY") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_key_of_digits_stays_the_text_it_was() {
        let env = [("OTHER_KEY", "0012345678901234")];
        let mut settings = Settings::load(SPEC, &sources(&[], &env)).expect("loads");
        assert_eq!(settings.required::<String>("api_key").expect("a text"), "0012345678901234");
    }

    /// A file with this text and mode, and its path.
    fn file_with(text: &[u8], mode: u32) -> (tempfile::NamedTempFile, String) {
        use std::os::unix::fs::PermissionsExt as _;

        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).expect("its mode");
        let path = file.path().to_str().expect("utf-8").to_owned();
        (file, path)
    }

    #[test]
    fn a_secret_comes_from_a_file_that_a_variable_a_flag_or_a_line_names() {
        let (_secret, path) = file_with(b"kept-in-a-file-of-its-own\nthe-one-of-yesterday\n", 0o600);
        let (_config, config) = file_with(format!("api_key_file = {path:?}\n").as_bytes(), 0o600);
        for (args, env) in [
            (vec![], vec![("OTHER_KEY_FILE", path.as_str())]),
            (vec!["--api-key-file", &path], vec![("OTHER_KEY", "")]),
            (vec!["--config", &config], vec![]),
        ] {
            let mut settings = Settings::load(SPEC, &sources(&args, &env)).expect("loads");
            let secrets = settings.secrets("api_key").expect("secrets");
            settings.finish().expect("no problems");
            assert_eq!(secrets.count(), 2, "{args:?} {env:?}");
            let accepted = secrets.accepted().map(secrecy::ExposeSecret::expose_secret).collect::<Vec<&str>>();
            assert_eq!(accepted, ["kept-in-a-file-of-its-own", "the-one-of-yesterday"]);
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_one_problem_that_says_what_to_do() {
        let (_good, good) = file_with(b"kept-in-a-file-of-its-own", 0o600);
        let (_empty, empty) = file_with(b" \n\n", 0o600);
        let (_binary, binary) = file_with(b"\xff\xfehidden-in-it", 0o600);
        let (_huge, huge) = file_with(&b"hidden-in-it\n".repeat(10_000), 0o600);
        let (_weak, weak) = file_with(b"changeme-0000000000", 0o600);
        let directory = tempfile::tempdir().expect("a directory");
        let missing = directory.path().join("none").display().to_string();
        let directory = directory.path().display().to_string();
        for (env, expected) in [
            (vec![("OTHER_KEY_FILE", &*missing)], "check the path"),
            (vec![("OTHER_KEY_FILE", &*directory)], "must be a readable file"),
            (vec![("OTHER_KEY_FILE", &*empty)], "is empty: write the secret into it"),
            (vec![("OTHER_KEY_FILE", &*binary)], "is not UTF-8"),
            (vec![("OTHER_KEY_FILE", "/dev/zero")], "has more than 65536 bytes"),
            (vec![("OTHER_KEY_FILE", &*huge)], "has more than 65536 bytes"),
            (vec![("OTHER_KEY_FILE", &*good), ("OTHER_KEY", "given-hidden-in-it")], "keep OTHER_KEY or OTHER_KEY_FILE"),
            (vec![("OTHER_KEY_FILE", &*weak)], "api_key is easily guessed"),
            (vec![], "set OTHER_KEY, OTHER_KEY_FILE to a file that holds it, or api_key in the file"),
        ] {
            let mut settings = Settings::load(SPEC, &sources(&[], &env)).expect("loads");
            assert!(settings.secrets("api_key").is_err(), "{env:?}");
            let Err(ConfigError::Problems(problems)) = settings.finish() else { panic!("{env:?} is refused") };
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(
                problems[0].contains(expected) && !problems[0].contains("hidden") && !problems[0].contains("changeme"),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_used_with_a_warning() {
        for (mode, warned) in [(0o600, false), (0o640, false), (0o400, false), (0o644, true), (0o604, true)] {
            let (_file, path) = file_with(b"kept-in-a-file-of-its-own\n", mode);
            let (text, warning) = secrets::read_file(Path::new(&path)).expect("its text");
            assert_eq!(*text, "kept-in-a-file-of-its-own");
            assert_eq!(
                warning.is_some_and(|text| text.contains(&format!("{mode:04o}")) && text.contains("chmod")),
                warned
            );
        }
    }

    #[test]
    fn secrets_are_no_flags_and_a_command_comes_first() {
        let Err(ConfigError::Usage(help, 0)) = Settings::load(SPEC, &sources(&["--help"], &[])) else {
            panic!("--help prints");
        };
        assert!(help.contains("Where it listens.") && !help.contains("--api-key "), "{help}");
        assert!(help.contains("--api-key-file") && help.contains("A file that holds api_key."), "{help}");
        let late = Settings::load(SPEC, &sources(&["--count", "4", "part"], &[])).expect("loads").finish();
        assert!(late.expect_err("refused").to_string().contains("part must be the first argument"));
        assert!(matches!(
            Settings::load(SPEC, &sources(&["--api-key", "x"], &[])),
            Err(ConfigError::Usage(_, EXIT_CONFIG))
        ));
    }
}
