//! Whether a secret can be guessed although it is long: a small estimate of how many guesses it takes.
//!
//! The text is read as the cheapest sequence of pieces that somebody who guesses would try: a common word, a run of neighbours
//! (`abcd`, `4321`, `qwerty`), a repetition of what came before, and single characters for all the rest. Words that are not
//! in the short list count as single characters, so a passphrase of several words is far above the bound, as is anything random.
//! A crate such as `zxcvbn` would do it with large word lists and regular expressions; it would refuse more, and what was
//! accepted yesterday should be refused only where it is really guessable.

/// A secret that takes fewer than two to the power of this many guesses is refused. Sixteen random digits take 2^53.
const LEAST_BITS: f64 = 40.0;
/// With fewer different characters than this, a text is a pattern. Sixteen random digits have eight.
const LEAST_DISTINCT: usize = 5;
/// What follows is not looked at: a secret whose first characters are hard to guess is hard to guess.
const LOOKED_AT: usize = 256;

const WORD_BITS: f64 = 7.0;
const SEPARATOR_BITS: f64 = 2.0;
const SHORTEST_REPETITION: usize = 3;
const SHORTEST_RUN: usize = 4;

/// What stands in examples, and what people type when they are asked for a secret. Lower case, letters read as in
/// [`reads_as`].
const WORDS: [&str; 66] = [
    "1qaz",
    "2wsx",
    "3edc",
    "4rfv",
    "5tgb",
    "access",
    "admin",
    "apikey",
    "auth",
    "change",
    "changeit",
    "changeme",
    "changethis",
    "chat",
    "correct",
    "default",
    "demo",
    "development",
    "dragon",
    "dummy",
    "example",
    "fixme",
    "foobar",
    "gateway",
    "hello",
    "here",
    "insecure",
    "iloveyou",
    "insert",
    "key",
    "letmein",
    "login",
    "master",
    "monkey",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "placeholder",
    "please",
    "private",
    "production",
    "public",
    "qwerty",
    "qwertz",
    "azerty",
    "relay",
    "replace",
    "replaceme",
    "root",
    "sample",
    "secret",
    "secure",
    "security",
    "server",
    "service",
    "something",
    "string",
    "super",
    "test",
    "testing",
    "todo",
    "token",
    "user",
    "welcome",
    "your",
];

/// Neighbours in the alphabet, among the digits and on a keyboard.
const LINES: [&[u8]; 6] =
    [b"abcdefghijklmnopqrstuvwxyz", b"01234567890", b"qwertyuiop", b"asdfghjkl", b"zxcvbnm", b"qwertzuiop"];

/// What a piece of the text is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Single,
    Word,
    Run,
    Repetition,
}

/// Why a visible-ASCII secret of some length is easily guessed; `None` where it is not. It never quotes the secret.
pub(super) fn weakness(secret: &str) -> Option<&'static str> {
    let bytes = &secret.as_bytes()[..secret.len().min(LOOKED_AT)];
    if distinct(bytes) < LEAST_DISTINCT {
        return Some("it has only a few different characters");
    }
    let (bits, covered) = cheapest_reading(bytes);
    if bits >= LEAST_BITS {
        return None;
    }
    let [singles, words, runs, repeated] = covered;
    let known = words.max(runs);
    // What repeats a word is a word all the same.
    Some(if repeated > known && singles > known {
        "it repeats itself"
    } else if runs > words {
        "it follows the alphabet, the digits or the rows of a keyboard"
    } else {
        "it is made of words that everybody tries first"
    })
}

fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    seen.iter().filter(|seen| **seen).count()
}

/// Whether a character is of some kind.
type Belongs = fn(&u8) -> bool;

/// The bits one character adds that belongs to no other piece.
fn single_bits(bytes: &[u8]) -> f64 {
    let pools: [(Belongs, u32); 4] = [
        (u8::is_ascii_lowercase, 26),
        (u8::is_ascii_uppercase, 26),
        (u8::is_ascii_digit, 10),
        (u8::is_ascii_punctuation, 33),
    ];
    let pool: u32 = pools.iter().filter(|(belongs, _)| bytes.iter().any(belongs)).map(|(_, size)| size).sum();
    // A text of few different characters is drawn from fewer than all of its alphabet.
    let used = u32::try_from(distinct(bytes) * 2).unwrap_or(u32::MAX);
    f64::from(pool.min(used)).log2()
}

/// The bits of the cheapest sequence of pieces, and how many characters each kind of piece covers in it.
fn cheapest_reading(bytes: &[u8]) -> (f64, [usize; 4]) {
    let text = bytes.to_ascii_lowercase();
    let single = single_bits(bytes);
    let repetitions = longest_repetitions(&text);
    // The cheapest way to each place: its bits, and the piece that led there.
    let mut best = vec![(f64::INFINITY, 0, Kind::Single); text.len() + 1];
    best[0].0 = 0.0;
    for at in 0..text.len() {
        let bits = best[at].0;
        let mut offer = |length: usize, cost: f64, kind: Kind| {
            let place = &mut best[at + length];
            if bits + cost < place.0 {
                *place = (bits + cost, length, kind);
            }
        };
        offer(1, if matches!(text[at], b'-' | b'_' | b'.') { SEPARATOR_BITS } else { single }, Kind::Single);
        for word in WORDS {
            let read = text[at..].iter().zip(word.bytes());
            if text.len() - at >= word.len() && read.into_iter().all(|(byte, letter)| reads_as(*byte, letter)) {
                offer(word.len(), WORD_BITS, Kind::Word);
            }
        }
        // Where it begins, which line and direction; twice that for two runs that alternate, as in `1q2w3e4r`.
        for (stride, cost) in [(1, 7.0), (2, 14.0)] {
            (SHORTEST_RUN * stride..=run_length(&text[at..], stride)).for_each(|length| offer(length, cost, Kind::Run));
        }
        let cost = 3.0 + f64::from(u32::try_from(at + 1).unwrap_or(u32::MAX)).log2();
        (SHORTEST_REPETITION..=repetitions[at]).for_each(|length| offer(length, cost, Kind::Repetition));
    }
    let mut covered = [0; 4];
    let mut at = text.len();
    while at > 0 {
        let (_, length, kind) = best[at];
        covered[kind as usize] += length;
        at -= length;
    }
    (best[text.len()].0, covered)
}

/// Whether a byte is this letter, or the digit or sign that people put in its place.
fn reads_as(byte: u8, letter: u8) -> bool {
    byte == letter
        || matches!(
            (byte, letter),
            (b'0', b'o')
                | (b'1' | b'!', b'i' | b'l')
                | (b'3', b'e')
                | (b'4' | b'@', b'a')
                | (b'5' | b'$', b's')
                | (b'7', b't')
        )
}

/// How many characters from the first on go on as neighbours in one direction, every `stride`-th looked at by itself.
fn run_length(text: &[u8], stride: usize) -> usize {
    let mut directions = [u16::MAX; 2];
    let goes_on = |at: &usize| {
        let kept = &mut directions[at % stride];
        *kept &= neighbours(text[at - stride], text[*at]);
        *kept != 0
    };
    text.len().min(stride) + (stride..text.len()).take_while(goes_on).count()
}

/// A bit for each line and direction in which the second character follows the first, and one where they are the same.
fn neighbours(first: u8, second: u8) -> u16 {
    LINES.iter().enumerate().fold(u16::from(first == second), |bits, (index, line)| {
        let follows = line.windows(2).any(|pair| *pair == [first, second]);
        let precedes = line.windows(2).any(|pair| *pair == [second, first]);
        bits | (u16::from(follows) << (2 * index + 1)) | (u16::from(precedes) << (2 * index + 2))
    })
}

/// For each place, the length of the longest text from there on that also begins earlier; the two may overlap.
fn longest_repetitions(text: &[u8]) -> Vec<usize> {
    let mut longest = vec![0; text.len()];
    // How much the texts at `later` and at each earlier place have in common, from the last place to the first.
    let mut after = vec![0; text.len() + 1];
    for later in (0..text.len()).rev() {
        let mut common = vec![0; text.len() + 1];
        for earlier in 0..later {
            if text[earlier] == text[later] {
                common[earlier] = after[earlier + 1] + 1;
                longest[later] = longest[later].max(common[earlier]);
            }
        }
        after = common;
    }
    longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_everybody_tries_first_is_weak() {
        for (weak, why) in [
            ("aaaaaaaaaaaaaaaa", "few different"),
            ("0000000000000000000000000000000000000000", "few different"),
            ("abababababababab", "few different"),
            ("abbaababbabaabba", "few different"),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "few different"),
            ("00000000-0000-0000-0000-000000000000", "few different"),
            ("DEADBEEFDEADBEEF", "repeats"),
            ("kX4!pkX4!pkX4!pkX4!p", "repeats"),
            ("aZ9$kQ2aZ9$kQ2aZ9$kQ2", "repeats"),
            ("changeme-changeme", "words"),
            ("changemechangemechangeme", "words"),
            ("ChangeMe00000000", "run|words|keyboard"),
            ("change-this-password", "words"),
            ("passwordpassword", "words"),
            ("P@ssw0rd-P@ssw0rd", "words"),
            ("password!!!!!!!!!!", "keyboard"),
            ("secretsecretsecret", "words"),
            ("secret0123456789", "keyboard"),
            ("my-super-secret-key", "words"),
            ("your-secret-key-here", "words"),
            ("super-secret-token", "words"),
            ("test-token-test-token", "words"),
            ("admin-admin-admin-admin", "words"),
            ("abcdefghijklmnop", "keyboard"),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "keyboard"),
            ("0123456789abcdef", "keyboard"),
            ("0123456789abcdef0123456789abcdef", "keyboard"),
            ("1234567890123456", "keyboard"),
            ("zyxwvutsrqponmlk", "keyboard"),
            ("qwertyuiopasdfgh", "keyboard"),
            ("1q2w3e4r5t6y7u8i", "keyboard"),
            ("1qaz2wsx3edc4rfv", "words"),
        ] {
            let found = weakness(weak).unwrap_or_else(|| {
                panic!("{weak} is weak: {} bits", cheapest_reading(weak.as_bytes()).0);
            });
            assert!(why.split('|').any(|why| found.contains(why)), "{weak}: {found}");
            assert!(!found.contains(weak));
        }
    }

    #[test]
    fn an_honest_secret_is_not_refused() {
        for honest in [
            "an-admin-key-for-tests",
            "a-grpc-token-for-tests",
            "a-relay-secret-for-tests",
            "a-token-to-hide-from-all",
            "a-secret-to-hide-from-all",
            "an-admin-key-to-hide",
            "a-grpc-token-to-hide",
            "correct-horse-battery-staple",
            "blue.table.river.lamp",
            "seven-quiet-otters-read",
            "4539578763621486",
            "9f86d081884c7d65",
            "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
            "3b241101-e2bb-4255-8caf-4136c566a962",
            "admin_tFj0kqvVfTHn3KqCqQ2xyc1hQJ3yH1m4c8oJ8yqkZ5E",
            "MTIzNDU2Nzg5MGFiY2RlZg==",
            "Xk3!vQ9z#Lm2@Rt7",
            "password-Xk3vQ9zLm2Rt7",
        ] {
            let bits = cheapest_reading(honest.as_bytes()).0;
            assert_eq!(weakness(honest), None, "{honest}: {bits} bits");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_random_is_not_refused(
            hex in "[0-9a-f]{32}", base64 in "[A-Za-z0-9+/]{22}", letters in "[a-z]{16}", graphic in "[!-~]{16}",
        ) {
            for random in [&hex, &base64, &letters, &graphic] {
                prop_assert_eq!(weakness(random), None, "{}", random);
            }
        }

        #[test]
        fn a_short_pattern_is_weak_however_often_it_is_repeated(pattern in "[!-~]{1,6}", times in 16_usize..400) {
            prop_assert!(weakness(&pattern.repeat(times)).is_some());
        }
    }
}
