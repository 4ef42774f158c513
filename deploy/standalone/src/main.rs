//! The `chat-relay` binary. Alone it is the whole system; `chat-relay backend` is the chat backend by itself.

use std::process::ExitCode;

use chat_relay::{
    config::{BackendConfig, Config},
    server,
};
use shared::{
    config::{EXIT_CONFIG, Sources},
    shutdown,
    telemetry::{Telemetry, TelemetryConfig},
};

fn main() -> ExitCode {
    let mut sources = Sources::process();
    let backend_alone = sources.args.first().is_some_and(|first| first == "backend");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    if backend_alone {
        sources.args.remove(0);
        match BackendConfig::load(&sources) {
            Ok(config) => runtime.block_on(run("chat-backend", config.telemetry.clone(), async {
                server::start_backend(config, shutdown::on_signal()).await
            })),
            Err(error) => error.report(),
        }
    } else {
        match Config::load(&sources) {
            Ok(config) => runtime.block_on(run("chat-relay", config.telemetry.clone(), async {
                server::start(config, shutdown::on_signal()).await
            })),
            Err(error) => error.report(),
        }
    }
}

async fn run(
    name: &'static str,
    telemetry: TelemetryConfig,
    start: impl Future<Output = Result<server::Running, server::StartError>>,
) -> ExitCode {
    let telemetry = match Telemetry::start(name, None, &telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("{name}: {error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let code = match start.await {
        Ok(running) => {
            running.drained().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{name}: cannot start: {error}");
            error.exit_code()
        }
    };
    telemetry.shutdown();
    code
}
