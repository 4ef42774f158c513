//! Each kind of server: with TLS and a password, a master that Sentinels name, a cluster.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use e2e::{certificates::Authority, process::PATIENCE, redis::Redis, world::lasting_address};

use super::caller::{counts_together, fleet_at, until_ready_says};

/// No call may be counted alone because the machine is busy.
const PATIENT: (&str, &str) = ("GATEWAY_REDIS_TIMEOUT_MS", "1000");

#[tokio::test]
async fn with_tls_and_a_password() {
    let authority = Authority::new();
    let made = authority.issue("redis", 2);
    let text = |path: &Path| path.to_str().expect("utf-8").to_owned();
    let address = lasting_address();
    let port = address.rsplit(':').next().expect("a port");
    let (certificate, key, ca) = (text(&made.cert), text(&made.key), text(&authority.ca()));
    let _redis = Redis::with(&[
        "--tls-port",
        port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
        "--user",
        "relay",
        "on",
        ">p@ss",
        "~*",
        "&*",
        "+@all",
    ]);
    let url = format!("rediss://relay:p%40ss@localhost:{port}");
    let fleet = fleet_at(&url, &[PATIENT, ("SSL_CERT_FILE", &ca)]).await;
    counts_together(&fleet).await;
    for gateway in &fleet.gateways {
        assert!(
            !gateway.process.log().contains("p@ss") && !gateway.process.log().contains("p%40ss"),
            "no log shows a password"
        );
    }
}

/// A Sentinel, gone with the test.
struct Sentinel(Child);

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_master_that_a_sentinel_names_also_after_a_failover() {
    let master = Redis::start();
    let replica = Redis::with(&["--replicaof", "127.0.0.1", master.port(), "--repl-diskless-sync-delay", "0"]);
    let directory = tempfile::tempdir().expect("a directory");
    let address = lasting_address();
    let port = address.rsplit(':').next().expect("a port");
    let settings = directory.path().join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 1000\n\
         sentinel failover-timeout main 5000\n",
        master.port()
    );
    std::fs::write(&settings, text).expect("written");
    let started = Command::new("redis-server").arg(&settings).arg("--sentinel").stdout(Stdio::null()).spawn();
    let _sentinel = Sentinel(started.expect("a Sentinel"));
    let knows_replica = || {
        let told =
            Command::new("redis-cli").args(["-p", port, "sentinel", "replicas", "main"]).output().expect("redis-cli");
        String::from_utf8_lossy(&told.stdout).contains(replica.port())
    };
    let deadline = Instant::now() + PATIENCE;
    while !knows_replica() {
        assert!(Instant::now() < deadline, "the Sentinel does not know the replica");
        std::thread::sleep(Duration::from_millis(50));
    }
    let fleet = fleet_at(&format!("redis+sentinel://127.0.0.1:{port}/main"), &[PATIENT]).await;
    counts_together(&fleet).await;
    assert!(!master.cli(&["--scan", "--pattern", "*:rate:30"]).is_empty(), "the master counts");

    master.kill();
    for gateway in &fleet.gateways {
        until_ready_says(gateway.relay, "count alone").await;
    }
    for gateway in &fleet.gateways {
        until_ready_says(gateway.relay, "counted for all gateways").await;
    }
    counts_together(&fleet).await;
    assert!(replica.cli(&["ROLE"]).starts_with("master"), "the replica has become it");
}

#[tokio::test]
async fn a_cluster() {
    let servers: Vec<_> =
        (0..2).map(|_| Redis::with(&["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"])).collect();
    assert_eq!(servers[0].cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "8000"]), "OK");
    assert_eq!(servers[1].cli(&["CLUSTER", "ADDSLOTSRANGE", "8001", "16383"]), "OK");
    assert_eq!(servers[0].cli(&["CLUSTER", "MEET", "127.0.0.1", servers[1].port()]), "OK");
    let deadline = Instant::now() + PATIENCE;
    while !servers.iter().all(|server| server.cli(&["CLUSTER", "INFO"]).contains("cluster_slots_assigned:16384")) {
        assert!(Instant::now() < deadline, "the cluster does not form");
        std::thread::sleep(Duration::from_millis(50));
    }
    let fleet = fleet_at(
        &format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", servers[0].port(), servers[1].port()),
        &[PATIENT],
    )
    .await;
    // Enough tenants that each server counts some.
    for _ in 0..12 {
        counts_together(&fleet).await;
    }
    for server in &servers {
        assert!(!server.cli(&["--scan", "--pattern", "*:rate:30"]).is_empty());
    }
}
