//! Why an upstream gave no answer, and what a caller is told of it.

use service::ApiError;
use wire::ErrorCode;

use super::pool::ExchangeError;

/// Why an upstream gave no answer.
#[derive(Debug)]
pub(crate) enum UpstreamError {
    /// No connection: nothing was sent.
    Unreachable(String),
    /// The connection broke before anything was sent.
    Unsent(String),
    /// It took too long; the request may have arrived. Names the setting that says how long that is.
    Timeout(&'static str),
    /// It broke off or answered something that is not HTTP; the request may have arrived.
    Broken(String),
    /// It refused HMAC#2, the relay's signature.
    RefusedRelay(String),
}

impl UpstreamError {
    /// What it means to a caller of the chat backend.
    pub(crate) fn into_backend_error(self) -> ApiError {
        match self {
            Self::Unreachable(cause) | Self::Unsent(cause) => ApiError::new(
                ErrorCode::BackendUnreachable,
                "The chat backend cannot be reached. Nothing was sent: send the call again, signed anew.",
            )
            .retry_after_seconds(1)
            .caused_by(cause),
            Self::Timeout(setting) => ApiError::new(
                ErrorCode::BackendTimeout,
                format!(
                    "The chat backend took too long ({setting}). The call may have arrived: look before you repeat it."
                ),
            )
            .caused_by(format!("no answer within {setting}")),
            Self::Broken(cause) => ApiError::new(
                ErrorCode::BackendBadResponse,
                "The chat backend broke off. The call may have arrived: look before you repeat it.",
            )
            .caused_by(cause),
            Self::RefusedRelay(cause) => ApiError::new(
                ErrorCode::BackendRefusedRelay,
                "The chat backend does not accept the relay's own signature. Nothing is wrong with your call, and it was not \
                 carried out: tell the operators of this relay, whose gateway has logged what to do.",
            )
            .caused_by(cause),
        }
    }

    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Unreachable(_) | Self::Unsent(_) => "unreachable",
            Self::Timeout(_) => "timeout",
            Self::Broken(_) => "broken",
            Self::RefusedRelay(_) => "refused_relay",
        }
    }
}

impl UpstreamError {
    pub(super) fn of(error: ExchangeError, setting: &'static str) -> Self {
        match error {
            ExchangeError::Connect(error) => Self::Unreachable(with_sources(&*error)),
            ExchangeError::Unsent(error) => Self::Unsent(with_sources(&error)),
            ExchangeError::Timeout => Self::Timeout(setting),
            ExchangeError::Broken(error) => Self::Broken(with_sources(&error)),
        }
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
