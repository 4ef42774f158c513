//! One visitor's conversation: what the browser says goes to the chat backend, checked; what the backend says comes back.
//!
//! One task moves one frame at a time, either way, and does not read while it writes: a side that does not take what it is
//! sent holds up the other, and is left when that has lasted too long. Nothing is buffered beyond a frame.

use std::{pin::pin, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use service::{ApiError, websocket::Socket};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};
use wire::{ErrorCode, time::now_unix_ms};

use super::{AuthenticatedVisitor, Sockets, closing::Closing, frames, grounds::Grounds, registry::SocketCommand};
use crate::{
    directory::TenantDirectory,
    domain::frame::{self, Frame},
    errors::files_disabled,
    metrics::Direction,
};

pub(super) struct Relay<'a, D> {
    pub(super) sockets: &'a Sockets<D>,
    pub(super) visitor: &'a AuthenticatedVisitor,
    pub(super) grounds: Grounds,
    pub(super) browser: &'a mut Socket,
    pub(super) backend: &'a mut Socket,
    pub(super) command: watch::Receiver<SocketCommand>,
    /// When the session is over, in Unix milliseconds.
    pub(super) ends_at_ms: i64,
    /// Whether the backend has spoken: its `welcome` is the first that a visitor hears.
    pub(super) welcomed: bool,
}

/// Sessions live for 30 days: a timer that is due later than this is none.
const LONGEST_TIMER: Duration = Duration::from_secs(3600 * 24 * 365);

/// When each side was last heard of.
struct Heard {
    browser: Instant,
    backend: Instant,
    /// A frame of the visitor's own, not an answer to a ping.
    visitor: Instant,
}

impl<D: TenantDirectory> Relay<'_, D> {
    /// Relays until there is a reason to close.
    pub(super) async fn run(mut self) -> Closing {
        match self.relay().await {
            Err(closing) => closing,
            Ok(never) => match never {},
        }
    }

    async fn relay(&mut self) -> Result<std::convert::Infallible, Closing> {
        let config = self.sockets.config;
        let now = Instant::now();
        let mut heard = Heard { browser: now, backend: now, visitor: now };
        // Sockets that were opened at once are not to be pinged at once for ever.
        let mut tick = pin!(sleep_until(now + config.ping_every.mul_f64(fastrand::f64())));
        let left_ms = u64::try_from(self.ends_at_ms.saturating_sub(now_unix_ms())).unwrap_or_default();
        // A timer takes no time that is too far away; a clock that was set is seen with the pings.
        let mut end = pin!(sleep_until(now + Duration::from_millis(left_ms).min(LONGEST_TIMER)));
        loop {
            let welcomed = self.welcomed;
            tokio::select! {
                () = &mut end => return Err(Closing::Token),
                said = self.browser.next() => {
                    heard.browser = Instant::now();
                    let message = said.ok_or(Closing::Gone)?.map_err(|error| Closing::of_browser(&error))?;
                    if self.heard_from_browser(message).await? {
                        heard.visitor = heard.browser;
                    }
                }
                answered = self.backend.next() => {
                    heard.backend = Instant::now();
                    let message = answered.ok_or(Closing::BackendAway)?.map_err(|error| {
                        tracing::warn!(%error, "the chat backend's socket broke");
                        Closing::BackendAway
                    })?;
                    self.heard_from_backend(message).await?;
                }
                told = self.command.changed(), if welcomed => {
                    told.map_err(|_| Closing::Restarting)?;
                    let look = self.command.borrow_and_update().look.clone();
                    if let Some(look) = look {
                        self.tell(Message::text(&*look)).await?;
                    }
                }
                () = &mut tick => {
                    self.check_pulse(&heard).await?;
                    // Never longer than it says: proxies close what is silent for a round number of seconds.
                    let pause = config.ping_every.mul_f64(0.8 + fastrand::f64() / 5.0);
                    tick.as_mut().reset(Instant::now() + pause);
                }
            }
        }
    }

    /// Answers whether it was a frame of the visitor's own.
    async fn heard_from_browser(&mut self, message: Message) -> Result<bool, Closing> {
        match message {
            Message::Text(text) => match Frame::read(&text) {
                Ok(frame) => self.forward(frame).await.map(|()| true),
                Err(frame::Refused { why, client_id }) => {
                    self.refuse(&why.into(), client_id.as_deref()).await.map(|()| true)
                }
            },
            Message::Binary(_) => Err(Closing::NotText),
            // It is answered by the library with the next thing read.
            Message::Close(_) => Err(Closing::Left),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(false),
        }
    }

    async fn forward(&mut self, frame: Frame) -> Result<(), Closing> {
        match self.sockets.still_allowed(self.visitor, &self.grounds).await {
            Ok(()) => {}
            Err(Closing::TryAgain(_)) => return self.refuse(&unchecked_error(), frame.client_id.as_deref()).await,
            Err(closing) => return Err(closing),
        }
        if frame.has_attachments {
            match self.sockets.takes_files(self.visitor).await {
                Ok(true) => {}
                Ok(false) => return self.refuse(&files_disabled(), frame.client_id.as_deref()).await,
                Err(Closing::TryAgain(_)) => return self.refuse(&unchecked_error(), frame.client_id.as_deref()).await,
                Err(closing) => return Err(closing),
            }
        }
        self.sockets.metrics.relayed(Direction::ToBackend);
        send(self.backend, Message::text(frame.text), self.sockets.config.send_timeout)
            .await
            .map_err(|_| Closing::BackendAway)
    }

    async fn heard_from_backend(&mut self, message: Message) -> Result<(), Closing> {
        match message {
            Message::Text(text) => {
                self.sockets.still_allowed(self.visitor, &self.grounds).await?;
                self.sockets.metrics.relayed(Direction::ToVisitor);
                self.welcomed = true;
                self.tell(Message::Text(text)).await
            }
            Message::Binary(_) => {
                tracing::warn!("the chat backend sent a frame that is not text");
                Err(Closing::BackendAway)
            }
            Message::Close(frame) => Err(match frame {
                Some(frame) if (4000..5000).contains(&u16::from(frame.code)) => Closing::Backend(frame),
                _ => Closing::BackendAway,
            }),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    /// Leaves who is silent, and pings who may be.
    async fn check_pulse(&mut self, heard: &Heard) -> Result<(), Closing> {
        let config = self.sockets.config;
        // Two pings unanswered, and some time for the second.
        let silence = config.ping_every * 5 / 2;
        if heard.browser.elapsed() > silence {
            return Err(Closing::Gone);
        }
        if heard.backend.elapsed() > silence {
            return Err(Closing::BackendAway);
        }
        if now_unix_ms() >= self.ends_at_ms {
            return Err(Closing::Token);
        }
        if heard.visitor.elapsed() > config.idle_timeout {
            return Err(Closing::Idle("nothing was said for long: connect again when there is something to say"));
        }
        self.tell(Message::Ping(Bytes::new())).await?;
        let ping = send(self.backend, Message::Ping(Bytes::new()), config.send_timeout);
        ping.await.map_err(|_| Closing::BackendAway)
    }

    async fn refuse(&mut self, error: &ApiError, client_id: Option<&str>) -> Result<(), Closing> {
        self.sockets.refusals.refused(error.code());
        self.tell(Message::Text(Utf8Bytes::from(frames::error(error, client_id).to_json()))).await
    }

    async fn tell(&mut self, message: Message) -> Result<(), Closing> {
        send(self.browser, message, self.sockets.config.send_timeout).await.map_err(|why| match why {
            NotSent::Slow => Closing::Idle("what was sent was not read"),
            NotSent::Broken => Closing::Gone,
        })
    }
}

/// What a visitor is told of a frame whose tenant cannot be checked.
fn unchecked_error() -> ApiError {
    ApiError::new(
        ErrorCode::DirectoryUnavailable,
        "The relay cannot check this tenant right now. Nothing was sent on: send it again.",
    )
    .retry_after_seconds(1)
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
