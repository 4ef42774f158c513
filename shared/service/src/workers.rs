//! One thread a core, each with a runtime of its own: a connection, what is asked for it and what is counted of it stay on one
//! core, and nothing is stolen or woken across. What every request touches is kept [`PerWorker`].

use std::{cell::Cell, io, num::NonZeroUsize, ops::Deref, sync::Arc, thread};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

thread_local! {
    /// The worker this thread is; 0 on threads that are none, and on all of a runtime that has several.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// How many workers there are where nobody says otherwise: as many as there are cores for this process.
#[must_use]
pub fn available() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Workers. The first is the runtime they were started on; the others run until the last clone of this is dropped.
#[derive(Clone, Debug)]
pub struct Workers {
    runtimes: Arc<[Handle]>,
    _others: Arc<DropGuard>,
}

impl Workers {
    /// The runtime this is called on, alone.
    #[must_use]
    pub fn one() -> Self {
        Self { runtimes: Arc::new([Handle::current()]), _others: Arc::new(CancellationToken::new().drop_guard()) }
    }

    /// Starts all but the first, which is the runtime this is called on.
    ///
    /// # Errors
    /// The system's, where it has no more threads or descriptors.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        let (mut runtimes, stop) = (vec![Handle::current()], CancellationToken::new());
        let others = Arc::new(stop.clone().drop_guard());
        for worker in 1..count.get() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtimes.push(runtime.handle().clone());
            let stopped = stop.clone().cancelled_owned();
            thread::Builder::new().name(format!("worker-{worker}")).spawn(move || {
                CURRENT.set(worker);
                runtime.block_on(stopped);
            })?;
        }
        Ok(Self { runtimes: runtimes.into(), _others: others })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.runtimes().len()
    }

    /// Spawns a task on each worker.
    pub fn spawn_on_each<F: Future<Output = ()> + Send + 'static>(&self, mut task: impl FnMut() -> F) {
        for runtime in self.runtimes() {
            runtime.spawn(task());
        }
    }

    /// Their runtimes, the one they were started on first.
    pub(crate) fn runtimes(&self) -> &[Handle] {
        &self.runtimes
    }
}

/// One value for each worker, of which each finds its own: written without waiting for others, and read by who adds them up.
#[derive(Debug)]
pub struct PerWorker<T>(Box<[OwnLine<T>]>);

/// Alone on its cache line, so that writing it does not slow down a neighbour's core.
#[derive(Debug, Default)]
#[repr(align(64))]
struct OwnLine<T>(T);

impl<T: Default> Default for PerWorker<T> {
    fn default() -> Self {
        Self((0..available().get()).map(|_| OwnLine::default()).collect())
    }
}

impl<T> PerWorker<T> {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|line| &line.0)
    }
}

/// This worker's. Where there are more workers than cores some share one, and so do all threads of a runtime that has several.
impl<T> Deref for PerWorker<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0[CURRENT.get() % self.0.len()].0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn each_worker_is_a_thread_that_knows_its_number() {
        let workers = Workers::start(NonZeroUsize::new(3).expect("not zero")).expect("starts");
        let counts = Arc::new(PerWorker::<AtomicU64>::default());
        for (index, runtime) in workers.runtimes().iter().enumerate() {
            let counts = Arc::clone(&counts);
            let on = runtime.spawn(async move {
                counts.fetch_add(1, Ordering::Relaxed);
                (CURRENT.get(), thread::current().id())
            });
            let (worker, thread) = on.await.expect("runs");
            assert_eq!((worker, thread == thread::current().id()), (index, index == 0));
        }
        assert_eq!(counts.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>(), 3);
    }
}
