//! A service's process from start to end: runtime, telemetry, the service, the last spans. What is served is the caller's.

use std::{fmt::Display, io, process::ExitCode};

use tokio::runtime::{Builder, Runtime};

use crate::{
    config::EXIT_CONFIG,
    telemetry::{Telemetry, TelemetryConfig},
};

/// Runs `serve` to its end. An error is printed as well as logged: it may come before anybody reads logs. `exit_code` says
/// what it means to whoever started the process.
pub fn run<E: Display>(
    name: &'static str,
    instance: Option<&str>,
    telemetry: &TelemetryConfig,
    serve: impl Future<Output = Result<(), E>>,
    exit_code: impl FnOnce(&E) -> u8,
) -> ExitCode {
    raise_descriptor_limit();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(name, &error, 1),
    };
    runtime.block_on(async {
        let telemetry = match Telemetry::start(name, instance, telemetry) {
            Ok(telemetry) => telemetry,
            Err(error) => return failed(name, &error, EXIT_CONFIG),
        };
        let ended = serve.await;
        let code = ended.map_or_else(|error| failed(name, &error, exit_code(&error)), |()| ExitCode::SUCCESS);
        telemetry.shutdown();
        code
    })
}

/// As many threads as cores; where there is one, nobody to steal work from, which saves a twelfth of a small request.
fn runtime() -> io::Result<Runtime> {
    let is_alone = std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
    let mut builder = if is_alone { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.enable_all().build()
}

/// A connection is a descriptor, a visitor's socket two; what a process is given by default is for a shell.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // Where it may not be raised, it is as if this had not been tried.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

fn failed(name: &str, error: &impl Display, code: u8) -> ExitCode {
    eprintln!("{name}: cannot start: {error}");
    ExitCode::from(code)
}
