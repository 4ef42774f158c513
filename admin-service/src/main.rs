//! The `admin-service` binary: configuration, start, drain, and the command that verifies the logs.

use std::process::ExitCode;

use admin_service::{
    config::Config,
    server::{self, StartError},
    verify_audit,
};
use service::{
    config::Sources,
    process::{self, Threads},
    shutdown,
    telemetry::metrics::{HttpServerMetrics, Metrics},
};

fn main() -> ExitCode {
    let mut sources = Sources::process();
    if sources.args.first().is_some_and(|first| first == verify_audit::COMMAND) {
        sources.args.remove(0);
        return verify_audit::run(sources);
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
