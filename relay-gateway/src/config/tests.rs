use super::{descriptors::OTHER_DESCRIPTORS, *};

#[test]
fn plain_http_is_for_this_machine() {
    for (url, leaves) in [
        ("http://127.0.0.1:7813", false),
        ("http://127.8.9.1:7813", false),
        ("http://[::1]:7813", false),
        ("http://[::ffff:127.0.0.1]:7813", false),
        ("http://localhost:7813", false),
        ("https://admin.internal:7813", false),
        ("http://admin.internal:7813", true),
        ("http://10.0.0.7:7813", true),
        ("http://localhost.example.com", true),
    ] {
        assert_eq!(url.parse::<HttpUrl>().expect("a URL").is_plain_beyond_loopback(), leaves, "{url}");
    }
}

#[test]
fn bounds_fit_the_descriptors_there_are() {
    let mut config = load(&SECRETS).expect("loads");
    config.bounded().fit_to(1_000_000);
    assert_eq!((config.bounds.max_connections, config.sockets.limits.most), (20_000, 20_000));
    assert_eq!((config.limits.connections_per_address, config.limits.sockets_per_address), (5000, 5000));
    config.bounded().fit_to(1024);
    let (connections, sockets) = (config.bounds.max_connections, config.sockets.limits.most);
    assert!((connections + sockets) * 2 + OTHER_DESCRIPTORS <= 1024, "{connections} and {sockets}");
    assert!(connections >= 200 && config.limits.connections_per_address < connections / 3);
    let mut uneven = load(&[SECRETS[0], SECRETS[1], ("GATEWAY_MAX_CONNECTIONS", "100")]).expect("loads");
    uneven.bounded().fit_to(1024);
    assert_eq!((uneven.bounds.max_connections, uneven.sockets.limits.most), (100, 380), "who wants little has it");
    config.bounded().fit_to(1);
    assert_eq!((config.bounds.max_connections, config.sockets.limits.most), (1, 1));
}

const SECRETS: [(&str, &str); 2] =
    [("GATEWAY_ADMIN_GRPC_TOKEN", "a-token-to-hide-from-all"), ("GATEWAY_RELAY_SECRET", "a-secret-to-hide-from-all")];

fn load(env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::load(&Sources { args: Vec::new(), env })
}

#[test]
fn every_problem_is_reported_in_one_run() {
    let error = load(&[
        ("GATEWAY_LISTEN", "7811"),
        ("GATEWAY_CHAT_BACKEND_URL", "ftp://x"),
        ("GATEWAY_ADMIN_GRPC", "http://a:1,nonsense"),
        ("GATEWAY_TRUSTED_PROXIES", "10.0.0.0/99"),
        ("GATEWAY_RELAY_SECRET", "short"),
        ("GATEWAY_BODY_LIMIT_BYTES", "0"),
    ])
    .expect_err("refused")
    .to_string();
    for expected in [
        "7811",
        "ftp://x",
        "entry 2",
        "10.0.0.0/99",
        "relay_secret must have",
        "body_limit_bytes",
        "GATEWAY_ADMIN_GRPC_TOKEN",
    ] {
        assert!(error.contains(expected), "{expected} in {error}");
    }
}

#[test]
fn the_admin_paths_are_closed_unless_opened_or_on_a_laptop() {
    let admin_api = |more: &[(&str, &str)]| {
        let config = load(&[&SECRETS, more].concat()).expect("loads");
        assert!(config.exposed.developer_api && !format!("{config:?}").contains("to-hide"));
        config.exposed.admin_api
    };
    let everywhere = ("GATEWAY_LISTEN", "0.0.0.0:7811");
    assert_eq!(admin_api(&[everywhere]), Exposure::Off);
    assert_eq!(admin_api(&[]), Exposure::Direct, "loopback");
    assert_eq!(admin_api(&[("GATEWAY_TRUSTED_PROXIES", "127.0.0.1")]), Exposure::Off);
    assert_eq!(admin_api(&[("GATEWAY_RELAY_URL", "https://relay.example.com")]), Exposure::Off);
    assert_eq!(admin_api(&[("GATEWAY_EXPOSE_ADMIN_API", "false")]), Exposure::Off);
    assert_eq!(admin_api(&[everywhere, ("GATEWAY_EXPOSE_ADMIN_API", "true")]), Exposure::On);
}

#[test]
fn sockets_are_closed_within_the_time_that_the_process_has_to_stop() {
    let drained = |sockets: &str| load(&[SECRETS[0], SECRETS[1], ("GATEWAY_SOCKET_DRAIN_MS", sockets)]);
    assert!(drained("25000").is_ok());
    let refused = drained("25001").expect_err("refused").to_string();
    let expected = "socket_drain_ms (25001, from GATEWAY_SOCKET_DRAIN_MS) must be at most drain_timeout_ms (25000, from the defaults)";
    assert!(refused.contains(expected) && refused.contains("raise GATEWAY_DRAIN_TIMEOUT_MS"), "{refused}");
    let short = [SECRETS[0], SECRETS[1], ("GATEWAY_LISTEN", "7811"), ("GATEWAY_DRAIN_TIMEOUT_MS", "9000")];
    let refused = load(&short).expect_err("refused").to_string();
    assert!(refused.contains("socket_drain_ms (10000, from the defaults)"), "told beside other problems: {refused}");
}
