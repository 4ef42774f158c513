//! The `admin-service` binary: configuration, start, drain, and the commands beside it.

use std::process::ExitCode;

use admin_service::{
    config::Config,
    rewrap,
    server::{self, StartError},
    verify_audit,
};
use service::{
    config::Sources,
    process::{self, Threads},
    shutdown,
    telemetry::metrics::{HttpServerMetrics, Metrics},
};

/// What the program does instead of serving, with the arguments that follow the command's name.
type Command = (&'static str, fn(Sources) -> ExitCode);

const COMMANDS: [Command; 2] = [(verify_audit::COMMAND, verify_audit::run), (rewrap::COMMAND, rewrap::run)];

fn main() -> ExitCode {
    let mut sources = Sources::process();
    for (name, run) in COMMANDS {
        if sources.args.first().is_some_and(|first| first == name) {
            sources.args.remove(0);
            return run(sources);
        }
    }
    match Config::load(&sources) {
        Ok(config) => {
            let telemetry = config.telemetry.clone();
            process::run("admin-service", None, &telemetry, Threads::Shared, serve(config))
        }
        Err(error) => error.report(),
    }
}

async fn serve(config: Config) -> Result<(), StartError> {
    let metrics = Metrics::default();
    let http_metrics = HttpServerMetrics::new(&metrics);
    server::start(config, &metrics, http_metrics, shutdown::on_signal()).await?.drained().await;
    Ok(())
}
