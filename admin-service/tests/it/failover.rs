//! A PostgreSQL server that fails over, loses the answer to a commit, or stands behind a connection pooler.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use admin_service::store::{self, ConnectError};
use e2e::{postgres::Pooler, process::PATIENCE};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

use crate::support::{Service, TestDatabase, database, master_keys, postgres};

async fn ready(service: &Service) -> u16 {
    let url = format!("http://{}/readyz", service.rest);
    reqwest::get(url).await.expect("an answer").status().as_u16()
}

async fn rotate(service: &Service, tenant_id: &str) -> (u16, Value) {
    service.operator().call("POST", &format!("/rotate/tenant-secret?tenant_id={tenant_id}"), None).await
}

/// Looks until there is what is looked for. The service's own background work also uses the database that a test has broken, so
/// the first call after that may not be the one that meets the fault.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Leaves the service with connections to a server that takes no changes, as a failover does: each connection that is made now
/// stays read-only, also after the server takes changes again.
fn strand_connections(database: &TestDatabase) {
    database.meddle("ALTER DATABASE relay SET default_transaction_read_only = on");
    database.meddle(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'relay'",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_become_read_only_is_noticed_and_left_without_a_restart() {
    let service = Service::start(postgres()).await;
    let tenant = service.operator().provision(json!({"tenant_name": "Failed over"})).await;
    strand_connections(&service.database);
    let body = until("a change is refused for what it is", async || {
        let (status, body) = rotate(&service, &tenant.id).await;
        let is_told = body["message"].as_str().is_some_and(|message| message.contains("takes no changes"));
        assert_eq!((status, &body["error_code"]), (503, &json!("store_unavailable")), "{body}");
        is_told.then_some(body)
    })
    .await;
    assert!(body["message"].as_str().is_some_and(|message| message.contains("Nothing was changed")), "{body}");
    assert_eq!(ready(&service).await, 503, "a replica that can change nothing is not ready");
    let (status, _) = service.operator().call("GET", &format!("/fetch/tenant?tenant_id={}", tenant.id), None).await;
    assert_eq!(status, 200, "it reads");

    service
        .database
        .meddle("BEGIN; SET TRANSACTION READ WRITE; ALTER DATABASE relay RESET default_transaction_read_only; COMMIT");
    // The connections it has lead to the old server still: they are thrown away, and nobody restarts anything.
    until("changes are taken again", async || (rotate(&service, &tenant.id).await.0 == 200).then_some(())).await;
    until("it is ready again", async || (ready(&service).await == 200).then_some(())).await;
    for _ in 0..10 {
        assert_eq!(rotate(&service, &tenant.id).await.0, 200);
    }
    service.stop().await;
}

/// A way to the server that can lose what is answered to a commit.
struct LossyWay {
    directory: tempfile::TempDir,
    loses: Arc<AtomicBool>,
    forwards: Arc<AtomicBool>,
}

impl LossyWay {
    fn to(server: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).expect("a socket");
        let (loses, forwards) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let (is_losing, is_forwarding) = (Arc::clone(&loses), Arc::clone(&forwards));
        let server = server.join(".s.PGSQL.5432");
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.expect("the server answers");
                tokio::spawn(pass(client, server, Arc::clone(&is_losing), Arc::clone(&is_forwarding)));
            }
        });
        Self { directory, loses, forwards }
    }

    fn url(&self) -> String {
        let path = self.directory.path().to_str().expect("utf-8").replace('/', "%2F");
        format!("postgres://relay@{path}/relay")
    }
}

async fn pass(client: UnixStream, server: UnixStream, loses: Arc<AtomicBool>, forwards: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_lost = Arc::new(AtomicBool::new(false));
    let is_mute = Arc::clone(&is_lost);
    let answers = tokio::spawn(async move {
        let mut bytes = vec![0; 65_536];
        while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
            if is_mute.load(Ordering::SeqCst) || to_client.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    });
    let mut bytes = vec![0; 65_536];
    while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
        let is_commit = bytes[..length].windows(6).any(|window| window == b"COMMIT");
        if is_commit && loses.swap(false, Ordering::SeqCst) {
            // Nothing the server says reaches the client any more. Where it gets the commit, the client is cut off once the
            // server has answered, and so has committed.
            is_lost.store(true, Ordering::SeqCst);
            if forwards.load(Ordering::SeqCst) {
                to_server.write_all(&bytes[..length]).await.expect("the server reads");
            } else {
                answers.abort();
            }
            let _ = answers.await;
            return;
        }
        if to_server.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_neither_a_success_nor_a_clean_failure() {
    let database = postgres();
    let way = LossyWay::to(&database.socket_directory());
    let mut lossy = database.shared();
    lossy.url = way.url();
    let service = Service::start(lossy).await;
    let tenant = service.operator().provision(json!({"tenant_name": "Lost"})).await;
    let rotations = async || {
        let path = format!("/fetch/audit-log?tenant_id={}&limit=500", tenant.id);
        let (status, log) = service.operator().call("GET", &path, None).await;
        assert_eq!(status, 200, "{log}");
        let entries = log["data"]["items"].as_array().expect("entries");
        entries.iter().filter(|entry| entry["action"] == "rotate_tenant_secret").count()
    };
    for forwards in [true, false] {
        way.forwards.store(forwards, Ordering::SeqCst);
        // Another transaction may be the one that is lost: then the rotation is simply made.
        let (before, body) = until("a rotation's answer is lost", async || {
            let before = rotations().await;
            way.loses.store(true, Ordering::SeqCst);
            let (status, body) = rotate(&service, &tenant.id).await;
            way.loses.store(false, Ordering::SeqCst);
            (status == 503 && body["error_code"] == "outcome_unknown").then_some((before, body))
        })
        .await;
        let message = body["message"].as_str().expect("a message");
        assert!(message.contains("may have been made, or not"), "{message}");
        assert_eq!(rotations().await, before + usize::from(forwards), "either may be true");
        assert_eq!(rotate(&service, &tenant.id).await.0, 200, "it goes on");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_found_out_at_start() {
    let database = postgres();
    // What a pooler refuses, what it drops without a word, and what it cannot carry.
    for (ignored, preset) in [("", ""), ("options,extra_float_digits", ""), ("options,extra_float_digits", "5000")] {
        if !preset.is_empty() {
            database.meddle(&format!("ALTER DATABASE relay SET statement_timeout = {preset}"));
        }
        let pooler = Pooler::before(&database.socket_directory(), ignored);
        // The second start meets sessions that the first has used.
        for start in ["first", "second"] {
            let refused = store::connect(&self::database(&pooler.database("relay")), &master_keys()).await;
            let error = refused.map(drop).expect_err("refused");
            let told = error.to_string();
            assert!(matches!(error, ConnectError::Pooler(_)), "{ignored:?} {preset:?}, {start}: {told}");
            assert!(told.contains("database_url") && told.contains("server's own URL"), "{told}");
        }
    }
    database.meddle("ALTER DATABASE relay RESET statement_timeout");
    store::connect(&self::database(&database.url), &master_keys())
        .await
        .expect("its own URL")
        .close()
        .await
        .expect("closed");
}
