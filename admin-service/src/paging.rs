//! Pages as callers ask for them, the same over REST and gRPC: how many rows, and where the page begins.

use std::ops::RangeInclusive;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

/// How many rows a caller may ask for.
pub(crate) const ROWS: RangeInclusive<u64> = 1..=500;
/// How many rows a caller gets who does not say.
pub(crate) const DEFAULT_ROWS: u64 = 100;
/// How many rows a caller may skip. Cursors are for more than that.
pub(crate) const OFFSETS: RangeInclusive<u64> = 0..=10_000_000;

/// What is wrong with any text that is not a cursor of ours.
const NOT_A_CURSOR: &str = "is not a cursor: pass next_cursor of the page before, unchanged";

/// A place in a list: the key of the last row before it.
pub(crate) trait Key: Sized {
    fn to_bytes(&self) -> Vec<u8>;
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// Tenants are listed by id.
impl Key for Uuid {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_slice(bytes).ok()
    }
}

/// The audit log is listed by revision.
impl Key for u64 {
    fn to_bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

/// Writes where the next page begins.
#[expect(clippy::needless_pass_by_value, reason = "made for `map`")]
pub(crate) fn write_cursor(after: impl Key) -> String {
    URL_SAFE_NO_PAD.encode(after.to_bytes())
}

fn read<P: Key>(text: &str) -> Option<P> {
    P::from_bytes(&URL_SAFE_NO_PAD.decode(text).ok()?)
}

/// Reads a cursor. A cursor is opaque to callers: they pass it as they got it.
///
/// # Errors
/// What is wrong with a text that is no cursor of this list.
pub(crate) fn read_cursor<P: Key>(text: &str) -> Result<P, &'static str> {
    read(text).ok_or(NOT_A_CURSOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_anything_else_is_refused() {
        let id = Uuid::now_v7();
        assert_eq!(read(&write_cursor(id)), Some(id));
        assert_eq!(read(&write_cursor(7_u64)), Some(7_u64));
        assert_eq!(read::<u64>(&write_cursor(id)), None, "a cursor of another list");
        for wrong in ["", "AAAA", "not base64!", &id.to_string(), &format!("{}A", write_cursor(id))] {
            assert_eq!(read::<Uuid>(wrong), None, "{wrong:?}");
            assert_eq!(read::<u64>(wrong), None, "{wrong:?}");
        }
    }
}
