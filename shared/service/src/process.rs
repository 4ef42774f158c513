//! A service's process from start to end: runtime, telemetry, the service, the last spans. What is served is the caller's.

use std::{fmt::Display, io, process::ExitCode};

use tokio::runtime::{Builder, Runtime};

use crate::{
    config::EXIT_CONFIG,
    telemetry::{Telemetry, TelemetryConfig},
    workers,
};

/// The threads a process runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// As many as cores, which take work from each other.
    Shared,
    /// One: it is the first of the [`crate::workers`] that are started on it.
    FirstWorker,
}

/// Runs `serve` to its end. An error is printed and ends the process with 1.
pub fn run<E: Display>(
    name: &'static str,
    instance: Option<&str>,
    telemetry: &TelemetryConfig,
    threads: Threads,
    serve: impl Future<Output = Result<(), E>>,
) -> ExitCode {
    raise_descriptor_limit();
    let runtime = match runtime(threads) {
        Ok(runtime) => runtime,
        Err(error) => return failed(name, &error, 1),
    };
    runtime.block_on(async {
        let telemetry = match Telemetry::start(name, instance, telemetry) {
            Ok(telemetry) => telemetry,
            Err(error) => return failed(name, &error, EXIT_CONFIG),
        };
        let ended = serve.await;
        let code = ended.map_or_else(|error| failed(name, &error, 1), |()| ExitCode::SUCCESS);
        // On a thread of its own: the last spans leave over a connection that this one drives.
        let _ = tokio::task::spawn_blocking(move || telemetry.shutdown()).await;
        code
    })
}

fn runtime(threads: Threads) -> io::Result<Runtime> {
    // Where there is one core there is nobody to take work from, which saves a twelfth of a small request.
    let mut builder = match threads {
        Threads::Shared if workers::available().get() > 1 => Builder::new_multi_thread(),
        Threads::Shared | Threads::FirstWorker => Builder::new_current_thread(),
    };
    builder.enable_all().build()
}

/// Raises the limit of descriptors to what the process may have: a connection is one, a visitor's socket two, and what a process
/// is given by default is for a shell.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // Where it may not be raised, it is as if this had not been tried.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// How many descriptors the process may have; `None` where there is no limit.
#[must_use]
pub fn descriptor_limit() -> Option<usize> {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

fn failed(name: &str, error: &impl Display, code: u8) -> ExitCode {
    eprintln!("{name}: cannot start: {error}");
    ExitCode::from(code)
}
