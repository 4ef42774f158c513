//! Moves a socket's frames: what the browser sends goes to the chat backend once the participant's check has passed it, and what the
//! backend sends goes to the browser. Pings both, and leaves a side that is silent, idle or slow for too long.
//!
//! One task moves one frame at a time, either way, and does not read while it writes: a side that does not read what it is
//! sent holds up the other, and the socket is closed when that has lasted too long. Nothing is buffered beyond a frame.

use std::{pin::pin, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use service::{ApiError, websocket::Socket};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};
use wire::time::now_unix_ms;

use super::{
    backend_end::heard,
    closing::Closing,
    participant::{Checked, Participant},
    registry::SocketCommand,
};
use crate::{
    config::SocketConfig,
    metrics::{Direction, GatewayMetrics, SocketMetrics},
};

/// One socket's two connections, and what is needed to move frames between them.
pub(super) struct Pump<'a, P> {
    pub(super) config: SocketConfig,
    pub(super) metrics: &'a SocketMetrics,
    pub(super) refusals: &'a GatewayMetrics,
    pub(super) participant: &'a P,
    pub(super) browser: &'a mut Socket,
    pub(super) backend: &'a mut Socket,
    pub(super) command: watch::Receiver<SocketCommand>,
    /// When the socket ends, in Unix milliseconds.
    pub(super) ends_at_ms: i64,
    /// Whether the backend has spoken: its `welcome` is the first frame that the browser gets.
    pub(super) welcomed: bool,
}

/// The longest time for which a timer is set: a socket is closed then even if its session ends later.
const LONGEST_TIMER: Duration = Duration::from_secs(3600 * 24 * 365);

/// When each side was last heard of.
struct LastHeard {
    browser: Instant,
    backend: Instant,
    /// A frame of the participant's own, not an answer to a ping.
    participant: Instant,
}

impl<P: Participant> Pump<'_, P> {
    /// Moves frames until there is a reason to close.
    pub(super) async fn run(mut self) -> Result<std::convert::Infallible, Closing> {
        let config = self.config;
        let now = Instant::now();
        let mut last = LastHeard { browser: now, backend: now, participant: now };
        // Starts at a random moment, so that sockets opened together are not all pinged together.
        let mut tick = pin!(sleep_until(now + config.ping_every.mul_f64(fastrand::f64())));
        let left_ms = u64::try_from(self.ends_at_ms.saturating_sub(now_unix_ms())).unwrap_or_default();
        // The bound keeps the time within what a timer can hold. The timer does not notice if the system clock is set: the check
        // before each ping does.
        let mut end = pin!(sleep_until(now + Duration::from_millis(left_ms).min(LONGEST_TIMER)));
        loop {
            let welcomed = self.welcomed;
            tokio::select! {
                () = &mut end => return Err(Closing::Token),
                said = self.browser.next() => {
                    last.browser = Instant::now();
                    let message = said.ok_or(Closing::Gone)?.map_err(|error| Closing::of_browser(&error))?;
                    if self.heard_from_browser(message).await? {
                        last.participant = last.browser;
                    }
                }
                answered = self.backend.next() => {
                    last.backend = Instant::now();
                    if let Some(text) = heard(answered)? {
                        self.pass_on(text).await?;
                    }
                }
                told = self.command.changed(), if welcomed => {
                    told.map_err(|_| Closing::Restarting)?;
                    let frame = self.command.borrow_and_update().frame.clone();
                    if let Some(frame) = frame {
                        self.tell(Message::text(&*frame)).await?;
                    }
                }
                () = &mut tick => {
                    self.check_pulse(&last).await?;
                    // At most `ping_every`: a longer pause could exceed the timeout of a proxy, which would then close the connection.
                    let pause = config.ping_every.mul_f64(0.8 + fastrand::f64() / 5.0);
                    tick.as_mut().reset(Instant::now() + pause);
                }
            }
        }
    }

    /// Answers whether it was a frame of the participant's own.
    async fn heard_from_browser(&mut self, message: Message) -> Result<bool, Closing> {
        match message {
            Message::Text(text) => {
                match self.participant.check(&text).await? {
                    Checked::Forward(text) => self.forward(text).await?,
                    Checked::Refuse { error, client_id } => self.refuse(&error, client_id).await?,
                }
                Ok(true)
            }
            Message::Binary(_) => Err(Closing::NotText),
            // It is answered by the library with the next thing read.
            Message::Close(_) => Err(Closing::Left),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(false),
        }
    }

    async fn forward(&mut self, text: String) -> Result<(), Closing> {
        self.metrics.relayed(Direction::ToBackend);
        let sent = send(self.backend, Message::text(text), self.config.send_timeout).await;
        sent.map_err(|_| Closing::BackendAway)
    }

    async fn pass_on(&mut self, text: Utf8Bytes) -> Result<(), Closing> {
        self.participant.may_hear().await?;
        self.metrics.relayed(Direction::ToBrowser);
        self.welcomed = true;
        self.tell(Message::Text(text)).await
    }

    /// Leaves a side that has been silent for too long, and pings both.
    async fn check_pulse(&mut self, last: &LastHeard) -> Result<(), Closing> {
        let config = self.config;
        // Two pings unanswered, and some time for the second.
        let silence = config.ping_every * 5 / 2;
        if last.browser.elapsed() > silence {
            return Err(Closing::Gone);
        }
        if last.backend.elapsed() > silence {
            return Err(Closing::BackendAway);
        }
        if now_unix_ms() >= self.ends_at_ms {
            return Err(Closing::Token);
        }
        if last.participant.elapsed() > config.idle_timeout {
            return Err(Closing::Idle("nothing was said for long: connect again when there is something to say"));
        }
        self.tell(Message::Ping(Bytes::new())).await?;
        let ping = send(self.backend, Message::Ping(Bytes::new()), config.send_timeout);
        ping.await.map_err(|_| Closing::BackendAway)
    }

    async fn refuse(&mut self, error: &ApiError, client_id: Option<String>) -> Result<(), Closing> {
        self.refusals.refused(error.code());
        self.tell(Message::Text(Utf8Bytes::from(error.frame(client_id).to_json()))).await
    }

    async fn tell(&mut self, message: Message) -> Result<(), Closing> {
        send(self.browser, message, self.config.send_timeout).await.map_err(|why| match why {
            NotSent::Slow => Closing::Idle("what was sent was not read"),
            NotSent::Broken => Closing::Gone,
        })
    }
}

enum NotSent {
    Slow,
    Broken,
}

async fn send(socket: &mut Socket, message: Message, patience: Duration) -> Result<(), NotSent> {
    match timeout(patience, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(NotSent::Broken),
        Err(_) => Err(NotSent::Slow),
    }
}
