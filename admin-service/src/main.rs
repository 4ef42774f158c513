//! The `admin-service` binary: configuration, start, drain, and nothing else.

use std::process::ExitCode;

use admin_service::{
    config::Config,
    server::{self, StartError},
};
use shared::{
    config::Sources,
    process::{self, Threads},
    shutdown,
    telemetry::metrics::{HttpServerMetrics, Metrics},
};

fn main() -> ExitCode {
    match Config::load(&Sources::process()) {
        Ok(config) => {
            let telemetry = config.telemetry.clone();
            process::run("admin-service", None, &telemetry, Threads::Shared, serve(config), |_| 1)
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
