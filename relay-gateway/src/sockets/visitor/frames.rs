//! Which frames of a visitor's pass.

use http::HeaderMap;
use service::{ApiError, call_span, telemetry};
use tracing::Instrument as _;
use wire::ErrorCode;

use super::{closings::active, grounds::Grounds, judge::VisitorJudge};
use crate::{
    directory::TenantDirectory,
    domain::frame::{Frame, Refused},
    errors::files_disabled,
    sockets::{
        closing::Closing,
        participant::{About, Checked},
    },
};

/// Decides what becomes of a text frame.
///
/// # Errors
/// What the socket is closed with, where the visitor may not have it any more.
pub(super) async fn check<D: TenantDirectory>(
    judge: &VisitorJudge<D>,
    about: &About,
    grounds: &Grounds,
    text: &str,
) -> Result<Checked, Closing> {
    let frame = match Frame::read(text) {
        Ok(frame) => frame,
        Err(Refused { why, client_id }) => return Ok(Checked::Refuse { error: why.into(), client_id }),
    };
    // Each message begins a trace. A trace of the whole socket would grow for as long as the socket is open.
    let span = call_span!(
        frame.is_message && telemetry::is_recorded(&HeaderMap::new()),
        else DEBUG,
        "visitor message",
        otel.name = "visitor message",
        otel.kind = "server",
        tenant_id = %about.tenant_id,
    );
    match may_pass(judge, about, grounds, &frame).instrument(span.clone()).await {
        Ok(None) => Ok(Checked::Forward(frame.passed(telemetry::traceparent(&span).as_deref()))),
        Ok(Some(error)) => Ok(Checked::Refuse { error, client_id: frame.client_id }),
        Err(Closing::TryAgain(_)) => Ok(Checked::Refuse { error: unchecked_error(), client_id: frame.client_id }),
        Err(closing) => Err(closing),
    }
}

/// Whether a well-formed frame may pass; if not, what its visitor is told.
async fn may_pass<D: TenantDirectory>(
    judge: &VisitorJudge<D>,
    about: &About,
    grounds: &Grounds,
    frame: &Frame,
) -> Result<Option<ApiError>, Closing> {
    judge.still_allowed(about, grounds).await?;
    if !frame.has_attachments {
        return Ok(None);
    }
    let known = judge.sources.directory.lookup(about.tenant_id, &about.request_id).await;
    Ok((!active(&known)?.file_upload_enabled).then(files_disabled))
}

/// What a visitor is told of a frame whose tenant cannot be checked.
fn unchecked_error() -> ApiError {
    ApiError::new(
        ErrorCode::DirectoryUnavailable,
        "The relay cannot check this tenant right now. Nothing was sent on: send it again.",
    )
    .retry_after_seconds(1)
}
