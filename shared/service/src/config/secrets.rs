//! Secrets among the settings: what is accepted as one, lists of them, and files that hold them.

use std::{
    fmt, fs,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    str::FromStr,
    sync::Arc,
};

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::weak;

/// Keys and tokens shorter than this can be guessed.
const SHORTEST_SECRET: usize = 16;
/// Each call is checked against every entry.
const MOST_ENTRIES: usize = 8;
/// A file that holds a secret is not larger.
const LARGEST_FILE_BYTES: u64 = 65_536;

/// Whether a key or token is long enough, and not so regular that it is guessed all the same.
///
/// # Errors
/// What is wrong with it, without quoting it.
pub fn check_secret(secret: &str) -> Result<(), String> {
    if secret.chars().count() < SHORTEST_SECRET {
        return Err(format!("must have at least {SHORTEST_SECRET} characters; `openssl rand -base64 32` makes one"));
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be visible ASCII characters without spaces, since it travels in a header".to_owned());
    }
    match weak::weakness(secret) {
        Some(why) => Err(format!("is easily guessed: {why}; `openssl rand -base64 32` makes a good one")),
        None => Ok(()),
    }
}

/// One secret or several, so that it can be changed without an outage: the first is sent or signs, all are accepted.
///
/// Entries are separated by commas or line ends; `\,` is a comma within an entry.
#[derive(Clone)]
pub struct SecretList {
    entries: Arc<[SecretString]>,
    given: SecretString,
    /// Whether an earlier version took the whole text, commas and all, for one secret. Callers who were given that secret still
    /// come with it: it is accepted and never sent.
    was_one_secret: bool,
}

impl SecretList {
    /// The one to send or to sign with.
    #[must_use]
    pub fn first(&self) -> &SecretString {
        &self.entries[0]
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Every secret that is accepted. A caller that compares must compare with all, so that the time tells nothing.
    pub fn accepted(&self) -> impl Iterator<Item = &SecretString> {
        self.entries.iter().chain(self.was_one_secret.then_some(&self.given))
    }

    /// The text it was read from, for the configuration of another part.
    #[must_use]
    pub fn as_given(&self) -> &SecretString {
        &self.given
    }

    /// Logs that the setting is a list, where it has several entries: while it is, an old secret still opens.
    pub fn log_rotation(&self, setting: &str) {
        if self.count() > 1 {
            tracing::info!(
                setting,
                entries = self.count(),
                "several secrets are configured: drop the old once nobody uses it"
            );
        }
    }
}

impl fmt::Debug for SecretList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretList").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

impl FromStr for SecretList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entries = split(text);
        let named = |index: usize, wrong: &str| match entries.len() {
            1 => wrong.to_owned(),
            _ => format!(
                "entry {} {wrong} (a comma separates entries; one that is part of a secret is written \\,)",
                index + 1
            ),
        };
        if entries.len() > MOST_ENTRIES {
            return Err(format!(
                "has {} entries, and may have {MOST_ENTRIES}: drop the oldest (a comma that is part of a secret is written \\,)",
                entries.len()
            ));
        }
        for (index, entry) in entries.iter().enumerate() {
            if entry.is_empty() {
                return Err(named(index, "is empty"));
            }
            check_secret(entry).map_err(|wrong| named(index, &wrong))?;
            if entries[..index].contains(entry) {
                return Err(named(index, "repeats an earlier one"));
            }
        }
        let text = text.trim();
        let was_one_secret = entries.len() > 1 && text.bytes().all(|byte| byte.is_ascii_graphic());
        Ok(Self {
            entries: entries.iter().map(|entry| SecretString::from(entry.as_str())).collect(),
            given: text.into(),
            was_one_secret,
        })
    }
}

/// The entries without the space around them; at least one. Empty lines are no entries.
fn split(text: &str) -> Vec<Zeroizing<String>> {
    let mut entries = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut entry = Zeroizing::new(String::with_capacity(line.len()));
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\\' if characters.next_if_eq(&',').is_some() => entry.push(','),
                ',' => entries.push(Zeroizing::new(std::mem::take(&mut *entry).trim().to_owned())),
                _ => entry.push(character),
            }
        }
        entries.push(Zeroizing::new(entry.trim().to_owned()));
    }
    if entries.is_empty() {
        entries.push(Zeroizing::default());
    }
    entries
}

/// Reads a file that holds a secret. Beside its text, a warning where others can read it too.
///
/// # Errors
/// What is wrong with the file and what to do; nothing of what it holds.
pub(super) fn read_file(path: &Path) -> Result<(Zeroizing<String>, Option<String>), String> {
    let unreadable = |error: io::Error| {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "check the path, and that the secret is mounted",
            io::ErrorKind::PermissionDenied => "let the user this program runs as read it",
            _ => "it must be a readable file that holds the secret",
        };
        format!("{}: {error}: {advice}", path.display())
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LARGEST_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST_FILE_BYTES {
        return Err(format!("{}: has more than {LARGEST_FILE_BYTES} bytes: is it the right file?", path.display()));
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| format!("{}: is not UTF-8 text: is it the right file?", path.display()))?;
    // Some editors begin a file so.
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(format!("{}: is empty: write the secret into it", path.display()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    let warning = (metadata.is_file() && mode & 0o007 != 0).then(|| {
        format!(
            "{} can be used by every user of this machine (mode {mode:04o}): `chmod 640` it, or set defaultMode where \
             Kubernetes mounts it",
            path.display()
        )
    });
    Ok((Zeroizing::new(text.to_owned()), warning))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const OLD: &str = "old-secret-of-yesterday";
    const NEW: &str = "new-secret-of-this-morning";

    fn accepted(text: &str) -> Vec<String> {
        let list: SecretList = text.parse().expect("a list");
        assert_eq!(list.first().expose_secret(), list.accepted().next().expect("one").expose_secret());
        list.accepted().map(|secret| secret.expose_secret().to_owned()).collect()
    }

    #[test]
    fn the_first_is_sent_and_all_are_accepted() {
        assert_eq!(accepted(OLD), [OLD]);
        assert_eq!(accepted(&format!("{NEW}, {OLD}")), [NEW, OLD]);
        assert_eq!(accepted(&format!("{NEW}\r\n\n{OLD}\n")), [NEW, OLD]);
        assert_eq!(accepted("one-of-the-data-dir, pretty-honest-otter\nseven-quiet-otters").len(), 3);
    }

    #[test]
    fn eight_entries_are_as_many_as_there_may_be() {
        let list = |count: usize| (0..count).map(|number| format!("{NEW}-{number}")).collect::<Vec<_>>().join(",");
        assert_eq!(list(8).parse::<SecretList>().expect("a list").count(), 8);
        assert!(list(9).parse::<SecretList>().expect_err("refused").contains("has 9 entries"));
    }

    #[test]
    fn entries_are_compared_and_accepted_without_their_escapes() {
        assert_eq!(accepted(&format!("{NEW}\\,"))[0], format!("{NEW},"), "a comma at the end");
        let error = format!("{NEW}\\,x\n{NEW}\\,x").parse::<SecretList>().expect_err("twice the same");
        assert!(error.contains("entry 2 repeats"), "{error}");
    }

    /// An earlier version took a text with commas for one secret.
    #[test]
    fn yesterdays_secret_with_a_comma_goes_on_or_says_what_to_do() {
        let whole = format!("{NEW},{OLD}");
        assert_eq!(accepted(&whole), [NEW, OLD, &whole], "callers who were given the whole still come with it");
        for (text, told) in [
            ("kR7,vTq9zLw3xN5p", "entry 1 must have at least 16"),
            ("kR7,b,c,d,e,f,g,h", "entry 1 must have at least 16"),
            ("kR7,b,c,d,e,f,g,h,i", "has 9 entries"),
        ] {
            let error = text.parse::<SecretList>().expect_err("refused");
            assert!(error.contains(told) && error.contains("\\,"), "{error}");
            assert!(!error.contains("kR7"), "{error}");
        }
        assert_eq!(accepted("kR7\\,vTq9zLw3xN5p"), ["kR7,vTq9zLw3xN5p"]);
        assert_eq!(accepted("kR7\\vTq9zLw3xN5p"), ["kR7\\vTq9zLw3xN5p"], "any other backslash is itself");
    }

    #[test]
    fn a_bad_list_says_which_entry_and_never_which_secret() {
        for (text, expected) in [
            (format!("{NEW},"), "entry 2 is empty"),
            (format!(",{NEW}"), "entry 1 is empty"),
            (format!("{NEW},{OLD},{NEW}"), "entry 3 repeats"),
            (format!("{NEW},short"), "entry 2 must have at least 16"),
            (format!("{NEW}\nchangeme-changeme"), "entry 2 is easily guessed"),
            ((10..20).map(|number| format!("{NEW}{number}")).collect::<Vec<_>>().join(","), "has 10 entries"),
            (format!("{NEW} {OLD}"), "must be visible ASCII"),
            (
                "\u{e9}\u{e9}\u{e9}\u{e9}-\u{e9}\u{e9}\u{e9}\u{e9}-\u{e9}\u{e9}\u{e9}\u{e9}-\u{e9}\u{e9}".to_owned(),
                "visible ASCII",
            ),
            (String::new(), "is empty"),
        ] {
            let error = text.parse::<SecretList>().expect_err(&text);
            assert!(error.contains(expected), "{error}");
            for hidden in ["of-yesterday", "of-this-morning", "changeme"] {
                assert!(!error.contains(hidden), "{error}");
            }
        }
        let list: SecretList = format!("{NEW},{OLD}").parse().expect("a list");
        assert!(!format!("{list:?}").contains("secret-of"), "{list:?}");
    }
}
