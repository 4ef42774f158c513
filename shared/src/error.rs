//! The one table of errors, and the envelope every answer travels in (contract, section 2).
//!
//! Domain errors know no status codes; the edges turn them into an [`ApiError`], and [`ErrorCode`]
//! alone says what HTTP and gRPC make of it.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

mod catalogue;

use crate::request_id::{RequestId, X_REQUEST_ID};

macro_rules! error_codes {
    ($($(#[doc = $meaning:literal])+ $variant:ident = $text:literal, $http:ident, $grpc:ident;)+) => {
        /// Every error a caller can meet. Stable: callers branch on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl ErrorCode {
            /// All of them, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The `error_code` on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The code with this text on the wire.
            #[must_use]
            pub fn from_wire(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }

            /// What it means, in a sentence or two: for the catalogue, which a test writes.
            #[cfg_attr(not(test), expect(dead_code, reason = "only the test that writes the catalogue reads it"))]
            const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+).trim_ascii(),)+ }
            }

            /// The HTTP status and the gRPC status, side by side so that they cannot drift apart.
            #[must_use]
            pub const fn statuses(self) -> (StatusCode, tonic::Code) {
                match self { $(Self::$variant => (StatusCode::$http, tonic::Code::$grpc),)+ }
            }
        }
    };
}

error_codes! {
    /// `X-Admin-Key` is missing or wrong.
    InvalidAdminKey = "invalid_admin_key", UNAUTHORIZED, Unauthenticated;
    /// The account key is missing, wrong, expired or revoked: one answer for all.
    InvalidAccountKey = "invalid_account_key", UNAUTHORIZED, Unauthenticated;
    /// The account key may not do this.
    MissingAbility = "missing_ability", FORBIDDEN, PermissionDenied;
    /// The token between services is missing or wrong.
    InvalidServiceToken = "invalid_service_token", UNAUTHORIZED, Unauthenticated;
    /// A signature header is absent.
    MissingSignatureHeaders = "missing_signature_headers", UNAUTHORIZED, Unauthenticated;
    /// A signature header is repeated or not of its form.
    MalformedSignatureHeaders = "malformed_signature_headers", UNAUTHORIZED, Unauthenticated;
    /// The signed time is too far from the relay's.
    TimestampOutOfWindow = "timestamp_out_of_window", UNAUTHORIZED, Unauthenticated;
    /// The signature is wrong, or the tenant unknown: one answer for both.
    InvalidSignature = "invalid_signature", UNAUTHORIZED, Unauthenticated;
    /// A chat backend refused a call that was not signed by the relay.
    InvalidRelaySignature = "invalid_relay_signature", UNAUTHORIZED, Unauthenticated;
    /// The tenant has no such widget key, or it was rotated or revoked: one answer for all.
    InvalidWidgetKey = "invalid_widget_key", UNAUTHORIZED, Unauthenticated;
    /// The visitor's token is missing, not the relay's, or its session is over: one answer for all.
    InvalidVisitorToken = "invalid_visitor_token", UNAUTHORIZED, Unauthenticated;
    /// Neither the tenant nor the widget key allows pages of this origin.
    OriginNotAllowed = "origin_not_allowed", FORBIDDEN, PermissionDenied;
    /// The tenant may not use this: the feature is off in its settings.
    FeatureDisabled = "feature_disabled", FORBIDDEN, PermissionDenied;
    /// The tenant is suspended.
    TenantSuspended = "tenant_suspended", FORBIDDEN, PermissionDenied;
    /// No such tenant.
    TenantNotFound = "tenant_not_found", NOT_FOUND, NotFound;
    /// No operator with this email in this tenant.
    OperatorNotFound = "operator_not_found", NOT_FOUND, NotFound;
    /// No such conversation in this tenant.
    ConversationNotFound = "conversation_not_found", NOT_FOUND, NotFound;
    /// No such message in this conversation.
    MessageNotFound = "message_not_found", NOT_FOUND, NotFound;
    /// No such ticket in this tenant.
    TicketNotFound = "ticket_not_found", NOT_FOUND, NotFound;
    /// No such account key in this tenant.
    AccountKeyNotFound = "account_key_not_found", NOT_FOUND, NotFound;
    /// No such bot in this tenant.
    BotNotFound = "bot_not_found", NOT_FOUND, NotFound;
    /// No such widget key in this tenant.
    WidgetKeyNotFound = "widget_key_not_found", NOT_FOUND, NotFound;
    /// No such signing key.
    SigningKeyNotFound = "signing_key_not_found", NOT_FOUND, NotFound;
    /// The key signs tokens now.
    SigningKeyInUse = "signing_key_in_use", CONFLICT, FailedPrecondition;
    /// There may be no more of these.
    LimitReached = "limit_reached", CONFLICT, FailedPrecondition;
    /// No such path.
    NotFound = "not_found", NOT_FOUND, Unimplemented;
    /// The path exists, with other methods (`Allow`).
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, Unimplemented;
    /// The body is not JSON.
    MalformedJson = "malformed_json", BAD_REQUEST, InvalidArgument;
    /// The request could not be read to its end.
    MalformedRequest = "malformed_request", BAD_REQUEST, InvalidArgument;
    /// The body has an encoding or a type that is not read here.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, InvalidArgument;
    /// The request's line is longer than is read.
    UriTooLong = "uri_too_long", URI_TOO_LONG, InvalidArgument;
    /// The request's head is larger, or has more fields, than is read.
    HeadersTooLarge = "headers_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, InvalidArgument;
    /// A WebSocket is spoken here.
    UpgradeRequired = "upgrade_required", UPGRADE_REQUIRED, InvalidArgument;
    /// A field is missing, unknown or not of its form; `errors` names each.
    ValidationFailed = "validation_failed", UNPROCESSABLE_ENTITY, InvalidArgument;
    /// The same signed request came before.
    ReplayedRequest = "replayed_request", CONFLICT, AlreadyExists;
    /// Others kept changing the same thing.
    Conflict = "conflict", CONFLICT, Aborted;
    /// The body stopped coming.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, DeadlineExceeded;
    /// The body is longer than the limit.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, ResourceExhausted;
    /// Over a rate limit; `Retry-After` says when to come back.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, ResourceExhausted;
    /// The chat backend could not be reached: nothing was sent.
    BackendUnreachable = "backend_unreachable", SERVICE_UNAVAILABLE, Unavailable;
    /// The chat backend took too long; the request may have arrived.
    BackendTimeout = "backend_timeout", GATEWAY_TIMEOUT, DeadlineExceeded;
    /// The chat backend broke off or answered something that is not HTTP; the request may have arrived.
    BackendBadResponse = "backend_bad_response", BAD_GATEWAY, Internal;
    /// The chat backend refused the relay's own signature (HMAC#2): the platform's fault, never the caller's.
    BackendRefusedRelay = "backend_refused_relay", BAD_GATEWAY, Internal;
    /// The relay may not trust what it knows of the tenant.
    DirectoryUnavailable = "directory_unavailable", SERVICE_UNAVAILABLE, Unavailable;
    /// The relay has no room for this call right now.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, ResourceExhausted;
    /// The change is made, and not true everywhere yet.
    ChangePropagating = "change_propagating", SERVICE_UNAVAILABLE, Unavailable;
    /// The database did not answer, or took nothing: no change was made.
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, Unavailable;
    /// The database's answer to a change was lost: the change may have been made, or not.
    OutcomeUnknown = "outcome_unknown", SERVICE_UNAVAILABLE, Unknown;
    /// A fault of ours.
    Internal = "internal_error", INTERNAL_SERVER_ERROR, Internal;
}

/// Refused fields that are listed: an answer must not be many times as long as what was sent.
const MOST_FIELD_ERRORS: usize = 50;

/// One refused field of a 422.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The field's name as the caller wrote it.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// An error on its way to a caller. What the caller may read and what only the log may hold are kept apart.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Inner>);

/// Boxed, so that a `Result` on the way of a call that succeeds stays small.
#[derive(Clone, Debug)]
struct Inner {
    code: ErrorCode,
    message: Cow<'static, str>,
    errors: Vec<FieldError>,
    received: Option<serde_json::Value>,
    retry_after_seconds: Option<u64>,
    advice: Option<Advice>,
    cause: Option<String>,
}

/// What to do next, in the words of the interface that the caller uses.
#[derive(Clone, Copy, Debug)]
struct Advice {
    http: &'static str,
    grpc: &'static str,
}

impl ApiError {
    /// An error with a message that says what to do next. It must not hold a secret.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            errors: Vec::new(),
            received: None,
            retry_after_seconds: None,
            advice: None,
            cause: None,
        }))
    }

    /// A fault of ours: the caller reads a fixed text, the log the cause.
    pub fn internal(cause: impl ToString) -> Self {
        Self::new(ErrorCode::Internal, "Something failed on our side. Quote the request_id when you report it.")
            .caused_by(cause)
    }

    /// A widget key that opens nothing, whatever the reason: one answer for all.
    #[must_use]
    pub fn invalid_widget_key() -> Self {
        Self::new(
            ErrorCode::InvalidWidgetKey,
            "This tenant has no such widget key, or it was rotated or revoked: paste the current embed code.",
        )
    }

    /// The tenant has no operator with this email.
    #[must_use]
    pub fn operator_not_found() -> Self {
        Self::new(ErrorCode::OperatorNotFound, "This tenant has no operator with this email.")
            .advise("POST /api/v1/relay/provision/operator makes one.", "Identity.ProvisionOperator makes one.")
    }

    /// A visitor's token that the relay signed, and that opens no session any more.
    #[must_use]
    pub fn invalid_visitor_token() -> Self {
        Self::new(
            ErrorCode::InvalidVisitorToken,
            "This token opens no session any more: the session is over, or a newer token of it was used more than a minute ago.",
        )
        .advise(
            "POST /api/v1/create/visitor-session begins another; a minted token is replaced by the tenant's backend.",
            "Visitors.OpenSession begins another; Identity.MintVisitorToken replaces a minted token.",
        )
    }

    /// Pages of this origin are not let in.
    #[must_use]
    pub fn origin_not_allowed(origin: impl std::fmt::Display) -> Self {
        let message = format!(
            "Pages of {origin} are not allowed: add it to the tenant's allowed_origins, or its host to the widget key's \
             allowed_domains."
        );
        Self::new(ErrorCode::OriginNotAllowed, message)
    }

    /// Refused fields, all at once.
    #[must_use]
    pub fn validation(mut errors: Vec<FieldError>) -> Self {
        let more = errors.len().saturating_sub(MOST_FIELD_ERRORS);
        errors.truncate(MOST_FIELD_ERRORS);
        let mut message = Cow::Borrowed("Some fields were refused and nothing was written: see errors.");
        if more > 0 {
            message.to_mut().push_str(&format!(" {more} more are not listed."));
        }
        let mut error = Self::new(ErrorCode::ValidationFailed, message);
        error.0.errors = errors;
        error
    }

    /// One refused field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::validation(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// Adds what to do next: what an HTTP caller reads after the message, and what a gRPC caller reads there. The first names
    /// HTTP paths and headers, the second methods and metadata.
    #[must_use]
    pub fn advise(mut self, http: &'static str, grpc: &'static str) -> Self {
        self.0.advice = Some(Advice { http, grpc });
        self
    }

    /// Adds what is logged and never shown.
    #[must_use]
    pub fn caused_by(mut self, cause: impl ToString) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Adds `Retry-After`, in whole seconds.
    #[must_use]
    pub fn retry_after_seconds(mut self, seconds: u64) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self
    }

    /// Adds what was received, for the caller to compare with what it meant to send.
    #[must_use]
    pub fn received(mut self, received: serde_json::Value) -> Self {
        self.0.received = Some(received);
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// What a caller of any interface may read.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// In how many seconds the caller may come back, where that is said.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        self.0.retry_after_seconds
    }

    /// The refused fields.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// What only the log may hold.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The whole answer as HTTP/1.1 sends it, for a connection that then closes: where no request was read that a handler could
    /// answer.
    #[must_use]
    pub fn to_http1(&self, request_id: &RequestId) -> Vec<u8> {
        let (status, body) = (self.0.code.statuses().0, self.body(request_id.as_str()));
        let retry_after = self.0.retry_after_seconds.map(|seconds| format!("retry-after: {seconds}\r\n"));
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\ncache-control: no-store\r\n{}: {}\r\n\
             {}content-length: {}\r\n\r\n",
            X_REQUEST_ID,
            request_id.as_str(),
            retry_after.unwrap_or_default(),
            body.len()
        )
        .into_bytes();
        answer.extend_from_slice(&body);
        answer
    }

    /// The body of the answer (contract, section 2).
    #[must_use]
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        serde_json::to_vec(&Failure {
            success: false,
            status_code: self.0.code.statuses().0.as_u16(),
            error_code: self.0.code.as_str().to_owned(),
            message: advised(&self.0.message, self.0.advice.map(|advice| advice.http)),
            request_id: request_id.to_owned(),
            errors: self.0.errors.clone(),
            received: self.0.received.clone(),
        })
        .expect("strings and numbers serialize")
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.message)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    /// Status and headers; the body is rendered by [`crate::edge`], which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.0.code.statuses().0.into_response();
        if matches!(self.0.code, ErrorCode::BodyTooLarge | ErrorCode::RequestTimeout) {
            // The rest of the body was not read: nothing further on this connection would be understood.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(seconds) = self.0.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The metadata key that carries the stable code over gRPC.
const GRPC_ERROR_CODE: &str = "error-code";
/// The metadata key that carries refused fields over gRPC, as JSON.
const GRPC_FIELD_ERRORS: &str = "field-errors-bin";

impl From<ApiError> for tonic::Status {
    fn from(error: ApiError) -> Self {
        let mut metadata = tonic::metadata::MetadataMap::new();
        metadata.insert(GRPC_ERROR_CODE, tonic::metadata::MetadataValue::from_static(error.0.code.as_str()));
        if !error.0.errors.is_empty() {
            let fields = serde_json::to_vec(&error.0.errors).expect("strings serialize");
            metadata.insert_bin(GRPC_FIELD_ERRORS, tonic::metadata::MetadataValue::from_bytes(&fields));
        }
        let message = advised(&error.0.message, error.0.advice.map(|advice| advice.grpc));
        Self::with_metadata(error.0.code.statuses().1, message, metadata)
    }
}

/// A message and what to do next.
fn advised(message: &str, advice: Option<&str>) -> String {
    advice.map_or_else(|| message.to_owned(), |advice| format!("{message} {advice}"))
}

impl ApiError {
    /// The error a service of ours sent over gRPC; `None` where the status is not one of ours
    /// (the transport's, a proxy's).
    #[must_use]
    pub fn from_status(status: &tonic::Status) -> Option<Self> {
        let code = ErrorCode::from_wire(status.metadata().get(GRPC_ERROR_CODE)?.to_str().ok()?)?;
        let mut error = Self::new(code, status.message().to_owned());
        if let Some(fields) = status.metadata().get_bin(GRPC_FIELD_ERRORS) {
            #[derive(serde::Deserialize)]
            struct Field {
                field: String,
                message: String,
            }
            let fields: Vec<Field> = serde_json::from_slice(&fields.to_bytes().ok()?).ok()?;
            error.0.errors = fields.into_iter().map(|Field { field, message }| FieldError { field, message }).collect();
        }
        Some(error)
    }
}

/// Every failure's body.
#[derive(Serialize, ToSchema)]
pub struct Failure {
    /// `false`.
    success: bool,
    /// The HTTP status, again.
    status_code: u16,
    /// Stable: branch on this.
    #[schema(example = "validation_failed")]
    error_code: String,
    /// What is wrong and what to do.
    message: String,
    /// Quote it when you report the failure.
    request_id: String,
    /// The refused fields, where `error_code` is `validation_failed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// What was received, where a signature was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    received: Option<serde_json::Value>,
}

/// Every success's body.
#[derive(Debug, Serialize, ToSchema)]
pub struct Envelope<T> {
    /// `true`.
    success: bool,
    /// The HTTP status, again.
    status_code: u16,
    /// What was asked for.
    data: T,
    /// What happened, in a sentence.
    message: Cow<'static, str>,
}

/// A success in its envelope: status, data, and a sentence on what happened.
#[derive(Debug)]
pub struct Success<T>(Envelope<T>);

impl<T: Serialize> Success<T> {
    /// 200.
    pub fn ok(data: T, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Envelope { success: true, status_code: 200, data, message: message.into() })
    }

    /// 201.
    pub fn created(data: T, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Envelope { success: true, status_code: 201, data, message: message.into() })
    }
}

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => (
                StatusCode::from_u16(self.0.status_code).unwrap_or(StatusCode::OK),
                // Answers hold credentials and other people's words: no cache may keep one.
                [
                    (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                ],
                body,
            )
                .into_response(),
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_text_and_finds_its_way_back() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_wire(code.as_str()), Some(*code));
        }
    }

    #[test]
    fn an_error_survives_the_internal_boundary() {
        let sent = ApiError::field("email", "must hold an @");
        let status = tonic::Status::from(sent.clone());
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        let got = ApiError::from_status(&status).expect("one of ours");
        assert_eq!((got.code(), got.errors()), (sent.code(), sent.errors()));
        assert!(ApiError::from_status(&tonic::Status::unavailable("connection refused")).is_none());
    }

    #[test]
    fn the_cause_is_never_shown() {
        let error = ApiError::internal("password=hunter2");
        assert!(!String::from_utf8(error.body("r")).expect("utf-8").contains("hunter2"));
        assert!(!tonic::Status::from(error).message().contains("hunter2"));
    }

    #[test]
    fn each_interface_reads_its_own_advice() {
        let error = ApiError::new(ErrorCode::BotNotFound, "No such bot.").advise("GET /bots lists them.", "ListBots.");
        assert!(String::from_utf8(error.body("r")).expect("utf-8").contains("No such bot. GET /bots lists them."));
        assert_eq!(tonic::Status::from(error).message(), "No such bot. ListBots.");
    }
}
