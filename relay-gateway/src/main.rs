//! The `relay-gateway` binary: configuration, start, drain, and nothing else.

use std::process::ExitCode;

use relay_gateway::{
    config::Config,
    server::{self, StartError},
};
use service::{
    config::Sources,
    process::{self, Threads},
    shutdown,
    telemetry::metrics::{HttpServerMetrics, Metrics},
};

fn main() -> ExitCode {
    match Config::load(&Sources::process()) {
        Ok(config) => {
            let telemetry = config.telemetry.clone();
            let id = config.id.clone();
            process::run("relay-gateway", Some(&id), &telemetry, Threads::FirstWorker, serve(config))
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
