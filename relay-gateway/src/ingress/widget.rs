//! `/widget.js`: the widget that pages embed, built from `web/widget/` and part of the binary.

use std::sync::LazyLock;

use axum::{extract::Request, response::Response};
use http::{HeaderValue, header};

use super::asset::Asset;

static WIDGET: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(include_bytes!("../../web/widget/dist/widget.js"), "text/javascript; charset=utf-8"));

/// Pages look for a newer one this often; while there is none that costs them a 304.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The widget that pages embed. `If-None-Match` is answered, and gzip is sent where it is taken.
#[utoipa::path(
    get, path = "/widget.js", tag = "visitors",
    responses(
        (status = 200, description = "The script", body = String, content_type = "text/javascript"),
        (status = 304, description = "It is the one that is known"),
    )
)]
pub(super) async fn script(request: Request) -> Response {
    let mut response = WIDGET.answer(request.headers(), CACHE);
    let headers = response.headers_mut();
    // It is everybody's: pages that isolate themselves, or check its integrity, may load it too.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}
