//! The one table of error codes: what each is on the wire, and the HTTP and gRPC status it travels with (PROTOCOL.md, section 2).

use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

/// A gRPC status, by its number in the gRPC specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum GrpcStatus {
    /// Nobody knows what happened.
    Unknown = 2,
    /// The caller sent something wrong.
    InvalidArgument = 3,
    /// The time was over.
    DeadlineExceeded = 4,
    /// What was named is not there.
    NotFound = 5,
    /// It was there before.
    AlreadyExists = 6,
    /// The caller may not.
    PermissionDenied = 7,
    /// A limit is reached.
    ResourceExhausted = 8,
    /// The state forbids it.
    FailedPrecondition = 9,
    /// Others were faster.
    Aborted = 10,
    /// It was there once.
    OutOfRange = 11,
    /// It is not done here.
    Unimplemented = 12,
    /// A fault of ours.
    Internal = 13,
    /// It cannot be done right now.
    Unavailable = 14,
    /// Nobody knows who calls.
    Unauthenticated = 16,
}

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
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+).trim_ascii(),)+ }
            }

            /// The HTTP status and the gRPC status, side by side so that they cannot drift apart.
            #[must_use]
            pub const fn statuses(self) -> (StatusCode, GrpcStatus) {
                match self { $(Self::$variant => (StatusCode::$http, GrpcStatus::$grpc),)+ }
            }
        }
    };
}

error_codes! {
    /// The admin key is missing, wrong, expired or revoked: one answer for all.
    InvalidAdminKey = "invalid_admin_key", UNAUTHORIZED, Unauthenticated;
    /// The account key is missing, wrong, expired or revoked: one answer for all.
    InvalidAccountKey = "invalid_account_key", UNAUTHORIZED, Unauthenticated;
    /// The account key may not do this.
    MissingAbility = "missing_ability", FORBIDDEN, PermissionDenied;
    /// The admin key lacks the scope of the call, or the call needs a root key.
    MissingScope = "missing_scope", FORBIDDEN, PermissionDenied;
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
    /// The token that says who a visitor is was not minted for this tenant, or is over: one answer for all.
    InvalidIdentityToken = "invalid_identity_token", UNAUTHORIZED, Unauthenticated;
    /// The operator's token is missing, not the relay's, or its time is over: one answer for all.
    InvalidOperatorToken = "invalid_operator_token", UNAUTHORIZED, Unauthenticated;
    /// The operator's membership was changed or revoked after the token was issued, or the tenant has ended all its tokens.
    OperatorTokenSuperseded = "operator_token_superseded", UNAUTHORIZED, Unauthenticated;
    /// Neither the tenant nor the widget key allows pages of this origin.
    OriginNotAllowed = "origin_not_allowed", FORBIDDEN, PermissionDenied;
    /// The tenant may not use this: the feature is off in its settings.
    FeatureDisabled = "feature_disabled", FORBIDDEN, PermissionDenied;
    /// The tenant keeps as many bytes of files as it may.
    StorageQuotaExceeded = "storage_quota_exceeded", FORBIDDEN, ResourceExhausted;
    /// The tenant is suspended.
    TenantSuspended = "tenant_suspended", FORBIDDEN, PermissionDenied;
    /// No such tenant.
    TenantNotFound = "tenant_not_found", NOT_FOUND, NotFound;
    /// No such operator in this tenant.
    OperatorNotFound = "operator_not_found", NOT_FOUND, NotFound;
    /// No such conversation in this tenant.
    ConversationNotFound = "conversation_not_found", NOT_FOUND, NotFound;
    /// No such message in this conversation.
    MessageNotFound = "message_not_found", NOT_FOUND, NotFound;
    /// No such ticket in this tenant.
    TicketNotFound = "ticket_not_found", NOT_FOUND, NotFound;
    /// There is no such admin key.
    AdminKeyNotFound = "admin_key_not_found", NOT_FOUND, NotFound;
    /// No such account key in this tenant.
    AccountKeyNotFound = "account_key_not_found", NOT_FOUND, NotFound;
    /// No such bot in this tenant.
    BotNotFound = "bot_not_found", NOT_FOUND, NotFound;
    /// No such widget key in this tenant.
    WidgetKeyNotFound = "widget_key_not_found", NOT_FOUND, NotFound;
    /// No such event in this tenant.
    EventNotFound = "event_not_found", NOT_FOUND, NotFound;
    /// The tenant has no `callback_url_base`, so nothing can be sent.
    NoEndpoint = "no_endpoint", CONFLICT, FailedPrecondition;
    /// An event with this id and another content was published before.
    EventIdReused = "event_id_reused", CONFLICT, AlreadyExists;
    /// The events after this cursor are no longer kept.
    CursorExpired = "cursor_expired", GONE, OutOfRange;
    /// No such signing key.
    SigningKeyNotFound = "signing_key_not_found", NOT_FOUND, NotFound;
    /// The key signs tokens now.
    SigningKeyInUse = "signing_key_in_use", CONFLICT, FailedPrecondition;
    /// There may be no more of these.
    LimitReached = "limit_reached", CONFLICT, FailedPrecondition;
    /// The tenant has as many active operators as `agent_seats` allows.
    SeatLimitReached = "seat_limit_reached", CONFLICT, FailedPrecondition;
    /// Another operator has the conversation.
    AlreadyClaimed = "already_claimed", CONFLICT, FailedPrecondition;
    /// The conversation is not the operator's to answer or to change.
    NotAssigned = "not_assigned", CONFLICT, FailedPrecondition;
    /// The conversation is resolved.
    ConversationResolved = "conversation_resolved", CONFLICT, FailedPrecondition;
    /// The conversation is not resolved, so there is nothing to reopen or to rate.
    ConversationNotResolved = "conversation_not_resolved", CONFLICT, FailedPrecondition;
    /// No such canned reply in this tenant.
    CannedReplyNotFound = "canned_reply_not_found", NOT_FOUND, NotFound;
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

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_wire(&text).ok_or_else(|| de::Error::custom("is not an error code"))
    }
}

/// One refused field of a 422.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The field's name as the caller wrote it.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
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
}
