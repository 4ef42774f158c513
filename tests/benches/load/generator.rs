//! Callers: each connection signs, sends, and waits for its answer, as fast as it can or when a call is due.

use std::{
    cell::{Cell, RefCell},
    io::Write as _,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use e2e::signed::Tenant;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    task::LocalSet,
};
use wire::{
    signature::{BodyDigest, Signature, TenantKey},
    time::now_unix_ms,
};

use crate::machine::Cpu;

const PATH: &str = "/api/v1/relay/add/message?conversation_id=c1";

/// Bodies to choose from: one tenant that sends one of them twice in a millisecond is refused the second time.
const BODIES: usize = 256;

/// How often calls that are due are let go.
const TICK: Duration = Duration::from_micros(100);

/// Who calls, with what.
pub(crate) struct Callers {
    keys: Vec<(String, TenantKey)>,
    /// The share of calls that come from a tenant or one before it.
    shares: Vec<f64>,
    bodies: Vec<(Vec<u8>, BodyDigest)>,
}

impl Callers {
    pub(crate) fn new(tenants: &[Tenant], body_bytes: usize) -> Self {
        let keys = tenants.iter().map(|tenant| (tenant.id.clone(), TenantKey::new(tenant.secret.as_bytes()))).collect();
        let mut sum = 0.0;
        let mut shares: Vec<f64> = (1..=tenants.len())
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        for share in &mut shares {
            *share /= sum;
        }
        let bodies = (0..BODIES)
            .map(|number| {
                let mut body = format!("{{\"n\":{number:04},\"content\":\"").into_bytes();
                body.resize(body_bytes.max(body.len() + 2) - 2, b'x');
                body.extend_from_slice(b"\"}");
                let digest = BodyDigest::of(&body);
                (body, digest)
            })
            .collect();
        Self { keys, shares, bodies }
    }

    pub(crate) fn body_bytes(&self) -> usize {
        self.bodies[0].0.len()
    }

    /// Writes the next call.
    fn write(&self, tenant: usize, body: usize, target: SocketAddr, out: &mut Vec<u8>) {
        let (id, key) = &self.keys[tenant];
        let (body, digest) = &self.bodies[body % BODIES];
        let timestamp = now_unix_ms().to_string();
        let mut digits = [0; Signature::DIGITS];
        let signature = key.sign(&timestamp, digest);
        out.clear();
        write!(
            out,
            "POST {PATH} HTTP/1.1\r\nhost: {target}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             x-bloonio-tenant-id: {id}\r\nx-bloonio-timestamp: {timestamp}\r\nx-bloonio-signature: {}\r\n\r\n",
            body.len(),
            signature.write_hex(&mut digits),
        )
        .expect("memory");
        out.extend_from_slice(body);
    }

    /// A call by each tenant of one part of so many.
    pub(crate) async fn call_each_once(&self, target: SocketAddr, part: usize, parts: usize) {
        let mut connection = Connection::open(target).await;
        for tenant in (part..self.keys.len()).step_by(parts) {
            self.write(tenant, tenant / parts, target, &mut connection.out);
            connection.exchange().await;
        }
    }

    fn pick(&self) -> usize {
        let share = fastrand::f64();
        self.shares.partition_point(|upper| *upper < share).min(self.keys.len() - 1)
    }
}

struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(target: SocketAddr) -> Self {
        let stream = TcpStream::connect(target).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, out: Vec::new(), answer: Vec::with_capacity(16 * 1024) }
    }

    /// Sends what was written, and reads the answer whole, which must be a 200.
    async fn exchange(&mut self) {
        self.stream.write_all(&self.out).await.expect("it is sent");
        self.answer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.answer.len() < whole) {
            let read = self.stream.read_buf(&mut self.answer).await.expect("it is read");
            assert!(read > 0, "the connection ended: {}", String::from_utf8_lossy(&self.answer));
            whole = whole.or_else(|| length(&self.answer));
        }
        assert!(self.answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.answer));
    }
}

/// How long an answer is, once its head is there.
fn length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).expect("a head is text");
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    Some(head + length.expect("a length"))
}

/// One load.
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    pub(crate) callers: Arc<Callers>,
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) lasting: Duration,
    /// Calls a second; without one, as fast as they go.
    pub(crate) rate: Option<u32>,
}

/// What came of it.
pub(crate) struct Measured {
    /// Calls answered while it was measured.
    pub(crate) answered: u64,
    /// All, before and after too.
    pub(crate) all: u64,
    /// What each took, in tenths of a microsecond.
    pub(crate) took: Vec<u32>,
    pub(crate) elapsed: Duration,
    /// CPU time of the target.
    pub(crate) used: Cpu,
}

#[derive(Default)]
struct State {
    is_measuring: Cell<bool>,
    is_over: Cell<bool>,
    calls: Cell<u64>,
    took: RefCell<Vec<u32>>,
}

/// When calls are due, at a fixed rate.
struct Pace {
    begun: Instant,
    every: Duration,
    due: Semaphore,
    taken: AtomicU32,
}

impl Load {
    pub(crate) async fn run(&self, cpu_time: impl Fn() -> Cpu) -> Measured {
        let state = Rc::new(State::default());
        let pace = self.rate.map(|rate| {
            let every = Duration::from_secs(1) / rate;
            Arc::new(Pace { begun: Instant::now(), every, due: Semaphore::new(0), taken: AtomicU32::new(0) })
        });
        let tasks = LocalSet::new();
        if let Some(pace) = &pace {
            let pace = Arc::clone(pace);
            thread::spawn(move || let_go(&pace));
        }
        let calling: Vec<_> = (0..self.connections)
            .map(|_| tasks.spawn_local(call(self.target, Arc::clone(&self.callers), Rc::clone(&state), pace.clone())))
            .collect();
        let (elapsed, used) = tasks
            .run_until(async {
                tokio::time::sleep(self.warm_up).await;
                let (begun, before) = (Instant::now(), cpu_time());
                state.is_measuring.set(true);
                tokio::time::sleep(self.lasting).await;
                state.is_measuring.set(false);
                let (elapsed, after) = (begun.elapsed(), cpu_time());
                (elapsed, after.since(before))
            })
            .await;
        state.is_over.set(true);
        if let Some(pace) = &pace {
            pace.due.close();
        }
        tasks.await;
        for caller in calling {
            caller.await.expect("no call failed");
        }
        let took = state.took.take();
        let answered = took.len() as f64;
        let due = self.rate.map_or(1.0, |rate| f64::from(rate) * elapsed.as_secs_f64() * 0.99);
        assert!(answered >= due, "{answered} calls were answered of {due} that were due");
        Measured { answered: took.len() as u64, all: state.calls.get(), took, elapsed, used }
    }
}

async fn call(target: SocketAddr, callers: Arc<Callers>, state: Rc<State>, pace: Option<Arc<Pace>>) {
    let mut connection = Connection::open(target).await;
    while !state.is_over.get() {
        let due = match &pace {
            None => Instant::now(),
            Some(pace) => match pace.due.acquire().await {
                Ok(permit) => {
                    permit.forget();
                    pace.begun + pace.every * pace.taken.fetch_add(1, Ordering::Relaxed)
                }
                Err(_) => return,
            },
        };
        let number = state.calls.replace(state.calls.get() + 1);
        callers.write(callers.pick(), usize::try_from(number).unwrap_or_default(), target, &mut connection.out);
        connection.exchange().await;
        if state.is_measuring.get() {
            let tenths = due.elapsed().as_nanos() / 100;
            state.took.borrow_mut().push(u32::try_from(tenths).unwrap_or(u32::MAX));
        }
    }
}

/// Lets calls go when they are due, on a thread of its own, for the runtime's timers count in milliseconds.
fn let_go(pace: &Pace) {
    let mut gone = 0;
    while !pace.due.is_closed() {
        thread::sleep(TICK);
        let due = (pace.begun.elapsed().as_nanos() / pace.every.as_nanos()) as usize + 1;
        pace.due.add_permits(due - gone);
        gone = due;
    }
}
