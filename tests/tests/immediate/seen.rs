//! What clients have seen, judged by what was certain before they asked.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What the clients have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) observed: AtomicUsize,
    pub(crate) accepted: AtomicUsize,
    pub(crate) refused_rightly: AtomicUsize,
    /// Unavailable answers, counted by kind: no gateway answered, or the gateway could not know.
    unavailable: Mutex<BTreeMap<String, usize>>,
    /// Accepted, though what would have allowed it was over before the request began. Must be none.
    stale: Mutex<Vec<String>>,
    /// Refused as wrong or suspended, though nothing has changed since it was right. Must be none.
    wronged: Mutex<Vec<String>>,
}

/// What was certain of what a client showed before it asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// It was put out of use for good.
    pub(crate) retired: bool,
    /// Nobody of the tenant, or not this operator, was to be accepted.
    pub(crate) shut_out: bool,
    /// Nothing has changed since, and no change was under way.
    pub(crate) unchanged: bool,
}

impl Seen {
    /// Judges one answer: its status, or why there was none.
    pub(crate) fn judge(&self, who: &str, known: Known, answer: Result<u16, String>) {
        self.observed.fetch_add(1, Ordering::Relaxed);
        let Known { retired, shut_out, unchanged } = known;
        let note = |list: &Mutex<Vec<String>>, status: u16| {
            list.lock().expect("not poisoned").push(format!("{who} {status} {known:?}"));
        };
        match answer {
            Ok(status @ 200) => {
                self.accepted.fetch_add(1, Ordering::Relaxed);
                // What is retired never comes back; who was shut out may have been let in while the request was under way.
                if retired || shut_out && unchanged {
                    note(&self.stale, status);
                }
            }
            Ok(status @ (401 | 403)) => {
                if !retired && !shut_out && unchanged {
                    note(&self.wronged, status);
                } else {
                    self.refused_rightly.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(503) => self.note_unavailable("503".to_owned()),
            Err(why) => self.note_unavailable(why),
            Ok(status) => panic!("{who} answered {status}"),
        }
    }

    fn note_unavailable(&self, why: String) {
        *self.unavailable.lock().expect("not poisoned").entry(why).or_default() += 1;
    }

    /// Says what was seen, and fails where anything of it must not be, or where too little was seen.
    pub(crate) fn check(&self, enough: usize) {
        let (stale, wronged) = (self.stale.lock().expect("not poisoned"), self.wronged.lock().expect("not poisoned"));
        let (accepted, refused) = (self.accepted.load(Ordering::Relaxed), self.refused_rightly.load(Ordering::Relaxed));
        eprintln!(
            "{} requests observed: {accepted} accepted, {refused} refused rightly, {:?} unavailable, {} refused wrongly, {} stale accepts",
            self.observed.load(Ordering::Relaxed),
            self.unavailable.lock().expect("not poisoned"),
            wronged.len(),
            stale.len(),
        );
        assert_eq!((stale.as_slice(), wronged.as_slice()), ([].as_slice(), [].as_slice()));
        assert!(accepted > enough && refused > enough, "{accepted} and {refused} of more than {enough}");
    }
}
