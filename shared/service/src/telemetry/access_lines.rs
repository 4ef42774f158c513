//! Access lines on their way out. They are gathered in memory and written in batches by a thread of their own, so no call waits for the
//! reader of the log. Where the reader is too slow, lines are dropped and counted.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// The target of access lines.
pub const TARGET: &str = "access";

/// How long lines are gathered before they are written.
const GATHERED_FOR: Duration = Duration::from_millis(50);
/// A shard with more than this is written at once.
const ENOUGH_BYTES: usize = 64 * 1024;
/// A shard holds no more than this; further lines are dropped.
const MOST_BYTES: usize = 1024 * 1024;
/// Threads beyond this number share shards.
const MOST_SHARDS: usize = 16;

/// Where log lines go: access lines in batches, all others at once. Cloning shares it.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<Gathered>);

pub(super) struct Gathered {
    /// A thread writes into one of them, so that workers do not wait for each other.
    shards: Box<[Mutex<Vec<u8>>]>,
    /// Whether there are lines that the writing thread has not been told of.
    is_waiting: AtomicBool,
    dropped: AtomicU64,
    writer: OnceLock<Thread>,
}

/// Where one line goes.
pub(super) enum LineWriter<'a> {
    AtOnce(io::Stderr),
    Gathered(&'a Gathered),
}

impl LogWriter {
    /// Starts the writing thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(super) fn start() -> io::Result<Self> {
        let shards = thread::available_parallelism().map_or(1, usize::from).min(MOST_SHARDS);
        let gathered = Arc::new(Gathered {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            is_waiting: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            writer: OnceLock::new(),
        });
        let its = Arc::clone(&gathered);
        let thread = thread::Builder::new().name("access-lines".to_owned()).spawn(move || its.run())?;
        let _ = gathered.writer.set(thread.thread().clone());
        Ok(Self(gathered))
    }

    /// Writes what has been gathered. Call it before the process ends.
    pub(super) fn flush(&self) {
        self.0.write_out(&mut io::stderr().lock());
    }
}

impl Gathered {
    fn run(&self) {
        loop {
            while !self.is_waiting.swap(false, Ordering::AcqRel) {
                thread::park();
            }
            thread::park_timeout(GATHERED_FOR);
            self.write_out(&mut io::stderr().lock());
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                tracing::warn!(dropped, "access lines were dropped: whoever reads this log is too slow");
            }
        }
    }

    /// Writes each shard's lines in one piece. A reader that is gone is not our concern.
    fn write_out(&self, out: &mut impl Write) {
        for shard in &self.shards {
            let lines = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            if !lines.is_empty() {
                let _ = out.write_all(&lines);
            }
        }
    }

    /// Takes one line.
    fn gather(&self, line: &[u8]) {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        let shard = &self.shards[NUMBER.with(|number| number % self.shards.len())];
        let gathered = {
            let mut lines = shard.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() + line.len() > MOST_BYTES {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            lines.extend_from_slice(line);
            lines.len()
        };
        let is_first = !self.is_waiting.swap(true, Ordering::AcqRel);
        let is_enough = gathered >= ENOUGH_BYTES && gathered - line.len() < ENOUGH_BYTES;
        if (is_first || is_enough)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter::AtOnce(io::stderr())
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        if metadata.target() == TARGET { LineWriter::Gathered(&self.0) } else { self.make_writer() }
    }
}

impl Write for LineWriter<'_> {
    /// Takes a whole line: the formatter hands each over in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::AtOnce(stderr) => stderr.write(line),
            Self::Gathered(gathered) => {
                gathered.gather(line);
                Ok(line.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::AtOnce(stderr) => stderr.flush(),
            Self::Gathered(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(shards: usize) -> Gathered {
        Gathered {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            is_waiting: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            writer: OnceLock::new(),
        }
    }

    #[test]
    fn lines_of_many_threads_are_written_whole_and_once() {
        let gathered = gathered(3);
        thread::scope(|scope| {
            for thread in 0..8 {
                let gathered = &gathered;
                scope.spawn(move || {
                    for line in 0..200 {
                        gathered.gather(format!("{thread} {line}\n").as_bytes());
                    }
                });
            }
        });
        let mut out = Vec::new();
        gathered.write_out(&mut out);
        gathered.write_out(&mut out);
        let text = String::from_utf8(out).expect("text");
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let mut expected: Vec<String> =
            (0..8).flat_map(|thread| (0..200).map(move |line| format!("{thread} {line}"))).collect();
        expected.sort_unstable();
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_has_no_room_is_dropped_and_counted_and_there_is_room_again() {
        let gathered = gathered(1);
        let line = vec![b'x'; MOST_BYTES / 4];
        for _ in 0..7 {
            gathered.gather(&line);
        }
        assert_eq!(gathered.dropped.load(Ordering::Relaxed), 3);
        let mut out = Vec::new();
        gathered.write_out(&mut out);
        assert_eq!(out.len(), MOST_BYTES);
        gathered.gather(b"again\n");
        out.clear();
        gathered.write_out(&mut out);
        assert_eq!(out, b"again\n");
    }
}
