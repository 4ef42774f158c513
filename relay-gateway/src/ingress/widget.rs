//! `/widget.js`: the widget that pages embed, built from `widget/` and part of the binary.

use std::{io::Write as _, sync::LazyLock};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    response::{IntoResponse as _, Response},
};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

static WIDGET: &[u8] = include_bytes!("../../web/widget/dist/widget.js");

/// Pages look for a newer one this often; while there is none that costs them a 304.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The script as it is sent in one encoding.
struct Variant {
    body: Bytes,
    /// Of these very bytes, so that no cache mixes encodings.
    etag: HeaderValue,
    encoding: Option<HeaderValue>,
}

impl Variant {
    fn new(body: Bytes, encoding: Option<&'static str>) -> Self {
        let digest = hex::encode(&Sha256::digest(&body)[..16]);
        let etag = HeaderValue::from_str(&format!("\"{digest}\"")).expect("hexadecimal digits in quotes");
        Self { body, etag, encoding: encoding.map(HeaderValue::from_static) }
    }
}

static PLAIN: LazyLock<Variant> = LazyLock::new(|| Variant::new(Bytes::from_static(WIDGET), None));

static GZIPPED: LazyLock<Variant> = LazyLock::new(|| {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(WIDGET).expect("memory takes it");
    Variant::new(encoder.finish().expect("memory takes it").into(), Some("gzip"))
});

/// The widget that pages embed. `If-None-Match` is answered, and gzip is sent where it is taken.
#[utoipa::path(
    get, path = "/widget.js", tag = "visitors",
    responses(
        (status = 200, description = "The script", body = String, content_type = "text/javascript"),
        (status = 304, description = "It is the one that is known"),
    )
)]
pub(super) async fn script(request: Request) -> Response {
    let variant = if takes_gzip(request.headers()) { &*GZIPPED } else { &*PLAIN };
    let mut response = if is_known(request.headers(), &variant.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(variant.body.clone()).into_response()
    };
    let is_sent = response.status() == StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::ETAG, variant.etag.clone());
    headers.insert(header::CACHE_CONTROL, CACHE);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    // It is everybody's: pages that isolate themselves, or check its integrity, may load it too.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    if is_sent {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
        if let Some(encoding) = &variant.encoding {
            headers.insert(header::CONTENT_ENCODING, encoding.clone());
        }
    }
    response
}

fn listed(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.into_iter().flat_map(|text| text.split(',')).map(str::trim)
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    listed(headers, header::ACCEPT_ENCODING).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let refused = quality.trim().strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    listed(headers, header::IF_NONE_MATCH)
        .any(|known| known == "*" || known.trim_start_matches("W/").as_bytes() == etag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_enough_for_any_page() {
        assert!(GZIPPED.body.len() < 20_000, "{} bytes", GZIPPED.body.len());
        assert_ne!(PLAIN.etag, GZIPPED.etag);
    }

    #[test]
    fn an_encoding_is_used_where_it_is_taken() {
        let headers =
            |text: &'static str| HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(text))]);
        for taken in ["gzip", "br, gzip;q=0.5", "GZIP"] {
            assert!(takes_gzip(&headers(taken)), "{taken}");
        }
        for refused in ["", "br", "gzip;q=0", "gzip; q=0.0", "gzipped"] {
            assert!(!takes_gzip(&headers(refused)), "{refused}");
        }
    }
}
