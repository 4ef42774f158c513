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
use wire::{ErrorCode, frames::ServerFrame, time::now_unix_ms};

use super::{
    accept::{Held, Slot, Sockets},
    backend_end::{heard, leave},
    close::FAREWELL,
    closing::Closing,
    participant::{Checked, Participant},
    passed_frame::{PassedFrame, PassedMessage},
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
    /// The conversation that the caller shows, if it says: in another one it must start anew.
    pub(crate) conversation_id: Option<String>,
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
            // The backend begins with a `welcome` that answers no frame.
            let is_its = frame.client_id == asked.client_id || (frame.client_id.is_none() && frame.kind != "welcome");
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
        if poll.conversation_id.is_some_and(|shown| welcome.conversation_id.as_deref().is_some_and(|id| id != shown)) {
            return welcomed(welcome_text);
        }
        let history = welcome.history();
        let Some(mut gathered) = Gathered::begin(poll.after, &history)? else { return welcomed(welcome_text) };
        if gathered.gap_ends.is_some() {
            let resume = serde_json::json!({"type": "resume", "after": gathered.after}).to_string();
            match participant.check(&resume).await? {
                Checked::Forward(resume) => self.forward(&mut backend, resume).await?,
                Checked::Refuse { error, client_id } => {
                    self.refusals.refused(error.code());
                    return Ok(Polled { frames: vec![own(&error.frame(client_id))?], after: gathered.after });
                }
            }
        }
        let is_news = poll.status.is_some_and(|shown| welcome.status.as_deref().is_some_and(|status| status != shown));
        let mut answers_at = None;
        while gathered.bytes < GATHERED_BYTES {
            let until = if gathered.gap_ends.is_some() {
                within
            } else if is_news || !gathered.frames.is_empty() {
                *answers_at.get_or_insert_with(|| Instant::now() + GATHERED_FOR)
            } else {
                deadline
            };
            let answered = tokio::select! {
                answered = timeout_at(until, backend.next()) => match answered {
                    Ok(answered) => answered,
                    Err(_) => break,
                },
                changed = told.changed() => {
                    changed.map_err(|_| Closing::Restarting)?;
                    if let Some(frame) = told.borrow_and_update().frame.clone() {
                        gathered.take(frame.to_string())?;
                    }
                    continue;
                }
            };
            // Only the wait stands in `select!`, which drops an arm that is not ready first: a frame that was read there would be lost.
            let text = match heard(answered) {
                Ok(Some(text)) => text.as_str().to_owned(),
                Ok(None) => continue,
                // The chat backend has left. The caller still gets the frames that came before.
                Err(Closing::BackendAway) if !gathered.frames.is_empty() => break,
                Err(closing) => return Err(closing),
            };
            participant.may_hear().await?;
            self.metrics.relayed(Direction::ToBrowser);
            let frame = PassedFrame::read(&text);
            // The visitor has turned to another conversation: the caller must start from its `welcome`.
            if frame.kind == "welcome" {
                return welcomed(text);
            }
            let is_refusal = gathered.gap_ends.is_some() && frame.kind == "error";
            // The caller's message is of another conversation than the visitor is in now. Any other error is passed on.
            if is_refusal && frame.error_code.as_deref() == Some(ErrorCode::MessageNotFound.as_str()) {
                return welcomed(welcome_text);
            }
            gathered.take(text)?;
            if is_refusal {
                break;
            }
        }
        let _ = timeout(FAREWELL, backend.close(None)).await;
        let Gathered { mut frames, after, .. } = gathered;
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

/// What a poll brings, as it comes.
#[derive(Default)]
struct Gathered {
    frames: Vec<Box<RawValue>>,
    /// Bytes of `frames` and `later`.
    bytes: usize,
    /// The newest message among the frames, or the one that the caller has.
    after: String,
    /// The newest message of those that were missed, until it has come.
    gap_ends: Option<String>,
    /// Messages that were said while the missed ones come. They follow those; if those do not all come, the next poll brings both.
    later: Vec<String>,
}

impl Gathered {
    /// What a `welcome` with these messages brings to a caller who has `after`; `None` if the caller must start from that `welcome`.
    fn begin(after: Option<String>, history: &[PassedMessage<'_>]) -> Result<Option<Self>, Closing> {
        let Some(after) = after else { return Ok(None) };
        // Either the caller's welcome was empty, and more may have been said since than this one holds. Or this one is empty, and so of
        // another conversation than the caller's.
        if after.is_empty() != history.is_empty() {
            return Ok(None);
        }
        let known = history.iter().position(|message| message.id == *after);
        let mut begun = Self { after, ..Self::default() };
        match (known, history.last()) {
            // The welcome holds the newest messages alone. The ones between are missing: `resume` asks for them.
            (None, Some(newest)) => begun.gap_ends = Some(newest.id.clone().into_owned()),
            (Some(known), _) => {
                for message in &history[known + 1..] {
                    begun.take(message.as_frame())?;
                }
            }
            (None, None) => {}
        }
        Ok(Some(begun))
    }

    fn take(&mut self, text: String) -> Result<(), Closing> {
        let id = PassedFrame::read(&text).message().map(|message| message.id.into_owned());
        match (&self.gap_ends, id) {
            (Some(end), Some(id)) if id > *end => {
                self.bytes += text.len();
                self.later.push(text);
                return Ok(());
            }
            (end, Some(id)) => {
                let closes = end.as_ref() == Some(&id);
                self.after = id;
                self.add(text)?;
                if closes {
                    self.gap_ends = None;
                    for text in std::mem::take(&mut self.later) {
                        self.bytes -= text.len();
                        self.take(text)?;
                    }
                }
            }
            (_, None) => self.add(text)?,
        }
        Ok(())
    }

    fn add(&mut self, text: String) -> Result<(), Closing> {
        self.bytes += text.len();
        self.frames.push(passed(text)?);
        Ok(())
    }
}

/// What a poll brings that the caller must start from: a `welcome` alone.
fn welcomed(text: String) -> Result<Polled, Closing> {
    let after = PassedFrame::read(&text).history().last().map(|newest| newest.id.clone().into_owned());
    Ok(Polled { frames: vec![passed(text)?], after: after.unwrap_or_default() })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str) -> String {
        format!(r#"{{"type":"message","message":{{"id":"{id}"}}}}"#)
    }

    fn begin(after: &str, ids: &[&str]) -> Option<Gathered> {
        let messages: Vec<_> = ids.iter().map(|id| serde_json::json!({"id": id})).collect();
        let welcome = serde_json::json!({"type": "welcome", "history": messages}).to_string();
        Gathered::begin(Some(after.to_owned()), &PassedFrame::read(&welcome).history()).expect("frames")
    }

    fn ids(gathered: &Gathered) -> Vec<String> {
        let ids = gathered.frames.iter().map(|frame| PassedFrame::read(frame.get()).message().expect("a message").id);
        ids.map(std::borrow::Cow::into_owned).collect()
    }

    #[test]
    fn a_welcome_brings_what_follows_the_callers_message() {
        let gathered = begin("b", &["a", "b", "c", "d"]).expect("it follows");
        assert_eq!((ids(&gathered), gathered.after.as_str()), (vec!["c".to_owned(), "d".to_owned()], "d"));
        assert_eq!(gathered.gap_ends, None);
        assert!(begin("", &[]).expect("nothing was said").frames.is_empty());
        assert!(begin("", &["a"]).is_none() && begin("a", &[]).is_none());
        assert!(Gathered::begin(None, &[]).expect("frames").is_none());
    }

    #[test]
    fn what_is_said_while_missed_messages_come_follows_them_and_counts_as_they_do() {
        let mut gathered = begin("a", &["c", "d"]).expect("a gap");
        assert_eq!(gathered.gap_ends.as_deref(), Some("d"));
        for id in ["e", "b", "c", "f"] {
            gathered.take(message(id)).expect("taken");
        }
        assert_eq!((ids(&gathered), gathered.after.as_str()), (vec!["b".to_owned(), "c".to_owned()], "c"));
        assert_eq!(gathered.bytes, 4 * message("b").len());
        gathered.take(message("d")).expect("taken");
        assert_eq!(ids(&gathered), ["b", "c", "d", "e", "f"]);
        assert_eq!((gathered.bytes, gathered.after.as_str()), (5 * message("b").len(), "f"));
        assert!(gathered.gap_ends.is_none() && gathered.later.is_empty());
    }
}
