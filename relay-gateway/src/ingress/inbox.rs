//! `/inbox`: the page in which a tenant's operators answer visitors, built from `web/inbox/` and part of the binary.
//!
//! The page holds an operator's token, so nothing but its own script may run in it, and no other page may frame it.

use std::sync::LazyLock;

use axum::{
    extract::Request,
    response::{Redirect, Response},
};
use http::{HeaderValue, header};

use super::asset::Asset;

static PAGE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(include_bytes!("../../web/inbox/index.html"), "text/html; charset=utf-8"));
static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(include_bytes!("../../web/inbox/dist/inbox.js"), "text/javascript; charset=utf-8"));
static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(include_bytes!("../../web/inbox/dist/inbox.css"), "text/css; charset=utf-8"));

/// Asked for again at each load, and answered by a 304: after an upgrade of the relay, no page runs an old script against it.
const CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// `connect-src 'self'` covers the socket too, which is of the same host. The icon is empty (`data:,`).
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// The operators' inbox. It is opened as `/inbox#token=<operator_token>`.
#[utoipa::path(
    get, path = "/inbox", tag = "operators",
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 304, description = "It is the one that is known"),
    )
)]
pub(super) async fn page(request: Request) -> Response {
    answer(&PAGE, &request)
}

/// The page names its script and style relative to `/inbox`. A browser carries the fragment, with the token, over a redirect.
pub(super) async fn without_slash() -> Redirect {
    Redirect::permanent("../inbox")
}

pub(super) async fn script(request: Request) -> Response {
    answer(&SCRIPT, &request)
}

pub(super) async fn style(request: Request) -> Response {
    answer(&STYLE, &request)
}

fn answer(asset: &Asset, request: &Request) -> Response {
    let mut response = asset.answer(request.headers(), CACHE);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}
