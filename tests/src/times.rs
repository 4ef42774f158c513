//! Times as answers and frames show them.

use serde_json::Value;

/// Checks every time in an answer or a frame, however deep: RFC 3339 in UTC, with three digits after the second.
///
/// # Panics
/// Where one has another form.
pub fn check_times(said: &Value) {
    match said {
        Value::Array(items) => items.iter().for_each(check_times),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name.ends_with("_at") => {
                        let form: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
                        assert_eq!(form, "0000-00-00T00:00:00.000Z", "{name}: {text}");
                    }
                    value => check_times(value),
                }
            }
        }
        _ => {}
    }
}
