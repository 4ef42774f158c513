//! The `relay-gateway` binary: configuration, telemetry, start, drain, and nothing else.

use std::process::ExitCode;

use relay_gateway::{config::Config, server};
use shared::{
    config::Sources,
    shutdown,
    telemetry::{
        Telemetry,
        metrics::{HttpServerMetrics, Metrics},
    },
};

fn main() -> ExitCode {
    let config = match Config::load(&Sources::process()) {
        Ok(config) => config,
        Err(error) => return error.report(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(run(config))
}

async fn run(config: Config) -> ExitCode {
    let telemetry = match Telemetry::start("relay-gateway", Some(&config.id), &config.telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("relay-gateway: {error}");
            return ExitCode::from(shared::config::EXIT_CONFIG);
        }
    };
    let metrics = Metrics::default();
    let http_metrics = HttpServerMetrics::new(&metrics);
    let code = match server::start(config, &metrics, http_metrics, shutdown::on_signal()).await {
        Ok(running) => {
            running.drained().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(%error, "cannot start");
            ExitCode::FAILURE
        }
    };
    telemetry.shutdown();
    code
}
