//! The visitor lane: sessions, their tokens, and what a widget draws itself from. Public, and checked by origin: PROTOCOL.md,
//! section 5.
//!
//! A caller that fails here has proved nothing and has cost a lookup, so failures are counted by address. Beginning a session proves
//! nothing either, and is counted apart.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use service::{Envelope, Failure};
use wire::attachments::Attachment;

use super::{
    shapes::visitors::{
        BegunSession, EndedSession, IdentifiedVisitor, NewSession, PolledFrames, RefreshedToken, SentFrame,
        WidgetConfig,
    },
    state::Gateway,
};
use crate::directory::TenantDirectory;

mod call;
mod identity;
mod polling;
mod sessions;
mod tokens;
mod uploads;

use call::answer;

/// Begin a visitor's session, from a page that is allowed.
#[utoipa::path(
    post, path = "/api/v1/create/visitor-session", tag = "visitors", request_body = NewSession,
    responses(
        (status = 201, description = "Begun", body = Envelope<BegunSession>),
        (status = 400, description = "`malformed_json`", body = Failure),
        (status = 401, description = "`invalid_widget_key`", body = Failure),
        (status = 403, description = "`origin_not_allowed`, `tenant_suspended`", body = Failure),
        (status = 413, description = "`body_too_large`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
        (status = 429, description = "`rate_limited`: of the key, or of the address", body = Failure),
        (status = 503, description = "`directory_unavailable`", body = Failure),
    )
)]
pub(super) async fn create_session<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(&gateway, request, "POST", async |call, body| call.create_session(body).await).await
}

/// What a widget draws itself from.
#[utoipa::path(
    get, path = "/api/v1/fetch/widget-config", tag = "visitors",
    params(
        ("tenant_id" = Uuid, Query),
        ("widget_public_key" = String, Query),
        ("locale" = Option<String>, Query, description = "`fr` unless said otherwise"),
    ),
    responses(
        (status = 200, description = "The configuration", body = Envelope<WidgetConfig>),
        (status = 401, description = "`invalid_widget_key`", body = Failure),
        (status = 403, description = "`origin_not_allowed`, `tenant_suspended`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
        (status = 429, description = "`rate_limited`", body = Failure),
        (status = 503, description = "`directory_unavailable`", body = Failure),
    )
)]
pub(super) async fn fetch_config<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(&gateway, request, "GET", async |call, _| call.fetch_config().await).await
}

/// Another token for a session, by one that may have ended.
#[utoipa::path(
    post, path = "/api/v1/refresh/visitor-token", tag = "visitors", security(("visitor_token" = [])),
    responses(
        (status = 200, description = "Refreshed", body = Envelope<RefreshedToken>),
        (status = 401, description = "`invalid_visitor_token`, `invalid_widget_key`", body = Failure),
        (status = 403, description = "`origin_not_allowed`, `tenant_suspended`", body = Failure),
        (status = 429, description = "`rate_limited`", body = Failure),
        (status = 503, description = "`directory_unavailable`", body = Failure),
    )
)]
pub(super) async fn refresh_token<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(&gateway, request, "POST", async |call, _| call.refresh_token().await).await
}

/// End a visitor's session: its sockets are closed with 4401, and its tokens open and refresh nothing any more, on every gateway when
/// this returns. Ending it again is no error.
///
/// The visitor's token is all it takes, so a page that is being left can send it with `fetch` and `keepalive`. A token of
/// `mint/visitor-token` ends every token that was minted for its visitor, as `revoke/visitor` does.
#[utoipa::path(
    post, path = "/api/v1/end/visitor-session", tag = "visitors", security(("visitor_token" = [])),
    responses(
        (status = 200, description = "Ended", body = Envelope<EndedSession>),
        (status = 401, description = "`invalid_visitor_token`", body = Failure),
        (status = 403, description = "`origin_not_allowed`: the token is for pages of another origin", body = Failure),
        (status = 429, description = "`rate_limited`", body = Failure),
        (status = 503, description = "`directory_unavailable`; `change_propagating`: ended, and not on every gateway yet", body = Failure),
    )
)]
pub(super) async fn end_session<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(&gateway, request, "POST", async |call, _| call.end_session().await).await
}

/// Say who a visitor is: a session of the visitor's own begins, and the one before ends as by `end/visitor-session`, everywhere when
/// this returns.
///
/// The `identity_token` is one of `mint/visitor-token`, which the tenant's backend has minted for the visitor. The new session has
/// the key, the origin and the language of the old one. What the visitor said before goes on in it, and what the page said of
/// the visitor stays, unless the session before was another visitor's. `revoke/visitor` ends it, on every device. The same call again for
/// the same visitor, with the old session's token, answers the session that followed.
#[utoipa::path(
    post, path = "/api/v1/identify/visitor", tag = "visitors", security(("visitor_token" = [])), request_body = IdentifiedVisitor,
    responses(
        (status = 201, description = "Identified", body = Envelope<RefreshedToken>),
        (status = 400, description = "`malformed_json`", body = Failure),
        (status = 401, description = "`invalid_visitor_token`, `invalid_identity_token`, `invalid_widget_key`", body = Failure),
        (status = 403, description = "`origin_not_allowed`, `tenant_suspended`", body = Failure),
        (status = 413, description = "`body_too_large`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
        (status = 429, description = "`rate_limited`: of the key, or of the address", body = Failure),
        (status = 503, description = "`directory_unavailable`; `change_propagating`: done, and not on every gateway yet", body = Failure),
    )
)]
pub(super) async fn identify<D: TenantDirectory>(State(gateway): State<Arc<Gateway<D>>>, request: Request) -> Response {
    answer(&gateway, request, "POST", async |call, body| call.identify(body).await).await
}

/// Send one frame, where no WebSocket gets through.
///
/// The body is a frame as it is sent over `/ws/widget`. It is checked and counted in the same way, and the answer holds the frame
/// that answers it: `ack`, `history`, `rating`, `email` or `error`. `typing` and `read` are answered with `null`. What other people say comes
/// by `poll/visitor-frames`, and so does what a `resume` asks for. The same `client_id` again is the same message.
#[utoipa::path(
    post, path = "/api/v1/send/visitor-frame", tag = "visitors", security(("visitor_token" = [])),
    request_body(content = Object, description = "One frame, such as `{\"type\":\"message\",\"client_id\":\"<uuid>\",\"content\":\"…\",\"attachments\":[]}`"),
    responses(
        (status = 200, description = "The frame that answers it; a refused frame is answered with `error`", body = Envelope<SentFrame>),
        (status = 400, description = "`malformed_json`: the body is not UTF-8", body = Failure),
        (status = 401, description = "`invalid_visitor_token`, `invalid_widget_key`", body = Failure),
        (status = 403, description = "`origin_not_allowed`, `tenant_suspended`", body = Failure),
        (status = 413, description = "`body_too_large`", body = Failure),
        (status = 429, description = "`rate_limited`: too many frames, or sockets, of the session or the address", body = Failure),
        (status = 502, description = "`backend_bad_response`", body = Failure),
        (status = 503, description = "`backend_unreachable`, `directory_unavailable`, `overloaded`", body = Failure),
    )
)]
pub(super) async fn send_frame<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(&gateway, request, "POST", async |call, body| call.send_frame(body).await).await
}

/// Send a file, to be named by a message afterwards.
///
/// The body is the file itself, of the length and the type that the headers declare; both are checked before the first byte is read. The
/// answer is an attachment, as `message` frames take it. A file that no message names within a day is removed.
#[utoipa::path(
    post, path = "/api/v1/upload/attachment", tag = "visitors", security(("visitor_token" = [])),
    params(
        ("name" = String, Query, description = "The file's name, for people: 255 characters at most"),
        ("content-length" = u64, Header, description = "Bytes; the relay's limit is 10 MiB unless its operator says otherwise"),
        ("content-type" = String, Header, description = "A media type such as `image/png`"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "Kept", body = Envelope<Attachment>),
        (status = 401, description = "`invalid_visitor_token`, `invalid_widget_key`", body = Failure),
        (status = 403, description = "`origin_not_allowed`, `tenant_suspended`, `feature_disabled`, `storage_quota_exceeded`", body = Failure),
        (status = 408, description = "`request_timeout`", body = Failure),
        (status = 413, description = "`body_too_large`", body = Failure),
        (status = 415, description = "`unsupported_media_type`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
        (status = 429, description = "`rate_limited`", body = Failure),
        (status = 502, description = "`backend_bad_response`, `backend_refused_relay`", body = Failure),
        (status = 503, description = "`backend_unreachable`, `directory_unavailable`", body = Failure),
    )
)]
pub(super) async fn upload<D: TenantDirectory>(State(gateway): State<Arc<Gateway<D>>>, request: Request) -> Response {
    answer(&gateway, request, "POST", async |call, body| call.upload(body).await).await
}

/// Wait for frames, where no WebSocket gets through.
///
/// Without `after`, the answer is the `welcome`, at once. Each answer names the `after` of the next poll. With it, the answer comes as soon
/// as there are frames, or after `wait_s`; its first frame is a `status`. Frames that tell of a moment, such as `typing`, are lost between
/// two polls; messages are not.
///
/// A poll counts as a socket for every limit, and as a frame. A change that closes sockets ends it with 401 or 403 before the change
/// returns.
#[utoipa::path(
    get, path = "/api/v1/poll/visitor-frames", tag = "visitors", security(("visitor_token" = [])),
    params(
        ("after" = Option<String>, Query, description = "What the last poll answered; or the id of the newest message that the caller has"),
        ("wait_s" = Option<u64>, Query, minimum = 0, maximum = 25, description = "Seconds to wait for a frame; 0 unless said otherwise"),
        ("status" = Option<String>, Query, description = "The status that the caller shows: where it has changed, the answer comes at once"),
        ("conversation_id" = Option<String>, Query, description = "The conversation that the caller shows: where the visitor is in another one, the answer is that one's `welcome`"),
    ),
    responses(
        (status = 200, description = "What was heard", body = Envelope<PolledFrames>),
        (status = 401, description = "`invalid_visitor_token`, `invalid_widget_key`", body = Failure),
        (status = 403, description = "`origin_not_allowed`, `tenant_suspended`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
        (status = 429, description = "`rate_limited`: too many frames, or sockets, of the session or the address", body = Failure),
        (status = 502, description = "`backend_bad_response`", body = Failure),
        (status = 503, description = "`backend_unreachable`, `directory_unavailable`, `overloaded`", body = Failure),
    )
)]
pub(super) async fn poll_frames<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Response {
    answer(&gateway, request, "GET", async |call, _| call.poll_frames().await).await
}
