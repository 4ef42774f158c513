use super::*;

fn load(env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::load(&Sources { args: Vec::new(), env })
}

#[test]
fn a_short_admin_key_refuses_the_start_and_is_not_shown() {
    let error = load(&[
        ("ADMIN_API_KEY", "fifteen-chars-x"),
        ("ADMIN_DATABASE_URL", "mysql://x"),
        ("ADMIN_LEASE_MS", "60000"),
        ("ADMIN_RELAY_URL", "ftp://relay"),
    ])
    .expect_err("refused")
    .to_string();
    for expected in [
        "api_key must have at least 16",
        "ADMIN_MASTER_KEYS",
        "ADMIN_GRPC_TOKEN",
        "sqlite: or postgres://",
        "250 to 25000",
        "https://relay.example.com",
    ] {
        assert!(error.contains(expected), "{expected} in {error}");
    }
    assert!(!error.contains("fifteen-chars-x"));
}

#[test]
fn nothing_secret_is_in_its_debug() {
    let config = load(&[
        ("ADMIN_API_KEY", "an-admin-key-to-hide"),
        ("ADMIN_GRPC_TOKEN", "a-grpc-token-to-hide"),
        ("ADMIN_MASTER_KEYS", "k1:K4ZVi+A880qJsRq/uygtyfYgIRmuvB+Up7k68nt5VwQ="),
        ("ADMIN_DATABASE_URL", "postgres://u:hidden-password@h/d"),
    ])
    .expect("loads");
    let shown = format!("{config:?}");
    for hidden in ["to-hide", "hidden-password", "K4ZVi+"] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
    let error = load(&[("ADMIN_DATABASE_URL", "postgres://u:hidden/password@h/d")]).expect_err("refused").to_string();
    assert!(error.contains("percent-encode") && !error.contains("hidden"), "{error}");
}

#[test]
fn a_change_that_waits_for_a_lease_ends_within_the_time_that_the_process_has_to_stop() {
    let secrets = [
        ("ADMIN_API_KEY", "an-admin-key-to-hide"),
        ("ADMIN_GRPC_TOKEN", "a-grpc-token-to-hide"),
        ("ADMIN_MASTER_KEYS", "k1:K4ZVi+A880qJsRq/uygtyfYgIRmuvB+Up7k68nt5VwQ="),
    ];
    let drained =
        |lease: &str| load(&[&secrets[..], &[("ADMIN_DRAIN_TIMEOUT_MS", "20000"), ("ADMIN_LEASE_MS", lease)]].concat());
    assert!(drained("20000").is_ok());
    let refused = drained("20001").expect_err("refused").to_string();
    assert!(
        refused.contains("lease_ms (20001, from ADMIN_LEASE_MS) must be at most drain_timeout_ms (20000, from"),
        "{refused}"
    );
}
