//! Logs, traces and metrics: how a process says what it does. Names follow OpenTelemetry's semantic conventions.
//!
//! Nothing here may see a secret, and no tenant id becomes a metric's label: a label is forever.

use std::io::IsTerminal as _;

use access_lines::LogWriter;
use opentelemetry::{KeyValue, global, trace::TracerProvider as _};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    fmt::{MakeWriter, format},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

mod access_line;
mod access_lines;
mod config;
#[macro_use]
mod context;
mod histogram;
pub mod metrics;

pub(crate) use access_line::AccessLine;
pub use config::{LogFormat, Ratio, TelemetryConfig};
pub use context::{
    adopt_caller, current_trace_id, inject, inject_metadata, is_recorded, kept, records_now, traceparent,
};

/// Flushes what is still to be exported when the process ends.
#[must_use = "dropping it at once loses the last spans"]
pub struct Telemetry {
    provider: SdkTracerProvider,
    lines: LogWriter,
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("log_filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The exporter could not be built.
    #[error("OTLP exporter: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The thread that writes access lines.
    #[error("the thread that writes access lines: {0}")]
    Thread(#[from] std::io::Error),
    /// Something else in the process took the place.
    #[error("telemetry was started twice: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

impl Telemetry {
    /// Starts logging and tracing for this process. Call it once, inside the runtime.
    ///
    /// # Errors
    /// [`TelemetryError`].
    pub fn start(
        service_name: &'static str,
        instance_id: Option<&str>,
        config: &TelemetryConfig,
    ) -> Result<Self, TelemetryError> {
        let instance = instance_id.map(|id| KeyValue::new("service.instance.id", id.to_owned()));
        let resource = Resource::builder().with_service_name(service_name).with_attributes(instance).build();
        let mut provider = SdkTracerProvider::builder().with_resource(resource);
        // Without an exporter the sampler still lets a caller's decision through, so that context is carried.
        let mut root = Sampler::AlwaysOff;
        if let Some(endpoint) = &config.otlp_endpoint {
            let exporter =
                opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint.as_str()).build()?;
            provider = provider.with_batch_exporter(exporter);
            // Which calls are recorded is decided before they have a span: what has one and no parent is.
            root = Sampler::AlwaysOn;
            context::record_share(config.trace_ratio.0);
        }
        let provider = provider.with_sampler(Sampler::ParentBased(Box::new(root))).build();
        global::set_text_map_propagator(TraceContextPropagator::new());

        let filter = EnvFilter::try_new(&config.log_filter)?;
        let writer = LogWriter::start()?;
        let is_terminal = std::io::stderr().is_terminal();
        let lines = lines(config.log_format, writer.clone(), is_terminal);
        // Whatever the log says: trace context does not hang on log levels.
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(service_name))
            .with_location(false)
            .with_threads(false)
            .with_filter(tracing_subscriber::filter::filter_fn(|metadata| {
                metadata.is_span() && metadata.target() == context::RECORDED
            }));
        tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).try_init()?;
        if !is_terminal {
            access_line::format_here(writer.clone(), config.log_format);
        }
        Ok(Self { provider, lines: writer })
    }

    /// Sends what is still to be exported. Call it last.
    pub fn shutdown(self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last spans may be lost");
        }
        self.lines.finish();
    }
}

/// How lines are formatted.
fn lines<S, W>(log_format: LogFormat, writer: W, ansi: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    match log_format {
        LogFormat::Human => tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .with_ansi(ansi)
            // What is meant for trace viewers says nothing to a person that the other fields do not.
            .fmt_fields(format::debug_fn(|line, field, value| match field.name() {
                "message" => write!(line, "{value:?}"),
                name if name.starts_with("otel.") => Ok(()),
                name => write!(line, " {name}={value:?}"),
            }))
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
    }
}
