use std::{ffi::OsString, net::SocketAddr, path::Path};

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
        assert_eq!(warning.is_some_and(|text| text.contains(&format!("{mode:04o}")) && text.contains("chmod")), warned);
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
