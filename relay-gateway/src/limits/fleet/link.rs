//! One worker's connection: whether there is one, whether it answers in time, and why it was given up.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::timeout};

use super::connection::Connection;

/// How long a connection that is looked at may say nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How long answers may be late, one after the other, before the connection is given up. A worker that was busy for a moment is not slow.
const LATE_FOR: Duration = Duration::from_millis(100);

/// Late answers that are further apart have nothing to do with one another.
const LATE_TOGETHER: Duration = Duration::from_secs(1);

/// A worker's connection. Its worker alone uses it, unless there are more workers than cores.
#[derive(Default)]
pub(super) struct Link {
    state: Mutex<State>,
    /// Wakes the keeper: the connection was given up, or another worker has lost its own.
    news: Notify,
    has_keeper: AtomicBool,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// Counts the connections, so that a call which failed on an earlier one does not end the one there is now.
    number: u64,
    /// When answers began to be late, and when the last one was: since the last that came in time.
    late: Option<[Instant; 2]>,
    why: Option<Missing>,
}

/// Why a connection is not used any more.
#[derive(Debug)]
pub(super) enum Missing {
    Silent,
    Slow,
    Failed(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("it does not answer"),
            Self::Slow => f.write_str("it answers too late"),
            Self::Failed(error) => f.write_str(error),
        }
    }
}

impl Link {
    /// Makes the first caller the keeper, who keeps the link connected. Answers whether this caller is it.
    pub(super) fn take_charge(&self) -> bool {
        !self.has_keeper.swap(true, Ordering::Relaxed)
    }

    /// The connection, if there is one, and its number.
    pub(super) fn connection(&self) -> Option<(Connection, u64)> {
        let state = self.state();
        state.connection.clone().map(|connection| (connection, state.number))
    }

    pub(super) fn connected(&self, connection: Connection) {
        let mut state = self.state();
        *state = State { connection: Some(connection), number: state.number + 1, late: None, why: None };
    }

    pub(super) fn was_in_time(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            state.late = None;
        }
    }

    /// An answer did not come in time. The connection is given up if none has for a while.
    pub(super) fn was_late(&self, number: u64) {
        let mut state = self.state();
        if state.number != number {
            return;
        }
        let now = Instant::now();
        // What was late some time ago says nothing of now.
        let since = state.late.filter(|[_, last]| now - *last < LATE_TOGETHER).map_or(now, |[since, _]| since);
        state.late = Some([since, now]);
        if now - since > LATE_FOR {
            self.give_up(&mut state, Missing::Slow);
        }
    }

    /// The connection with this number is not used any more.
    pub(super) fn lose(&self, number: u64, why: Missing) {
        let mut state = self.state();
        if state.number == number {
            self.give_up(&mut state, why);
        }
    }

    /// Wakes the keeper to look at the connection, since another worker has lost its own.
    pub(super) fn look(&self) {
        self.news.notify_one();
    }

    fn give_up(&self, state: &mut State, why: Missing) {
        if state.connection.take().is_some() {
            state.why = Some(why);
            self.news.notify_one();
        }
    }

    /// Waits until the connection is given up, and answers why. It is looked at now and then, since nobody may be using it.
    pub(super) async fn lost(&self, look_every: Duration) -> Missing {
        loop {
            let _ = timeout(look_every, self.news.notified()).await;
            let Some((mut connection, number)) = self.connection() else {
                return self.state().why.take().unwrap_or(Missing::Silent);
            };
            tokio::select! {
                answer = timeout(ANSWER_WITHIN, connection.ping()) => match answer {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => self.lose(number, Missing::Failed(error.to_string())),
                    Err(_) => self.lose(number, Missing::Silent),
                },
                // The keeper was woken again. The next round looks at the connection.
                () = self.news.notified() => self.look(),
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
