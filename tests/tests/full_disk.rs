//! A database whose disk is full, fails, or may only be read: what is acknowledged is there after a crash, what is not is said to
//! be not, and it heals without a restart.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use e2e::{
    process::Process,
    scale,
    signed::Tenant,
    small_disk::SmallDisk,
    world::{Operator, RELAY_SECRET, admin_environment, backend_environment, until_ready},
};
use serde_json::{Value, json};
use wire::{
    TenantId,
    signature::{BodyDigest, RelayKey, RelayedCall},
    time::now_unix_ms,
};

/// Bytes enough for a database and a log that grows for a while.
const DISK_MIB: u32 = 12;

/// How long a file may grow at first, in `ulimit`'s words: a MiB in blocks of 512 bytes. Only the soft limit, which can be lifted.
const FILE_LIMIT: &str = "-S -f 2048";

struct Admin {
    process: Process,
    operator: Operator,
}

impl Admin {
    async fn start(disk: &SmallDisk) -> Self {
        Self::of(Process::start("admin-service", &[], &Self::environment(disk.path()))).await
    }

    fn environment(directory: &Path) -> HashMap<String, String> {
        let url = format!("sqlite://{}?mode=rwc", directory.join("admin.db").display());
        let mut environment = admin_environment(&url);
        environment.insert("ADMIN_DATABASE_STATEMENT_TIMEOUT_MS".to_owned(), "500".to_owned());
        environment
    }

    async fn of(process: Process) -> Self {
        let rest = process.address("admin-rest");
        until_ready(rest).await;
        Self { process, operator: Operator::at(rest) }
    }

    async fn rotate(&self, tenant_id: &str) -> (u16, Value) {
        self.operator.call("POST", &format!("/rotate/tenant-secret?tenant_id={tenant_id}"), None).await
    }

    /// Rotates until four calls have failed, each as `check` expects, and answers how many were acknowledged meanwhile.
    async fn rotate_until_refused(&self, tenant: &Tenant, check: fn(&(u16, Value))) -> usize {
        let (mut acknowledged, mut refusals) = (0, 0);
        while refusals < 4 {
            let answer = self.rotate(&tenant.id).await;
            if answer.0 == 200 {
                acknowledged += 1;
            } else {
                check(&answer);
                refusals += 1;
            }
        }
        acknowledged
    }

    /// Rotations of the tenant that the history has.
    async fn rotations(&self, tenant: &Tenant) -> usize {
        let path = format!("/fetch/audit-log?tenant_id={}&limit=500", tenant.id);
        let (status, log) = self.operator.call("GET", &path, None).await;
        assert_eq!(status, 200, "{log}");
        let entries = log["data"]["items"].as_array().expect("entries");
        entries.iter().filter(|entry| entry["action"] == "rotate_tenant_secret").count()
    }
}

/// A change that the database could not take: nothing was changed, and that is said.
fn refused((status, body): &(u16, Value)) {
    assert_eq!((*status, &body["error_code"]), (503, &json!("store_unavailable")), "{body}");
    let message = body["message"].as_str().expect("a message");
    assert!(message.contains("takes no changes") && message.contains("Nothing was changed"), "{message}");
}

/// A change whose writes failed: refused, or where the commit itself failed, not known to be made, for a write that fails late may
/// be on the disk.
fn failed(answer: &(u16, Value)) {
    if answer.1["error_code"] == "outcome_unknown" {
        assert_eq!(answer.0, 503);
    } else {
        refused(answer);
    }
}

/// Another program that holds the lock for changes to a SQLite file, until it is dropped.
struct Lock(Child);

impl Lock {
    fn take(file: &Path) -> Self {
        let held = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                    c.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\nsys.stdin.read()\n";
        let mut python = Command::new("python3")
            .args(["-c", held])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let mut said = [0; 5];
        std::io::Read::read_exact(python.stdout.as_mut().expect("piped"), &mut said).expect("it holds the lock");
        Self(python)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("python ends");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_admin_service_acknowledges_on_a_full_disk_is_there_after_a_crash() {
    let disk = SmallDisk::mount(DISK_MIB);
    let mut admin = Admin::start(&disk).await;
    let tenant = admin.operator.provision(json!({"tenant_name": "Full"})).await;
    let mut acknowledged = 0;
    for round in 0..scale::of(40) {
        disk.fill();
        // Until there is no room left in the log: then for as long as there is none.
        acknowledged += admin.rotate_until_refused(&tenant, refused).await;
        // Rotating an unknown tenant is a 404 or a 503, also while the disk is full.
        let (status, _) = admin.rotate(&TenantId::generate().to_string()).await;
        assert!([404, 503].contains(&status), "{status}");
        let (status, read) = admin.operator.call("GET", &format!("/fetch/tenant?tenant_id={}", tenant.id), None).await;
        assert_eq!(status, 200, "it reads: {read}");
        disk.free();
        for _ in 0..3 {
            let (status, body) = admin.rotate(&tenant.id).await;
            assert_eq!(status, 200, "round {round}: it heals by itself: {body}");
            acknowledged += 1;
        }
        assert_eq!(admin.rotations(&tenant).await, acknowledged, "round {round}");
    }
    admin.process.kill();
    let admin = Admin::start(&disk).await;
    assert_eq!(admin.rotations(&tenant).await, acknowledged, "what was acknowledged is there, and nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_service_starts_on_a_full_disk_reads_and_heals() {
    let disk = SmallDisk::mount(DISK_MIB);
    let mut admin = Admin::start(&disk).await;
    let tenant = admin.operator.provision(json!({"tenant_name": "Full"})).await;
    for is_clean in [false, true] {
        if is_clean {
            admin.process.terminate();
        } else {
            admin.process.kill();
        }
        let _ = admin.process.wait();
        disk.fill();
        admin = Admin::start(&disk).await;
        let (status, read) = admin.operator.call("GET", &format!("/fetch/tenant?tenant_id={}", tenant.id), None).await;
        assert_eq!(status, 200, "{read}");
        let answer = admin.rotate(&tenant.id).await;
        if answer.0 != 200 {
            refused(&answer);
        }
        disk.free();
        let (status, body) = admin.rotate(&tenant.id).await;
        assert_eq!(status, 200, "after a stop that was clean: {is_clean}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_may_only_be_read_or_a_file_that_is_locked_is_said_and_healed() {
    let disk = SmallDisk::mount(DISK_MIB);
    let mut admin = Admin::start(&disk).await;
    let tenant = admin.operator.provision(json!({"tenant_name": "Locked"})).await;
    let file = disk.path().join("admin.db");
    let lock = Lock::take(&file);
    let (status, body) = admin.rotate(&tenant.id).await;
    assert_eq!((status, &body["error_code"]), (503, &json!("store_unavailable")), "{body}");
    drop(lock);
    assert_eq!(admin.rotate(&tenant.id).await.0, 200);

    let mut acknowledged = admin.rotations(&tenant).await;
    admin.process.kill();
    let _ = admin.process.wait();
    disk.read_only(true);
    let url = format!("sqlite://{}?mode=rwc", file.display());
    let mut blocked = Process::start("admin-service", &[], &admin_environment(&url));
    assert!(!blocked.wait().success(), "it cannot take the file for its own");
    assert!(blocked.log().contains("admin.db"), "{}", blocked.log());
    disk.read_only(false);
    let mut admin = Admin::start(&disk).await;
    for _ in 0..3 {
        assert_eq!(admin.rotate(&tenant.id).await.0, 200);
        acknowledged += 1;
    }
    admin.process.kill();
    let admin = Admin::start(&disk).await;
    assert_eq!(admin.rotations(&tenant).await, acknowledged);
}

struct Backend {
    process: Process,
    base: String,
    tenant: TenantId,
}

impl Backend {
    async fn start(disk: &SmallDisk, tenant: TenantId) -> Self {
        Self::of(Process::start("chat-relay", &["backend"], &backend_environment(disk.path())), tenant).await
    }

    async fn of(process: Process, tenant: TenantId) -> Self {
        let address = process.address("chat-backend");
        until_ready(address).await;
        Self { process, base: format!("http://{address}"), tenant }
    }

    /// A call as the gateway would sign it.
    async fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (timestamp, tenant_id) = (now_unix_ms().to_string(), self.tenant.to_string());
        let call =
            RelayedCall { timestamp: &timestamp, method, path_and_query: path, tenant_id: &tenant_id, actor: "tenant" };
        let signature = RelayKey::new(RELAY_SECRET.as_bytes()).sign(&call, &BodyDigest::of(body.as_bytes())).to_hex();
        let request = reqwest::Client::new()
            .request(method.parse().expect("a method"), format!("{}{path}", self.base))
            .header("x-relay-tenant-id", tenant_id)
            .header("x-relay-timestamp", &timestamp)
            .header("x-relay-actor", "tenant")
            .header("x-relay-signature", signature)
            .body(body.to_owned());
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("an envelope"))
    }

    async fn say(&self, conversation: &str, content: &str) -> (u16, Value) {
        let body = json!({"role": "system", "content": content}).to_string();
        self.call("POST", &format!("/add/message?conversation_id={conversation}"), &body).await
    }

    async fn messages(&self, conversation: &str) -> usize {
        let (status, page) =
            self.call("GET", &format!("/fetch/messages?conversation_id={conversation}&limit=500"), "").await;
        assert_eq!(status, 200, "{page}");
        page["data"]["items"].as_array().expect("messages").len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_reference_backend_acknowledges_on_a_full_disk_is_there_after_a_crash() {
    let disk = SmallDisk::mount(DISK_MIB);
    let tenant = TenantId::generate();
    let mut backend = Backend::start(&disk, tenant).await;
    let (_, begun) = backend.call("POST", "/create/conversation", r#"{"visitor_user_id":"v"}"#).await;
    let conversation = begun["data"]["id"].as_str().expect("an id").to_owned();
    let mut acknowledged = 0;
    for round in 0..scale::of(40) {
        disk.fill();
        let mut refusals = 0;
        while refusals < 4 {
            let answer = backend.say(&conversation, "said").await;
            if answer.0 == 201 {
                acknowledged += 1;
            } else {
                refused(&answer);
                refusals += 1;
            }
        }
        assert_eq!(backend.say("no-such-conversation", "x").await.0, 404);
        assert_eq!(backend.messages(&conversation).await, acknowledged, "it reads");
        disk.free();
        for _ in 0..3 {
            let (status, body) = backend.say(&conversation, "said").await;
            assert_eq!(status, 201, "round {round}: it heals by itself: {body}");
            acknowledged += 1;
        }
    }
    backend.process.kill();
    let _ = backend.process.wait();
    disk.fill();
    let backend = Backend::start(&disk, tenant).await;
    assert_eq!(backend.messages(&conversation).await, acknowledged, "what was acknowledged is there, and nothing else");
    disk.free();
    assert_eq!(backend.say(&conversation, "said").await.0, 201);
}

/// A write that the system refuses for another reason than a full disk is an I/O error to SQLite.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_admin_service_acknowledges_while_writes_fail_is_there_after_a_crash() {
    let directory = tempfile::tempdir().expect("a directory");
    let environment = Admin::environment(directory.path());
    let mut admin = Admin::of(Process::start_within(FILE_LIMIT, "admin-service", &[], &environment)).await;
    let tenant = admin.operator.provision(json!({"tenant_name": "Failing"})).await;
    let mut acknowledged = 0;
    for round in 0..3 {
        acknowledged += admin.rotate_until_refused(&tenant, failed).await;
        assert_eq!(admin.rotations(&tenant).await, acknowledged, "round {round}: it reads");
        admin.process.limit_files("unlimited");
        for _ in 0..3 {
            let (status, body) = admin.rotate(&tenant.id).await;
            assert_eq!(status, 200, "round {round}: it heals by itself: {body}");
            acknowledged += 1;
        }
        assert_eq!(admin.rotations(&tenant).await, acknowledged, "round {round}");
        admin.process.limit_files("0");
    }
    admin.process.kill();
    let admin = Admin::of(Process::start("admin-service", &[], &environment)).await;
    assert_eq!(admin.rotations(&tenant).await, acknowledged, "what was acknowledged is there, and nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_backend_says_that_its_file_is_locked_or_fails_and_heals() {
    let directory = tempfile::tempdir().expect("a directory");
    let (environment, tenant) = (backend_environment(directory.path()), TenantId::generate());
    let unlimited = Process::start_within("-S -f unlimited", "chat-relay", &["backend"], &environment);
    let mut backend = Backend::of(unlimited, tenant).await;
    let (_, begun) = backend.call("POST", "/create/conversation", r#"{"visitor_user_id":"v"}"#).await;
    let conversation = begun["data"]["id"].as_str().expect("an id").to_owned();
    let mut acknowledged = 0;
    for is_locked in [true, false] {
        let lock = is_locked.then(|| Lock::take(&database_file(directory.path())));
        if !is_locked {
            backend.process.limit_files("0");
        }
        // A call waits seconds for a lock.
        for _ in 0..if is_locked { 1 } else { 3 } {
            let answer = backend.say(&conversation, "said").await;
            if is_locked {
                assert_eq!((answer.0, &answer.1["error_code"]), (503, &json!("store_unavailable")), "{answer:?}");
            } else {
                failed(&answer);
            }
            assert_eq!(backend.messages(&conversation).await, acknowledged, "it reads");
        }
        drop(lock);
        backend.process.limit_files("unlimited");
        for _ in 0..3 {
            let (status, body) = backend.say(&conversation, "said").await;
            assert_eq!(status, 201, "it heals by itself, locked {is_locked}: {body}");
            acknowledged += 1;
        }
    }
    backend.process.kill();
    let backend = Backend::of(Process::start("chat-relay", &["backend"], &environment), tenant).await;
    assert_eq!(backend.messages(&conversation).await, acknowledged, "what was acknowledged is there, and nothing else");
}

/// The one database there is in a directory.
fn database_file(directory: &Path) -> PathBuf {
    let files = std::fs::read_dir(directory).expect("a directory").map(|file| file.expect("a file").path());
    let databases: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "db")).collect();
    <[PathBuf; 1]>::try_from(databases).map(|[one]| one).expect("one database")
}
