//! `--help`: every setting with its default and its variable, and the secrets, which are never flags.

use std::{fmt::Write as _, path::PathBuf};

use clap::{Arg, Command};

use super::spec::Spec;

/// The program's flags and commands, and what `--help` prints of them.
pub(super) fn command(spec: Spec, keys: &[(String, String)]) -> Command {
    let defaults = all_defaults(spec);
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("A TOML file with any of these settings; environment and flags win over it");
    let command = Command::new(spec.program)
        .about(spec.about)
        .version(env!("CARGO_PKG_VERSION"))
        .no_binary_name(true)
        .next_line_help(true)
        .disable_help_subcommand(true)
        .after_help(secrets(spec, keys))
        .arg(config);
    let command = spec
        .commands
        .iter()
        .fold(command, |command, (name, about)| command.subcommand(Command::new(*name).about(*about)));
    keys.iter().filter(|(key, _)| !spec.is_secret(key)).fold(command, |command, (key, comment)| {
        let default = default(&defaults, key).map_or_else(|| "unset".to_owned(), |value| format!("default: {value}"));
        let help = format!("{comment} [{default}] [env: {}]", spec.env_name(key));
        command.arg(Arg::new(key.clone()).long(key.replace('_', "-")).value_name("VALUE").help(help))
    })
}

/// The settings that are no flags, because a process list shows flags.
fn secrets(spec: Spec, keys: &[(String, String)]) -> String {
    let (mut text, defaults) = (String::new(), all_defaults(spec));
    for (key, comment) in keys.iter().filter(|(key, _)| spec.is_secret(key)) {
        if text.is_empty() {
            text.push_str("Secrets, which are variables (or keys of the file) and never flags:\n");
        }
        let default = default(&defaults, key).map(|value| format!(" [default: {value}]")).unwrap_or_default();
        let _ = writeln!(text, "  {}, in the file {key}\n          {comment}{default}", spec.env_name(key));
    }
    text.truncate(text.trim_end().len());
    text
}

/// The program's own defaults, and after them those of its parts: the first that names a key says its default.
fn all_defaults(spec: Spec) -> String {
    spec.parts.iter().fold(spec.defaults.to_owned(), |all, part| all + "\n" + &part.taken_defaults())
}

/// The default of a key as it is written, without quotes; `None` where it is unset.
fn default<'a>(defaults: &'a str, key: &str) -> Option<&'a str> {
    let (_, value) = defaults.lines().filter_map(|line| line.split_once('=')).find(|(name, _)| name.trim() == key)?;
    Some(value.trim().trim_matches('"')).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigError, Settings, Sources, keys::documented_keys, programs::PROGRAMS, tests::SPEC};

    fn help() -> String {
        let sources = Sources { args: vec!["--help".into()], env: Vec::new() };
        let Err(ConfigError::Usage(help, 0)) = Settings::load(SPEC, &sources) else { panic!("--help prints") };
        help
    }

    #[test]
    fn it_shows_defaults_variables_commands_and_the_names_of_secrets() {
        let help = help();
        for expected in [
            "Where it listens. [default: 127.0.0.1:1] [env: THING_LISTEN]",
            "How many. [default: 3] [env: THING_COUNT]",
            "Where it might go. [unset] [env: THING_GOAL]",
            "never flags",
            "OTHER_KEY, in the file api_key\n          Hush.",
            "part",
            "One part by itself",
        ] {
            assert!(help.contains(expected), "{expected} in {help}");
        }
        assert!(!help.contains("--api-key ") && help.contains("--api-key-file "), "{help}");
    }

    #[test]
    fn no_setting_has_an_empty_line() {
        let help = help();
        assert!(!help.lines().any(|line| !line.is_empty() && line.trim().is_empty()), "{help}");
        for program in PROGRAMS {
            for (key, comment) in documented_keys(program.defaults) {
                assert!(!comment.is_empty(), "{} {key} has no comment of its own", program.name);
            }
        }
    }
}
