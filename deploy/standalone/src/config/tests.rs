use std::collections::BTreeSet;

use secrecy::ExposeSecret;
use service::config::Part;

use super::*;
use crate::wiring::{self, AdminWiring, GatewayWiring};

fn load(env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::load(&Sources { args: Vec::new(), env })
}

/// The variable of a key here.
fn variable(key: &str) -> String {
    if let Some(held) = key.strip_suffix("_file") {
        return format!("{}_FILE", variable(held));
    }
    let renamed = SPEC.env_names.iter().find(|(known, _)| *known == key);
    renamed.map_or_else(|| format!("CHAT_RELAY_{}", key.to_ascii_uppercase()), |(_, name)| (*name).to_owned())
}

/// Another value than the default.
fn another_value(part: &Part, key: &str) -> String {
    let value = match key {
        "listen" | "grpc_listen" => "127.0.0.1:1234",
        "relay_url" => "https://relay.example.com",
        "chat_backend_url" => "http://127.0.0.1:1234",
        "database_url" => "sqlite://other.db",
        "expose_admin_api" => "true",
        "trusted_proxies" | "webhook_allowed_networks" => "10.0.0.0/8",
        "webhook_ports" => "443",
        "attachment_types" => "image/*",
        "replay_parameters" | "token_issuer" | "log_filter" => "warn",
        "max_connections_per_address" | "max_sockets_per_address" => "7",
        "log_format" => "json",
        "otlp_endpoint" => "http://127.0.0.1:4317",
        "trace_ratio" => "0.5",
        "master_keys" => "k2:K4ZVi+A880qJsRq/uygtyfYgIRmuvB+Up7k68nt5VwQ=",
        key if part.secrets.contains(&key) => "another-secret-of-the-operators",
        _ => {
            let default = part.defaults.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
            let default = default.unwrap_or_else(|| panic!("{key} has no default"));
            return match (default.parse::<u64>(), default.parse::<bool>()) {
                (Ok(number), _) => (number + 1).to_string(),
                (_, Ok(truth)) => (!truth).to_string(),
                _ => panic!("say here what else {key} may be than {default}"),
            };
        }
    };
    value.to_owned()
}

/// What both services would be started with, secrets included.
fn wired(config: &Config) -> (String, String) {
    let secret: SecretList = "generated-in-the-data-directory".parse().expect("a secret");
    let or_generated = |given: &Option<SecretList>| given.clone().unwrap_or_else(|| secret.clone());
    let generated = || "k1:K4ZVi+A880qJsRq/uygtyfYgIRmuvB+Up7k68nt5VwQ=".parse().expect("a key");
    let admin = wiring::admin(
        config,
        AdminWiring {
            database_url: config.database_url.clone().unwrap_or_else(|| "sqlite://admin.db".into()),
            api_key: or_generated(&config.api_key),
            master_keys: config.master_keys.clone().unwrap_or_else(generated),
            grpc_token: or_generated(&config.grpc_token),
            relay_secret: or_generated(&config.relay_secret),
            relay_url: config.relay_url.clone().unwrap_or_else(|| HttpUrl::at(config.listen)),
        },
    );
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let gateway = wiring::gateway(
        config,
        GatewayWiring {
            admin_grpc: address,
            admin_rest: address,
            grpc_token: or_generated(&config.grpc_token),
            relay_secret: or_generated(&config.relay_secret),
            backend_url: config.backend.url.clone().unwrap_or_else(|| HttpUrl::at(address)),
        },
    );
    // What `Debug` hides.
    let secrets = [admin.api_key.as_given(), admin.grpc_token.as_given(), &admin.database.url];
    let secrets = secrets.map(ExposeSecret::expose_secret).join(" ");
    let gateways = [gateway.admin.token.as_given(), gateway.backend.relay_secret.as_given()];
    let gateways = gateways.map(ExposeSecret::expose_secret).join(" ");
    (format!("{gateway:?} {gateways}"), format!("{admin:?} {secrets}"))
}

#[test]
fn every_setting_of_the_parts_is_taken_or_left_for_a_reason() {
    let specs = [relay_gateway::config::SPEC, admin_service::config::SPEC];
    let known: BTreeSet<String> = SPEC.keys().into_iter().map(|(key, _)| key).collect();
    let before = wired(&load(&[]).expect("loads"));
    let directory = tempfile::tempdir().expect("a directory");
    for (part, spec) in IN_ONE_PROCESS.iter().zip(specs) {
        assert_eq!((part.program, part.defaults, part.secrets), (spec.program, spec.defaults, spec.secrets));
        assert_eq!(part.env_prefix, spec.env_prefix);
        let keys: Vec<String> = part.documented_keys().into_iter().map(|(key, _)| key).collect();
        for (key, reason) in part.not_taken {
            assert!(keys.iter().any(|known| known == key), "{} has no {key} any more", part.program);
            assert!(!reason.is_empty(), "{key}");
        }
        for key in keys.iter().filter(|key| part.takes(key)) {
            assert!(known.contains(key), "{key}");
            let value = match key.strip_suffix("_file").filter(|held| part.takes(held)) {
                None => another_value(part, key),
                // The setting itself is in the file.
                Some(held) => {
                    let path = directory.path().join(key);
                    std::fs::write(&path, another_value(part, held)).expect("written");
                    path.to_str().expect("utf-8").to_owned()
                }
            };
            let config = load(&[(&variable(key), &value)]).unwrap_or_else(|error| panic!("{key}: {error}"));
            let (gateway, admin) = wired(&config);
            let reached = if part.program == "relay-gateway" { gateway != before.0 } else { admin != before.1 };
            assert!(reached, "{} of {value} does not reach the {}", variable(key), part.program);
        }
        for secret in part.secrets.iter().filter(|secret| part.takes(secret)) {
            let file = format!("{secret}_file");
            assert!(part.takes(&file) && known.contains(&file), "{secret} has no {file}");
        }
    }
}

#[test]
fn a_list_of_secrets_in_a_file_reaches_both_ends_and_a_bad_file_is_told_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("secrets");
    let path = file.to_str().expect("utf-8");
    let from_file = |name, text: &str| {
        std::fs::write(&file, text).expect("written");
        load(&[(name, path)])
    };
    let config = from_file("CHAT_RELAY_GRPC_TOKEN_FILE", "the-next-grpc-token\na-grpc-token-of-old\n").expect("loads");
    let (gateway, admin) = wired(&config);
    for part in [gateway, admin] {
        assert!(part.contains("the-next-grpc-token\na-grpc-token-of-old"), "{part}");
    }
    for name in [
        "ADMIN_API_KEY_FILE",
        "CHAT_RELAY_RELAY_SECRET_FILE",
        "CHAT_RELAY_GRPC_TOKEN_FILE",
        "CHAT_RELAY_MASTER_KEYS_FILE",
        "CHAT_RELAY_DATABASE_URL_FILE",
    ] {
        for (text, wrong) in [("", "is empty: write the secret into it"), ("hidden", " ")] {
            let Err(ConfigError::Problems(problems)) = from_file(name, text) else { panic!("{name} of {text:?}") };
            assert_eq!(problems.len(), 1, "{name} of {text:?}: {problems:?}");
            assert!(problems[0].contains(wrong) && !problems[0].contains("hidden"), "{problems:?}");
        }
    }
}

#[test]
fn a_key_of_both_parts_means_the_same_to_both() {
    let [gateway, admin] = &IN_ONE_PROCESS;
    let shared: Vec<_> = gateway
        .documented_keys()
        .into_iter()
        .map(|(key, _)| key)
        .filter(|key| gateway.takes(key) && admin.takes(key))
        .collect();
    // Both services read these keys. Before you add one, check that one value is right for both. If it is not, rename one key.
    let looked_at =
        ["relay_url", "drain_timeout_ms", "access_log", "log_filter", "log_format", "otlp_endpoint", "trace_ratio"];
    assert_eq!(shared, looked_at);
    // One value is read for both: where their defaults differ, the whole has a default of its own.
    let default = |defaults: &str, key: &str| {
        defaults.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")).map(str::to_owned))
    };
    for key in shared {
        let defaults = [gateway.defaults, admin.defaults].map(|defaults| default(defaults, &key));
        assert!(defaults[0] == defaults[1] || default(SPEC.defaults, &key).is_some(), "{key}");
    }
}

#[test]
fn every_problem_of_every_part_is_told_once_in_one_run() {
    let problems = load(&[
        ("CHAT_RELAY_LISTEN", "7811"),
        ("CHAT_RELAY_BODY_LIMIT_BYTES", "0"),
        ("CHAT_RELAY_LEASE_MS", "60000"),
        ("CHAT_RELAY_TRUSTED_PROXIES", "10.0.0.0/99"),
        ("CHAT_RELAY_MASTER_KEYS", "short-but-hidden"),
        ("CHAT_RELAY_RELAY_SECRET", "hidden"),
        ("CHAT_RELAY_HEADER_TIMEOUT_MS", ""),
        ("CHAT_RELAY_API_KEY", "hidden-under-a-wrong-name"),
        ("CHAT_RELAY_THREADS", "3"),
    ])
    .expect_err("refused");
    let text = problems.to_string();
    for expected in [
        "listen (from CHAT_RELAY_LISTEN): \"7811\"",
        "body_limit_bytes (from CHAT_RELAY_BODY_LIMIT_BYTES)",
        "lease_ms must be 250 to 25000",
        "10.0.0.0/99",
        "master_keys (from CHAT_RELAY_MASTER_KEYS): its value",
        "relay_secret must have",
        "set CHAT_RELAY_HEADER_TIMEOUT_MS",
        "CHAT_RELAY_API_KEY is not read: the variable is ADMIN_API_KEY",
        "CHAT_RELAY_THREADS is not a setting here: the services share one runtime",
    ] {
        assert_eq!(text.matches(expected).count(), 1, "{expected} in {text}");
    }
    assert!(!text.contains("hidden"), "{text}");
}

#[test]
fn a_file_takes_the_parts_settings_and_says_why_it_does_not_take_others() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let read = |text: &str| {
        std::fs::write(file.path(), text).expect("written");
        let args = vec!["--config".into(), file.path().into(), "--max-sockets".into(), "7".into()];
        Config::load(&Sources { args, env: Vec::new() })
    };
    let (gateway, admin) = wired(&read("max_sockets = 5\nbody_limit_bytes = 77\nlease_ms = 777\n").expect("loads"));
    assert!(
        gateway.contains("most: 7,") && gateway.contains("limit: 77,") && admin.contains("lease: 777ms"),
        "{gateway}"
    );
    let refused = read("threads = 3\nmax_socket = 5\n").expect_err("refused").to_string();
    assert!(refused.contains("named threads: the services share one runtime"), "{refused}");
    assert!(refused.contains("max_socket: is max_sockets meant?"), "{refused}");
}

#[test]
fn no_secret_of_a_part_is_a_flag_or_in_debug() {
    let flags = Config::load(&Sources { args: vec!["--help".into()], env: Vec::new() }).expect_err("--help prints");
    let help = flags.to_string();
    assert!(help.contains("--max-sockets") && help.contains("--token-issuer"), "{help}");
    for secret in ["relay-secret", "grpc-token", "master-keys", "api-key"] {
        assert!(!help.contains(&format!("--{secret} ")), "{secret} in {help}");
    }
    let secrets = ["ADMIN_API_KEY", "CHAT_RELAY_RELAY_SECRET", "CHAT_RELAY_GRPC_TOKEN"];
    let config = load(&secrets.map(|name| (name, "a-secret-to-hide-well"))).expect("loads");
    assert!(!format!("{config:?}").contains("to-hide"));
}

#[test]
fn what_belongs_to_a_laptop_is_off_elsewhere_unless_it_is_set() {
    let exposures = |env: &[(&str, &str)]| {
        let config = load(env).expect("loads");
        (config.demo, config.admin_api())
    };
    assert_eq!(exposures(&[]), (Exposure::Direct, Exposure::Direct));
    for elsewhere in [
        ("CHAT_RELAY_LISTEN", "0.0.0.0:7811"),
        ("CHAT_RELAY_RELAY_URL", "https://chat.example.com"),
        ("CHAT_RELAY_TRUSTED_PROXIES", "127.0.0.1"),
    ] {
        assert_eq!(exposures(&[elsewhere]), (Exposure::Off, Exposure::Off), "{elsewhere:?}");
        let set = [elsewhere, ("CHAT_RELAY_DEMO_PAGE", "true"), ("CHAT_RELAY_EXPOSE_ADMIN_API", "true")];
        assert_eq!(exposures(&set), (Exposure::On, Exposure::On), "{elsewhere:?}");
    }
    let off = [("CHAT_RELAY_DEMO_PAGE", "false"), ("CHAT_RELAY_EXPOSE_ADMIN_API", "false")];
    assert_eq!(exposures(&off), (Exposure::Off, Exposure::Off));
}

#[test]
fn the_demos_articles_are_there_only_where_nobody_else_reaches_the_relay() {
    let loaded = |env: &[(&str, &str)]| {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = Config::load(&Sources { args: Vec::new(), env }).expect("it loads");
        (config.demo != Exposure::Off, config.demo_knowledge)
    };
    let on = ("CHAT_RELAY_DEMO_PAGE", "true");
    let (public, proxied, outside) = (
        ("CHAT_RELAY_RELAY_URL", "https://chat.example.com"),
        ("CHAT_RELAY_TRUSTED_PROXIES", "10.0.0.1"),
        ("CHAT_RELAY_LISTEN", "0.0.0.0:7811"),
    );
    assert_eq!(loaded(&[]), (true, true));
    assert_eq!(loaded(&[on]), (true, true));
    assert_eq!(loaded(&[("CHAT_RELAY_DEMO_PAGE", "false")]), (false, false));
    for elsewhere in [public, proxied, outside] {
        assert_eq!(loaded(&[elsewhere]), (false, false), "{elsewhere:?}");
        assert_eq!(loaded(&[elsewhere, on]), (true, false), "{elsewhere:?}");
    }
}

#[test]
fn mail_is_the_embedded_chat_backends_and_its_url_may_stand_in_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("smtp");
    std::fs::write(&path, "smtps://user:hunter2@mail.example.com\n").expect("written");
    let file = ("CHAT_BACKEND_SMTP_URL_FILE", path.to_str().expect("utf-8"));
    let from = ("CHAT_BACKEND_SMTP_FROM", "Support <chat@example.com>");
    let config = load(&[file, from]).expect("loads");
    assert!(config.backend.mail.is_some() && !format!("{config:?}").contains("hunter2"));
    let elsewhere = ("CHAT_RELAY_CHAT_BACKEND_URL", "http://127.0.0.1:1234");
    let refused = load(&[file, from, elsewhere]).expect_err("refused").to_string();
    assert!(refused.contains("smtp_url") && !refused.contains("hunter2"), "{refused}");
}
