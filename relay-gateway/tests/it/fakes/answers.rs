//! What a gateway answers, and what a backend does.

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};

/// An answer's status and `error_code`.
pub(crate) async fn refusal(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    assert!(answer.headers().contains_key("x-request-id"));
    let body: serde_json::Value = answer.json().await.expect("an envelope");
    assert_eq!(body["status_code"], status, "{body}");
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    (status, body["error_code"].as_str().expect("a code").to_owned())
}

pub(crate) fn ok(body: impl Into<Body>) -> Response {
    Response::new(body.into()).into_response()
}
