//! An error as callers of every interface read it.
//!
//! Domain errors know no status codes; the edges turn them into an [`ApiError`], and [`ErrorCode`] alone says what HTTP and gRPC
//! make of it.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use wire::{
    ErrorCode, FieldError,
    fields::RefusedFields,
    request_id::{RequestId, X_REQUEST_ID},
};

use crate::failure::Failure;

/// Refused fields that are listed: an answer must not be many times as long as what was sent.
const MOST_FIELD_ERRORS: usize = 50;

/// An error on its way to a caller. What the caller may read and what only the log may hold are kept apart.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Inner>);

/// Boxed, so that a `Result` on the way of a call that succeeds stays small.
#[derive(Clone, Debug)]
struct Inner {
    code: ErrorCode,
    message: Cow<'static, str>,
    errors: Vec<FieldError>,
    /// What to do instead of writing each of the refused fields; empty if no field has such words.
    instead: Vec<Option<EdgeWords>>,
    received: Option<serde_json::Value>,
    operator: Option<serde_json::Value>,
    retry_after_seconds: Option<u64>,
    advice: Option<EdgeWords>,
    cause: Option<String>,
}

/// The same advice for callers of each interface. The error is rendered with the words of the interface that its caller uses.
#[derive(Clone, Copy, Debug)]
pub struct EdgeWords {
    /// Names HTTP paths and headers.
    pub http: &'static str,
    /// Names methods and metadata.
    pub grpc: &'static str,
}

impl ApiError {
    /// An error with a message that says what to do next. It must not hold a secret.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            errors: Vec::new(),
            instead: Vec::new(),
            received: None,
            operator: None,
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

    /// An operator's token that the relay signed, and that opens nothing any more.
    #[must_use]
    pub fn operator_token_superseded() -> Self {
        Self::new(
            ErrorCode::OperatorTokenSuperseded,
            "This token opens nothing any more: the operator's membership was changed or revoked after it was issued, or the tenant \
             has ended all its tokens.",
        )
        .advise(
            "The tenant's backend gets another by POST /api/v1/relay/fetch/operator-token.",
            "Identity.IssueOperatorToken gives another.",
        )
    }

    /// A token that was to say who a visitor is, and that does not.
    #[must_use]
    pub fn invalid_identity_token() -> Self {
        Self::new(
            ErrorCode::InvalidIdentityToken,
            "The identity_token does not say who the visitor is: it was not minted for this tenant, or its time is over, or its visitor was \
             revoked.",
        )
        .advise(
            "The tenant's backend mints another with POST /api/v1/relay/mint/visitor-token.",
            "Identity.MintVisitorToken makes another.",
        )
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

    /// Refused fields, each with what to do instead. The words follow the field's message without a space.
    #[must_use]
    pub fn refused_fields(fields: impl IntoIterator<Item = (FieldError, Option<EdgeWords>)>) -> Self {
        let (errors, instead) = fields.into_iter().unzip();
        let mut error = Self::validation(errors);
        error.0.instead = instead;
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
        self.0.advice = Some(EdgeWords { http, grpc });
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

    /// Adds who has what the caller wanted.
    #[must_use]
    pub fn held_by(mut self, operator: serde_json::Value) -> Self {
        self.0.operator = Some(operator);
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

    /// The refused fields, without what to do instead.
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

    /// The body of the answer (PROTOCOL.md, section 2).
    #[must_use]
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        serde_json::to_vec(&Failure {
            success: false,
            status_code: self.0.code.statuses().0.as_u16(),
            error_code: self.0.code.as_str().to_owned(),
            message: advised(&self.0.message, self.0.advice.map(|advice| advice.http)),
            request_id: request_id.to_owned(),
            errors: self.0.fields(|words| words.http),
            received: self.0.received.clone(),
            operator: self.0.operator.clone(),
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

impl From<RefusedFields> for ApiError {
    /// A 422 that names every refused field.
    fn from(RefusedFields(errors): RefusedFields) -> Self {
        Self::validation(errors)
    }
}

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
            let fields = serde_json::to_vec(&error.0.fields(|words| words.grpc)).expect("strings serialize");
            metadata.insert_bin(GRPC_FIELD_ERRORS, tonic::metadata::MetadataValue::from_bytes(&fields));
        }
        let message = advised(&error.0.message, error.0.advice.map(|advice| advice.grpc));
        Self::with_metadata(tonic::Code::from_i32(error.0.code.statuses().1 as i32), message, metadata)
    }
}

impl Inner {
    /// The refused fields, with what to do instead in the words of one interface.
    fn fields(&self, words: impl Fn(EdgeWords) -> &'static str) -> Vec<FieldError> {
        let mut fields = self.errors.clone();
        for (field, instead) in fields.iter_mut().zip(&self.instead) {
            field.message.push_str(instead.map_or("", &words));
        }
        fields
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let field = |name: &str| FieldError { field: name.to_owned(), message: "is refused".to_owned() };
        let words = EdgeWords { http: "; GET /bots", grpc: "; ListBots" };
        let error = ApiError::refused_fields([(field("a"), None), (field("b"), Some(words))]);
        let body = String::from_utf8(error.body("r")).expect("utf-8");
        assert!(body.contains("is refused; GET /bots") && !body.contains("ListBots"), "{body}");
        let over_grpc = ApiError::from_status(&tonic::Status::from(error)).expect("one of ours");
        let messages: Vec<_> = over_grpc.errors().iter().map(|error| error.message.as_str()).collect();
        assert_eq!(messages, ["is refused", "is refused; ListBots"]);
    }
}
