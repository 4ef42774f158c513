//! A frame as JSON text.

use serde::Serialize;

/// The frame's JSON.
///
/// # Panics
/// Never: frames hold texts, numbers, lists and objects with texts as keys, and each of these has a JSON form.
pub(super) fn text(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).expect("a frame has a JSON form")
}
