//! A file that is part of the binary, as browsers get it: with its `ETag`, and compressed as they take it, by brotli or gzip.

use std::{io::Write as _, sync::OnceLock};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse as _, Response},
};
use brotli::enc::BrotliEncoderParams;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// Of brotli's 11 levels: the highest two take ten times as long for 3 % less.
const BROTLI_LEVEL: i32 = 9;
/// The window has 512 KiB: no file is larger.
const BROTLI_WINDOW_BITS: i32 = 19;

/// The file in each encoding; compressed when it is first asked for.
pub(super) struct Asset {
    plain: Variant,
    gzipped: OnceLock<Variant>,
    brotli: OnceLock<Variant>,
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
        Self {
            plain: Variant::new(Bytes::from_static(bytes), None),
            gzipped: OnceLock::new(),
            brotli: OnceLock::new(),
            content_type: HeaderValue::from_static(content_type),
        }
    }

    fn gzipped(&self) -> &Variant {
        self.gzipped.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&self.plain.body).expect("memory takes it");
            Variant::new(encoder.finish().expect("memory takes it").into(), Some("gzip"))
        })
    }

    fn brotli(&self) -> &Variant {
        self.brotli.get_or_init(|| {
            let params = BrotliEncoderParams { quality: BROTLI_LEVEL, lgwin: BROTLI_WINDOW_BITS, ..Default::default() };
            let mut compressed = Vec::new();
            brotli::BrotliCompress(&mut &*self.plain.body, &mut compressed, &params).expect("memory takes it");
            Variant::new(compressed.into(), Some("br"))
        })
    }

    /// 200 with the file, or 304 where `If-None-Match` names it.
    pub(super) fn answer(&self, asked: &HeaderMap, cache: HeaderValue) -> Response {
        let variant = if takes(asked, "br") {
            self.brotli()
        } else if takes(asked, "gzip") {
            self.gzipped()
        } else {
            &self.plain
        };
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

fn takes(headers: &HeaderMap, encoding: &str) -> bool {
    listed(headers, header::ACCEPT_ENCODING).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let refused = quality.trim().strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
        name.trim().eq_ignore_ascii_case(encoding) && !refused
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
            assert!(takes(&headers(taken), "gzip"), "{taken}");
        }
        for refused in ["", "br", "gzip;q=0", "gzip; q=0.0", "gzipped"] {
            assert!(!takes(&headers(refused), "gzip"), "{refused}");
        }
    }

    #[test]
    fn each_encoding_has_its_tag() {
        let asset = Asset::new(b"what a page says", "text/plain");
        let tags = [&asset.plain.etag, &asset.gzipped().etag, &asset.brotli().etag];
        assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
        let mut read = Vec::new();
        brotli::BrotliDecompress(&mut &*asset.brotli().body, &mut read).expect("brotli");
        assert_eq!(read, b"what a page says");
        assert_eq!(asset.plain.body, "what a page says");
    }
}
