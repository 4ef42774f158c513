//! Access lines on their way out. They are gathered in memory and written in batches by a thread of their own, so no call waits for the
//! log's reader because of its access line. Where the reader is too slow, access lines are dropped and counted. All other lines are
//! written at once, and wait.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// The target of access lines.
pub(super) const TARGET: &str = "access";

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
    /// Whether lines were gathered since the last write.
    is_waiting: AtomicBool,
    /// Whether a shard has enough to be written before the time is over.
    is_full: AtomicBool,
    /// Whether the process ends: then every line is written at once.
    is_over: AtomicBool,
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
        let gathered = Arc::new(Gathered::new(shards));
        let its = Arc::clone(&gathered);
        let thread = thread::Builder::new().name("access-lines".to_owned()).spawn(move || its.run())?;
        let _ = gathered.writer.set(thread.thread().clone());
        Ok(Self(gathered))
    }

    /// Takes an access line: to be written with others, or at once when the process ends.
    pub(super) fn gather(&self, line: &[u8]) {
        if self.0.is_over.load(Ordering::Acquire) {
            // A reader that is gone is not our concern.
            let _ = io::stderr().write_all(line);
        } else {
            self.0.gather(line);
        }
    }

    /// Writes what has been gathered, and each further line at once. Call it before the process ends.
    pub(super) fn finish(&self) {
        self.0.is_over.store(true, Ordering::Release);
        self.0.write_out(&mut io::stderr().lock());
        self.0.tell_dropped();
    }
}

impl Gathered {
    fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            is_waiting: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            writer: OnceLock::new(),
        }
    }

    fn run(&self) {
        loop {
            self.wait();
            self.write_out(&mut io::stderr().lock());
            self.tell_dropped();
        }
    }

    /// Waits for a first line, and then until enough were gathered, or for long enough.
    fn wait(&self) {
        while !self.is_waiting.load(Ordering::Acquire) {
            thread::park();
        }
        let until = Instant::now() + GATHERED_FOR;
        while !self.is_full.swap(false, Ordering::AcqRel) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
        // Before the lines are taken: a line that comes later wakes this thread again.
        self.is_waiting.store(false, Ordering::Release);
    }

    fn tell_dropped(&self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "access lines were dropped: the reader of this log is too slow");
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
        if is_enough {
            self.is_full.store(true, Ordering::Release);
        }
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
        let is_gathered = metadata.target() == TARGET && !self.0.is_over.load(Ordering::Acquire);
        if is_gathered { LineWriter::Gathered(&self.0) } else { self.make_writer() }
    }
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    /// Takes a whole line: the formatter hands each over in one piece.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::AtOnce(stderr) => stderr.write_all(line),
            Self::Gathered(gathered) => {
                gathered.gather(line);
                Ok(())
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

    #[test]
    fn lines_of_many_threads_are_written_whole_and_once() {
        let gathered = Gathered::new(3);
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
    fn lines_are_gathered_for_a_while_and_written_sooner_where_there_are_many() {
        let gathered = Arc::new(Gathered::new(1));
        let its = Arc::clone(&gathered);
        let (told, rounds) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            for _ in 0..2 {
                its.wait();
                let mut out = Vec::new();
                its.write_out(&mut out);
                told.send(out.len()).expect("it is heard");
            }
        });
        gathered.writer.set(thread.thread().clone()).expect("once");
        let begun = Instant::now();
        for _ in 0..3 {
            gathered.gather(b"line\n");
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(rounds.recv().expect("a write"), 15, "in one batch");
        assert!(begun.elapsed() >= GATHERED_FOR);
        gathered.gather(&[b'x'; ENOUGH_BYTES]);
        assert_eq!(rounds.recv().expect("a write"), ENOUGH_BYTES);
        thread.join().expect("no panic");
    }

    #[test]
    fn what_has_no_room_is_dropped_and_counted_and_there_is_room_again() {
        let gathered = Gathered::new(1);
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
