//! The `chat-relay` binary. Alone it is the whole system; `chat-relay backend` is the chat backend by itself.

use std::process::ExitCode;

use chat_relay::{
    config::Config,
    server::{self, StartError},
};
use service::{
    config::Sources,
    process::{self, Threads},
    shutdown,
};

fn main() -> ExitCode {
    let mut sources = Sources::process();
    if sources.args.first().is_some_and(|first| first == "backend") {
        sources.args.remove(0);
        match chat_backend::config::Config::load(&sources) {
            Ok(config) => {
                let telemetry = config.telemetry.clone();
                process::run("chat-backend", None, &telemetry, Threads::Shared, serve_backend(config))
            }
            Err(error) => error.report(),
        }
    } else {
        match Config::load(&sources) {
            Ok(config) => {
                let telemetry = config.telemetry.clone();
                process::run("chat-relay", None, &telemetry, Threads::Shared, serve(config))
            }
            Err(error) => error.report(),
        }
    }
}

async fn serve(config: Config) -> Result<(), StartError> {
    server::start(config, shutdown::on_signal()).await?.drained().await;
    Ok(())
}

async fn serve_backend(config: chat_backend::config::Config) -> Result<(), StartError> {
    server::start_backend(config, shutdown::on_signal()).await?.drained().await;
    Ok(())
}
