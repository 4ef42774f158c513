//! The keys that the embedded defaults document.

/// The keys of the defaults, each with the comment above it.
pub(super) fn documented_keys(defaults: &str) -> Vec<(String, String)> {
    let mut keys = Vec::new();
    let mut comment = String::new();
    for line in defaults.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push_str(text.trim());
            comment.push(' ');
        } else if let Some((key, _)) = line.split_once('=') {
            keys.push((key.trim().to_owned(), std::mem::take(&mut comment).trim().to_owned()));
        } else {
            comment.clear();
        }
    }
    keys
}

/// The setting that comes from the file which `key` names; `None` where it names none.
pub(super) fn held_by<'a>(key: &'a str, keys: &[(String, String)]) -> Option<&'a str> {
    key.strip_suffix("_file").filter(|held| keys.iter().any(|(known, _)| known == held))
}
