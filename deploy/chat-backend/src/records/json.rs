//! JSON that a row holds as text.

use serde_json::Value;

/// The JSON of a column that the backend wrote itself.
pub(super) fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}
