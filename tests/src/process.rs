//! One of our processes, its log, and its end.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

/// Long enough for the slowest machine: what is waited for either comes much sooner or never.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A process started by a test. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: Arc<Log>,
    stdout: Arc<Mutex<String>>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

/// The path of a binary of this workspace, built with the profile the tests were built with.
///
/// # Panics
/// Where it was not built: `cargo build --workspace --bins` first.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("tests lie in target/<profile>/deps");
    let path = profile.join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace --bins` first", path.display());
    path
}

impl Process {
    /// Starts a binary with exactly these variables and JSON logs.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(name: &str, args: &[&str], env: &HashMap<String, String>) -> Self {
        let mut command = Command::new(binary(name));
        command.args(args);
        Self::spawn(command, env)
    }

    /// The same, within a limit of the system in `ulimit`'s words, such as `-n 256`. A file that grows past `-f` is a write that
    /// fails, not the process's end.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start_within(limit: &str, name: &str, args: &[&str], env: &HashMap<String, String>) -> Self {
        let mut command = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit {limit} && exec \"$0\" \"$@\"");
        command.args(["-c", &script]).arg(binary(name)).args(args);
        Self::spawn(command, env)
    }

    /// Limits how long the process's files may grow: bytes, or `unlimited`.
    ///
    /// # Panics
    /// Where the limit cannot be set.
    pub fn limit_files(&self, most: &str) {
        let set = Command::new("prlimit").args([&format!("--fsize={most}:"), "--pid", &self.id().to_string()]).status();
        assert!(set.as_ref().is_ok_and(ExitStatus::success), "prlimit: {set:?}");
    }

    fn spawn(mut command: Command, env: &HashMap<String, String>) -> Self {
        let mut child = command
            .env_clear()
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (log, stdout) = (Arc::new(Log::default()), Arc::new(Mutex::new(String::new())));
        let (stderr, sink) = (child.stderr.take().expect("piped"), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                sink.lines.lock().expect("not poisoned").0.push(line);
                sink.changed.notify_all();
            }
            sink.lines.lock().expect("not poisoned").1 = true;
            sink.changed.notify_all();
        });
        let (mut out, sink) = (child.stdout.take().expect("piped"), Arc::clone(&stdout));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut buffer) {
                sink.lock().expect("not poisoned").push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self { child, log, stdout }
    }

    /// Waits until the process says that `server` listens, and answers where.
    ///
    /// # Panics
    /// Where it ends instead, or does not say so in time.
    #[must_use]
    pub fn address(&self, server: &str) -> SocketAddr {
        self.wait_for_line(|line| {
            let entry: serde_json::Value = serde_json::from_str(line).ok()?;
            (entry["message"] == "listening" && entry["server"] == server)
                .then(|| entry["address"].as_str().and_then(|address| address.parse().ok()))
                .flatten()
        })
        .unwrap_or_else(|| panic!("{server} does not listen; the log:\n{}", self.log()))
    }

    /// The first thing `find` makes of a line of the log; `None` where the process ends or patience does.
    pub fn wait_for_line<T>(&self, mut find: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        let mut lines = self.log.lines.lock().expect("not poisoned");
        loop {
            while let Some(line) = lines.0.get(seen) {
                seen += 1;
                if let Some(found) = find(line) {
                    return Some(found);
                }
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            if lines.1 {
                return None;
            }
            lines = self.log.changed.wait_timeout(lines, left).expect("not poisoned").0;
        }
    }

    /// Everything logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lines.lock().expect("not poisoned").0.join("\n")
    }

    /// Everything printed so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.lock().expect("not poisoned").clone()
    }

    /// Ends the process at once, as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the process to stop, as an orchestrator does.
    ///
    /// # Panics
    /// Where the signal cannot be sent.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Stops the process in its tracks: it takes no step until [`Process::resume`], and time goes on.
    ///
    /// # Panics
    /// Where the signal cannot be sent.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets a paused process go on.
    ///
    /// # Panics
    /// Where the signal cannot be sent.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// The system's number for it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How much memory the process has resident.
    ///
    /// # Panics
    /// Where the system does not say, as only Linux does.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
        line.trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{signal} was not sent");
    }

    /// Waits for the process's end.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "the process does not end; the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The CPU time that a process and those of its children that still run have used so far.
///
/// # Panics
/// Where there is no such process, or the system does not say, as only Linux does.
#[must_use]
pub fn cpu_time_of_family(id: u32) -> Duration {
    // A hundred a second, on every Linux.
    const TICK: Duration = Duration::from_millis(10);
    let used = |id: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let fields: Vec<u64> =
            stat.rsplit(')').next()?.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect();
        // Fields 4, 14 and 15, of which the first two are gone. The third is a letter, and reads as 0.
        Some((u32::try_from(fields[1]).ok()?, TICK * u32::try_from(fields[11] + fields[12]).ok()?))
    };
    let all = std::fs::read_dir("/proc").expect("Linux").flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(used);
    let children: Duration = all.filter(|(parent, _)| *parent == id).map(|(_, used)| used).sum();
    used(id).expect("a process").1 + children
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
