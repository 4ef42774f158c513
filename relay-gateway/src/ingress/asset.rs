//! A file that is part of the binary, as browsers get it: with its `ETag`, and gzipped where they take that.

use std::io::Write as _;

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse as _, Response},
};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// The file in both encodings.
pub(super) struct Asset {
    plain: Variant,
    gzipped: Variant,
    content_type: HeaderValue,
}

/// The file as it is sent in one encoding.
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

impl Asset {
    pub(super) fn new(bytes: &'static [u8], content_type: &'static str) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("memory takes it");
        let gzipped = encoder.finish().expect("memory takes it");
        Self {
            plain: Variant::new(Bytes::from_static(bytes), None),
            gzipped: Variant::new(gzipped.into(), Some("gzip")),
            content_type: HeaderValue::from_static(content_type),
        }
    }

    /// 200 with the file, or 304 where `If-None-Match` names it.
    pub(super) fn answer(&self, asked: &HeaderMap, cache: HeaderValue) -> Response {
        let variant = if takes_gzip(asked) { &self.gzipped } else { &self.plain };
        let mut response = if is_known(asked, &variant.etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            Body::from(variant.body.clone()).into_response()
        };
        let is_sent = response.status() == StatusCode::OK;
        let headers = response.headers_mut();
        headers.insert(header::ETAG, variant.etag.clone());
        headers.insert(header::CACHE_CONTROL, cache);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if is_sent {
            headers.insert(header::CONTENT_TYPE, self.content_type.clone());
            if let Some(encoding) = &variant.encoding {
                headers.insert(header::CONTENT_ENCODING, encoding.clone());
            }
        }
        response
    }
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

    #[test]
    fn each_encoding_has_its_tag() {
        let asset = Asset::new(b"what a page says", "text/plain");
        assert_ne!(asset.plain.etag, asset.gzipped.etag);
        assert_eq!(asset.plain.body, "what a page says");
    }
}
