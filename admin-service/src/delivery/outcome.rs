//! What a receiver answered.

use std::time::Duration;

use super::failed::AttemptFailed;

/// How much of an answer's body is kept. Bytes.
const LONGEST_EXCERPT: usize = 1024;

/// A receiver's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// `Retry-After`, counted from when the answer came.
    pub(crate) retry_after: Option<Duration>,
    /// The first KiB of the body, as text on one line.
    pub(crate) body: String,
}

/// What came of an attempt.
pub(crate) type Outcome = Result<Answer, AttemptFailed>;

/// The beginning of a body as text that can be shown and stored: a KiB at most, on one line, without control characters and
/// without characters that turn the direction of writing.
#[must_use]
pub(super) fn excerpt(body: &[u8]) -> String {
    let is_cut = body.len() > LONGEST_EXCERPT;
    let text = String::from_utf8_lossy(&body[..body.len().min(LONGEST_EXCERPT)]);
    // A character in two halves is no mistake of the receiver's.
    let text = if is_cut { text.trim_end_matches(char::REPLACEMENT_CHARACTER) } else { &text };
    let mut kept = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\t' | '\n' | '\r' if !kept.is_empty() && !kept.ends_with(' ') => kept.push(' '),
            letter if letter.is_control() || turns_direction(letter) => {}
            letter => kept.push(letter),
        }
    }
    // A byte that is no UTF-8 has become three.
    kept.truncate(kept.floor_char_boundary(LONGEST_EXCERPT));
    kept.truncate(kept.trim_end().len());
    kept
}

fn turns_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_text_on_one_line() {
        for (body, text) in [
            (&b""[..], ""),
            (b"ok", "ok"),
            (b"\r\n{\r\n  \"a\": 1\r\n}\r\n", "{   \"a\": 1 }"),
            (b"a\0b\x1b[31mc\x7f", "ab[31mc"),
            ("a\u{202e}b\u{2066}".as_bytes(), "ab"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            ("\u{fc}\u{df}".as_bytes(), "\u{fc}\u{df}"),
        ] {
            assert_eq!(excerpt(body), text, "{body:?}");
        }
        assert_eq!(excerpt(&[b'a'; 5000]), "a".repeat(1024));
        let cut_in_a_character = format!("{}\u{20ac}", "a".repeat(1023));
        assert_eq!(excerpt(cut_in_a_character.as_bytes()), "a".repeat(1023));
        assert!(excerpt(&[0xff; 1000]).len() <= 1024);
    }
}
