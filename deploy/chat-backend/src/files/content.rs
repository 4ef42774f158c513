//! What a file is: by its declared media type and its first bytes. And what its address ends with.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use wire::attachments::SHOWN_PICTURES;

/// How many of a file's first bytes tell whether it is a picture.
pub(super) const HEAD_BYTES: usize = 16;

/// The media type that browsers are told. Browsers show pictures, so a file is called a picture only if its first bytes are a picture's.
pub(super) fn shown_as<'a>(declared: &'a str, head: &[u8]) -> &'a str {
    let picture = picture(head);
    match picture {
        Some(picture) => picture,
        None if SHOWN_PICTURES.contains(&declared) => "application/octet-stream",
        None => declared,
    }
}

fn picture(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some("image/png"),
        [0xFF, 0xD8, 0xFF, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// What follows the tenant in a file's address. The name is for people: nothing depends on it.
pub(super) fn path(id: &str, name: &str) -> String {
    // An address has 2048 characters at most, and an encoded one may have twelve for one of the name's.
    let short: String = name.chars().rev().take(100).collect::<Vec<_>>().into_iter().rev().collect();
    format!("{id}/{}", utf8_percent_encode(&short, NON_ALPHANUMERIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_what_begins_like_one() {
        assert_eq!(shown_as("image/jpeg", b"\x89PNG\r\n\x1a\n...."), "image/png");
        assert_eq!(shown_as("text/plain", b"GIF89a"), "image/gif");
        assert_eq!(shown_as("image/webp", b"RIFF1234WEBPVP8 "), "image/webp");
        assert_eq!(shown_as("image/png", b"<html><script>"), "application/octet-stream");
        assert_eq!(shown_as("image/svg+xml", b"<svg>"), "image/svg+xml");
        assert_eq!(shown_as("application/pdf", b"%PDF-1.7"), "application/pdf");
        assert_eq!(shown_as("image/gif", b""), "application/octet-stream");
    }

    #[test]
    fn an_address_is_short_and_ends_with_the_names_end() {
        let path = path("id", &format!("{}.png", "\u{1F431}".repeat(255)));
        assert!(path.len() < 1300 && path.ends_with("%2Epng"), "{path}");
    }
}
