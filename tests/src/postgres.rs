//! A private PostgreSQL: its own data directory, its own socket, no port, gone with the test.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::process::PATIENCE;

/// A server of the test's own.
#[derive(Debug)]
pub struct Postgres {
    directory: TempDir,
    server: Mutex<Child>,
}

/// The directory of the newest installed server's programs.
fn programs() -> PathBuf {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    versions.retain(|path| path.join("initdb").exists());
    versions.sort();
    versions.pop().expect("PostgreSQL's server is installed: tests/run installs it")
}

/// A command that runs as somebody PostgreSQL accepts: it refuses root.
fn unprivileged(program: &Path) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

impl Postgres {
    /// Starts a server.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("opened for the server's user");
        let data = directory.path().join("data");
        let made = unprivileged(&programs().join("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .args(["--username=relay", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
            .current_dir("/")
            .stdout(Stdio::null())
            .status();
        assert!(made.is_ok_and(|status| status.success()), "initdb failed");
        let server = Mutex::new(Self::spawn(directory.path()));
        let postgres = Self { directory, server };
        postgres.wait_until_it_answers();
        postgres
    }

    fn spawn(directory: &Path) -> Child {
        unprivileged(&programs().join("postgres"))
            .arg("-D")
            .arg(directory.join("data"))
            .arg("-k")
            .arg(directory)
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "max_connections=200",
                "-c",
                "fsync=off",
                "-c",
                "log_min_messages=fatal",
            ])
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts")
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.psql("postgres", "SELECT 1") {
            assert!(Instant::now() < deadline, "PostgreSQL does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn psql(&self, database: &str, sql: &str) -> bool {
        Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--username=relay", "--command", sql, "--dbname", database, "--host"])
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Runs SQL in a session of its own, in the background.
    ///
    /// # Panics
    /// Where psql cannot be started.
    #[must_use]
    pub fn session(&self, database: &str, sql: &str) -> Child {
        Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--username=relay", "--command", sql, "--dbname", database, "--host"])
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql starts")
    }

    /// Makes an empty database and answers its URL.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn database(&self, name: &str) -> String {
        assert!(self.psql("postgres", &format!("CREATE DATABASE \"{name}\"")), "the database cannot be made");
        let socket = self.directory.path().to_str().expect("utf-8").replace('/', "%2F");
        format!("postgres://relay@{socket}/{name}")
    }
}

impl Postgres {
    /// The system's number for its first process, whose children serve the connections.
    ///
    /// # Panics
    /// Never: nothing panics with the server locked.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.server.lock().expect("not poisoned").id()
    }

    /// Where its socket is.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        self.directory.path()
    }

    /// Stops the server at once, with clients still connected, and starts it again.
    ///
    /// # Panics
    /// Where it does not come back.
    pub fn restart(&self) {
        let mut server = self.server.lock().expect("not poisoned");
        stop(&mut server);
        *server = Self::spawn(self.directory.path());
        drop(server);
        self.wait_until_it_answers();
    }
}

/// A connection pooler before a server: each transaction may get another session.
#[derive(Debug)]
pub struct Pooler {
    directory: TempDir,
    process: Child,
}

impl Pooler {
    /// Starts one before the server with this socket directory. It refuses startup parameters, except for those that it is told
    /// to ignore (comma-separated), which it drops.
    ///
    /// # Panics
    /// Where `PgBouncer` is not installed or does not start.
    #[must_use]
    pub fn before(server: &Path, ignored_parameters: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("opened for the pooler's user");
        let (path, config) = (directory.path().display(), directory.path().join("pgbouncer.ini"));
        let text = format!(
            "[databases]\n* = host={} user=relay\n[pgbouncer]\nlisten_addr =\nlisten_port = {POOLER_PORT}\nunix_socket_dir = {path}\n\
             auth_type = any\npool_mode = transaction\nignore_startup_parameters = {ignored_parameters}\n",
            server.display()
        );
        fs::write(&config, text).expect("written");
        let process = unprivileged(Path::new("pgbouncer"))
            .arg("--quiet")
            .arg(&config)
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the pooler starts: tests/run installs it");
        let deadline = Instant::now() + PATIENCE;
        while !directory.path().join(format!(".s.PGSQL.{POOLER_PORT}")).exists() {
            assert!(Instant::now() < deadline, "the pooler does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { directory, process }
    }

    /// The URL of a database behind it.
    ///
    /// # Panics
    /// Where its directory is not UTF-8.
    #[must_use]
    pub fn database(&self, name: &str) -> String {
        let socket = self.directory.path().to_str().expect("utf-8").replace('/', "%2F");
        format!("postgres://relay@{socket}:{POOLER_PORT}/{name}")
    }
}

const POOLER_PORT: u16 = 6432;

impl Drop for Pooler {
    fn drop(&mut self) {
        stop(&mut self.process);
    }
}

fn stop(server: &mut Child) {
    // A fast shutdown; killing the first process alone would leave its children.
    let _ = Command::new("kill").args(["-INT", &server.id().to_string()]).status();
    let _ = server.wait();
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(mut server) = self.server.lock() {
            stop(&mut server);
        }
    }
}
