//! Which files visitors and operators may send.

use std::{num::NonZeroU64, str::FromStr, sync::Arc};

use service::config::{Read, Settings};

use super::values::List;

/// Which files visitors and operators may send.
#[derive(Clone, Debug)]
pub struct AttachmentConfig {
    /// Bytes that a file may have.
    pub limit: u64,
    /// Media types that a file may have.
    pub types: Arc<[MediaRange]>,
}

impl AttachmentConfig {
    pub(super) fn read(settings: &mut Settings) -> Read<Self> {
        let limit = settings.required("attachment_bytes").map(NonZeroU64::get);
        let types = settings.required::<List<MediaRange>>("attachment_types");
        Ok(Self { limit: limit?, types: types?.0.into() })
    }
}

/// A media type, or all of a kind such as `image/*`. In lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRange(String);

impl MediaRange {
    /// Whether a media type, in lower case and without parameters, is one of these.
    #[must_use]
    pub fn holds(&self, media_type: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(kind) => media_type.starts_with(kind),
            None => self.0 == media_type,
        }
    }
}

impl FromStr for MediaRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        match text.split_once('/') {
            Some((kind, rest)) if is_token(kind) && (rest == "*" || is_token(rest)) => Ok(Self(text)),
            _ => Err("must be a media type such as application/pdf, or image/*".to_owned()),
        }
    }
}

/// Whether a text is one half of a media type (RFC 6838, section 4.2).
#[must_use]
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_types_alone() {
        let images: MediaRange = "Image/*".parse().expect("a range");
        assert!(images.holds("image/png") && images.holds("image/svg+xml") && !images.holds("imagery/png"));
        let pdf: MediaRange = "application/pdf".parse().expect("a range");
        assert!(pdf.holds("application/pdf") && !pdf.holds("application/pdfx"));
        for wrong in ["", "image", "image/", "/png", "*/*", "image/p*", "image/png; q=1"] {
            wrong.parse::<MediaRange>().expect_err(wrong);
        }
    }
}
