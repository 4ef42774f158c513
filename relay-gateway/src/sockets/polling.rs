//! A conversation without a WebSocket, in two calls: one sends a frame, the other waits for frames. PROTOCOL.md, section 5.11.
//!
//! Each call is a short socket: it holds a slot and a place, is judged like a socket, and has a connection to the chat backend of its
//! own, so a change ends it like a socket. Nothing is kept between calls: the caller says which message it has.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::value::RawValue;
use service::{ApiError, websocket::Socket};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use wire::{frames::ServerFrame, time::now_unix_ms};

use super::{
    accept::{Held, Slot, Sockets},
    backend_end::{heard, leave},
    close::FAREWELL,
    closing::Closing,
    participant::{Checked, Participant},
    passed_frame::PassedFrame,
};
use crate::metrics::Direction;

/// How long the chat backend may take for what it answers at once.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Once there is a frame to answer with, how long the call waits for the next one.
const GATHERED_FOR: Duration = Duration::from_millis(50);

/// The call answers once its frames have this many bytes; the next call brings the rest.
const GATHERED_BYTES: usize = 256 * 1024;

/// What a call that waits for frames asks for.
pub(crate) struct Poll {
    /// The newest message that the caller has: empty where it has a `welcome` without messages, `None` where it has nothing.
    pub(crate) after: Option<String>,
    /// The status that the caller shows: another one is news.
    pub(crate) status: Option<String>,
    pub(crate) wait: Duration,
}

/// What a poll brings.
pub(crate) struct Polled {
    pub(crate) frames: Vec<Box<RawValue>>,
    /// The id of the newest message; empty where there is none.
    pub(crate) after: String,
}

impl<P: Participant> Sockets<P> {
    /// Sends one frame, and answers the frame that answers it; `None` where frames of its type are not answered.
    pub(crate) async fn send_frame(
        &self,
        participant: &P,
        text: &str,
    ) -> (Result<Option<Box<RawValue>>, Closing>, Option<Held<P>>) {
        self.hold(participant, async |_| self.exchange(participant, text).await).await
    }

    async fn exchange(&self, participant: &P, text: &str) -> Result<Option<Box<RawValue>>, Closing> {
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
        if !self.limits.admits_frames(participant.about().counted_as, 1, bytes, std::time::Instant::now()) {
            return Err(Closing::TooFast("too many frames: send fewer"));
        }
        let mut backend = self.open_backend(participant).await?.socket;
        let forwarded = match participant.check(text).await? {
            Checked::Forward(text) => text,
            Checked::Refuse { error, client_id } => {
                self.refusals.refused(error.code());
                return own(&error.frame(client_id)).map(Some);
            }
        };
        let asked = PassedFrame::read(&forwarded);
        if asked.kind == "resume" {
            let error = ApiError::field("type", "must not be resume: poll with `after`, which brings what was missed");
            self.refusals.refused(error.code());
            return own(&error.frame(None)).map(Some);
        }
        self.forward(&mut backend, forwarded.clone()).await?;
        let Some(answers) = asked.answered_by() else {
            leave(backend).await;
            return Ok(None);
        };
        let deadline = Instant::now() + ANSWERED_WITHIN;
        loop {
            let text = self.next(participant, &mut backend, deadline).await?.ok_or(Closing::BackendAway)?;
            let frame = PassedFrame::read(&text);
            let is_its = frame.client_id.is_none() || frame.client_id == asked.client_id;
            if is_its && (frame.kind == answers || frame.kind == "error") {
                return passed(text).map(Some);
            }
        }
    }

    /// Waits for frames.
    pub(crate) async fn poll(&self, participant: &P, poll: Poll) -> (Result<Polled, Closing>, Option<Held<P>>) {
        self.hold(participant, async |slot| self.gather(participant, slot, poll).await).await
    }

    async fn gather(&self, participant: &P, slot: &Slot<P>, poll: Poll) -> Result<Polled, Closing> {
        let mut told = slot.command.clone();
        let end = self.open_backend(participant).await?;
        let mut backend = end.socket;
        let left_ms = u64::try_from(end.ends_at_ms.saturating_sub(now_unix_ms())).unwrap_or_default();
        let deadline = Instant::now() + poll.wait.min(Duration::from_millis(left_ms));
        let within = Instant::now() + ANSWERED_WITHIN;
        let welcome_text = self.next(participant, &mut backend, within).await?.ok_or(Closing::BackendAway)?;
        let welcome = PassedFrame::read(&welcome_text);
        let history = welcome.history();
        let newest = history.last().map_or("", |message| &*message.id);
        let Some(mut after) = poll.after else {
            return Ok(Polled { frames: vec![passed(welcome_text.clone())?], after: newest.to_owned() });
        };
        let mut gathered = Gathered::default();
        let known = history.iter().position(|message| message.id == after);
        // The welcome holds the newest messages. The chat backend is asked for what was missed only if the gap begins before them.
        let is_gap = known.is_none() && !after.is_empty() && !history.is_empty();
        if is_gap {
            let resume = serde_json::json!({"type": "resume", "after": after}).to_string();
            match participant.check(&resume).await? {
                Checked::Forward(resume) => self.forward(&mut backend, resume).await?,
                Checked::Refuse { error, client_id } => {
                    self.refusals.refused(error.code());
                    return Ok(Polled { frames: vec![own(&error.frame(client_id))?], after });
                }
            }
        } else {
            for message in &history[known.map_or(0, |known| known + 1)..] {
                gathered.take(passed(message.as_frame())?);
            }
            newest.clone_into(&mut after);
        }
        let is_news = poll.status.is_some_and(|shown| welcome.status.as_deref().is_some_and(|status| status != shown));
        let mut answers_at = None;
        while gathered.bytes < GATHERED_BYTES {
            let until = if is_news || !gathered.frames.is_empty() {
                *answers_at.get_or_insert_with(|| Instant::now() + GATHERED_FOR)
            } else if is_gap {
                within
            } else {
                deadline
            };
            let text = tokio::select! {
                said = self.next(participant, &mut backend, until) => match said {
                    Ok(Some(text)) => text,
                    Ok(None) => break,
                    // What was said before it left is the caller's.
                    Err(Closing::BackendAway) if !gathered.frames.is_empty() => break,
                    Err(closing) => return Err(closing),
                },
                changed = told.changed() => {
                    changed.map_err(|_| Closing::Restarting)?;
                    let Some(frame) = told.borrow_and_update().frame.clone() else { continue };
                    frame.to_string()
                }
            };
            if let Some(message) = PassedFrame::read(&text).message() {
                after = message.id.into_owned();
            }
            gathered.take(passed(text)?);
        }
        let _ = timeout(FAREWELL, backend.close(None)).await;
        let mut frames = gathered.frames;
        if let Some(status) = welcome.as_status() {
            frames.insert(0, passed(status)?);
        }
        Ok(Polled { frames, after })
    }

    async fn forward(&self, backend: &mut Socket, text: String) -> Result<(), Closing> {
        self.metrics.relayed(Direction::ToBackend);
        let sent = timeout(self.config.send_timeout, backend.send(Message::text(text))).await;
        sent.ok().and_then(Result::ok).ok_or(Closing::BackendAway)
    }

    /// The next frame of the chat backend's that the participant may hear; `None` where none comes in time.
    async fn next(&self, participant: &P, backend: &mut Socket, deadline: Instant) -> Result<Option<String>, Closing> {
        loop {
            let Ok(answered) = timeout_at(deadline, backend.next()).await else { return Ok(None) };
            if let Some(text) = heard(answered)? {
                participant.may_hear().await?;
                self.metrics.relayed(Direction::ToBrowser);
                return Ok(Some(text.as_str().to_owned()));
            }
        }
    }
}

#[derive(Default)]
struct Gathered {
    frames: Vec<Box<RawValue>>,
    bytes: usize,
}

impl Gathered {
    fn take(&mut self, frame: Box<RawValue>) {
        self.bytes += frame.get().len();
        self.frames.push(frame);
    }
}

/// A frame of the gateway's own.
fn own(frame: &ServerFrame) -> Result<Box<RawValue>, Closing> {
    passed(frame.to_json())
}

/// A frame as it stands in an answer: as it was sent, if it is JSON.
fn passed(text: String) -> Result<Box<RawValue>, Closing> {
    RawValue::from_string(text).map_err(|error| {
        tracing::warn!(%error, "the chat backend sent a frame that is not JSON");
        Closing::BackendAway
    })
}
