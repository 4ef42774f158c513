//! A private Redis: its own port and directory, gone with the test.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{process::PATIENCE, world::lasting_address};

/// A server of the test's own, which comes back at the same port.
#[derive(Debug)]
pub struct Redis {
    directory: TempDir,
    port: String,
    extra: Vec<String>,
    server: Mutex<Child>,
}

impl Redis {
    /// Starts a server that keeps nothing on disk.
    ///
    /// # Panics
    /// Where Redis is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// The same with further arguments.
    ///
    /// # Panics
    /// Where Redis is not installed or does not start.
    #[must_use]
    pub fn with(extra: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = lasting_address();
        let port = address.rsplit(':').next().expect("a port").to_owned();
        let extra: Vec<String> = extra.iter().map(|argument| (*argument).to_owned()).collect();
        let server = Mutex::new(Self::spawn(directory.path(), &port, &extra));
        let redis = Self { directory, port, extra, server };
        redis.wait_until_it_answers();
        redis
    }

    fn spawn(directory: &Path, port: &str, extra: &[String]) -> Child {
        Command::new("redis-server")
            .args(["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
            .arg(directory)
            .args(extra)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Redis is installed: tests/run installs it")
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.try_cli(&["PING"]).as_deref() != Some("PONG") {
            assert!(Instant::now() < deadline, "Redis does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> &str {
        &self.port
    }

    /// Its URL, without TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What a command answers.
    ///
    /// # Panics
    /// Where it does not answer.
    #[must_use]
    pub fn cli(&self, command: &[&str]) -> String {
        self.try_cli(command).unwrap_or_else(|| panic!("{command:?} is not answered"))
    }

    fn try_cli(&self, command: &[&str]) -> Option<String> {
        let output = Command::new("redis-cli").args(["-p", &self.port]).args(command).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Ends it at once.
    ///
    /// # Panics
    /// Where it cannot be killed.
    pub fn kill(&self) {
        let mut server = self.server.lock().expect("not poisoned");
        server.kill().expect("killed");
        server.wait().expect("waited for");
    }

    /// Starts it again, empty, once it was killed.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn restart(&self) {
        *self.server.lock().expect("not poisoned") = Self::spawn(self.directory.path(), &self.port, &self.extra);
        self.wait_until_it_answers();
    }

    /// Stops it without ending it: its connections stay open, and nothing is answered.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.server.lock().expect("not poisoned").id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{signal} was not sent");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Ok(server) = self.server.get_mut() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
