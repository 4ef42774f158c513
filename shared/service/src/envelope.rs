//! The envelope that every success travels in (PROTOCOL.md, section 2).

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;

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
