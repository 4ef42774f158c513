//! What a process can be told about its logs and traces.

use std::str::FromStr;

use crate::config::{Read, Settings};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for a person.
    Human,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err("must be human or json"),
        }
    }
}

/// A share of traces to record, 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct Ratio(pub(super) f64);

impl FromStr for Ratio {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Self(ratio)),
            _ => Err("must be a number from 0 to 1"),
        }
    }
}

/// Which log lines and traces a process writes, and where to.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// Which log lines, in `tracing`'s filter syntax: `info`, `warn,relay_gateway=debug`.
    pub log_filter: String,
    /// How they look.
    pub log_format: LogFormat,
    /// Where traces go over OTLP/gRPC; unset, nowhere, though trace context is still carried.
    pub otlp_endpoint: Option<url::Url>,
    /// The share of traces begun here that are recorded. A caller's own decision is followed.
    pub trace_ratio: Ratio,
}

impl TelemetryConfig {
    /// Reads the settings that every process has for its logs and traces.
    ///
    /// # Errors
    /// A problem, already noted.
    pub fn read(settings: &mut Settings) -> Read<Self> {
        let log_filter = settings.required("log_filter");
        let log_format = settings.required("log_format");
        let otlp_endpoint = settings.optional("otlp_endpoint");
        let trace_ratio = settings.required("trace_ratio");
        Ok(Self {
            log_filter: log_filter?,
            log_format: log_format?,
            otlp_endpoint: otlp_endpoint?,
            trace_ratio: trace_ratio?,
        })
    }
}
