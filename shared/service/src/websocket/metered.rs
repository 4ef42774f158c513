//! The stream under a WebSocket, which counts frames and bytes as they come.
//!
//! The library joins the frames of a message, and hands out nothing before the last: empty continuation frames would keep it
//! busy for ever without anybody counting them. So frames are counted here, by their headers (RFC 6455, section 5.2).

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Says whether so many more frames and bytes may come.
pub type Admit = Box<dyn FnMut(u32, u32) -> bool + Send + Sync>;

/// More came than may.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("more frames or bytes came than may")]
pub struct TooMuch;

/// A stream whose incoming frames are counted.
pub struct Metered {
    io: TokioIo<Upgraded>,
    meter: Option<Meter>,
}

struct Meter {
    headers: Headers,
    admit: Admit,
    is_over: bool,
}

impl fmt::Debug for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metered").field("is_counted", &self.meter.is_some()).finish_non_exhaustive()
    }
}

impl Metered {
    pub(super) fn new(upgraded: Upgraded, admit: Option<Admit>) -> Self {
        let meter = admit.map(|admit| Meter { headers: Headers::default(), admit, is_over: false });
        Self { io: TokioIo::new(upgraded), meter }
    }

    /// Counts nothing from now on: what comes is thrown away.
    pub fn stop_counting(&mut self) {
        self.meter = None;
    }
}

/// Where in a frame the stream is.
#[derive(Default)]
struct Headers {
    header: [u8; 10],
    read: usize,
    /// Bytes of mask and payload that are still to come.
    rest: u64,
}

impl Headers {
    /// Reads on, and asks for each frame whether it may come. Answers how many bytes may: up to the first frame that may not.
    fn admitted(&mut self, bytes: &[u8], mut admit: impl FnMut() -> bool) -> usize {
        // Where the frame that is being read begins.
        let (mut at, mut began) = (0, 0);
        while let Some(byte) = bytes.get(at) {
            if self.rest > 0 {
                let passed = usize::try_from(self.rest).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.rest -= passed as u64;
                at += passed;
                continue;
            }
            if self.read == 0 {
                began = at;
            }
            self.header[self.read] = *byte;
            self.read += 1;
            at += 1;
            if self.read < 2 {
                continue;
            }
            let (short, is_masked) = (self.header[1] & 0x7f, self.header[1] & 0x80 != 0);
            let extended = match short {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            if self.read < 2 + extended {
                continue;
            }
            let length = match extended {
                0 => u64::from(short),
                _ => self.header[2..2 + extended].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
            };
            (self.rest, self.read) = (length.saturating_add(if is_masked { 4 } else { 0 }), 0);
            if !admit() {
                return began;
            }
        }
        bytes.len()
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        if this.meter.as_ref().is_some_and(|meter| meter.is_over) {
            return Poll::Ready(Err(io::Error::other(TooMuch)));
        }
        ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        if let Some(Meter { headers, admit, is_over }) = &mut this.meter {
            let came = &buffer.filled()[before..];
            let bytes = u32::try_from(came.len()).unwrap_or(u32::MAX);
            let mut admitted = headers.admitted(came, || admit(1, 0));
            if bytes > 0 && !admit(0, bytes) {
                admitted = 0;
            }
            if admitted < came.len() {
                // What came before is handed out; then it is over.
                *is_over = true;
                buffer.set_filled(before + admitted);
                if admitted == 0 {
                    return Poll::Ready(Err(io::Error::other(TooMuch)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(payload: usize, is_masked: bool) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut frame = vec![0x01];
        match payload {
            0..126 => frame.push(mask | u8::try_from(payload).expect("small")),
            126..65_536 => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(payload).expect("it fits").to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + payload + if is_masked { 4 } else { 0 }, 0xff);
        frame
    }

    #[test]
    fn what_came_before_the_frame_that_may_not_come_is_handed_out() {
        let bytes: Vec<u8> = [3, 0, 5].into_iter().flat_map(|payload| frame(payload, true)).collect();
        let mut left = 2;
        let mut admit = || {
            left -= 1;
            left >= 0
        };
        let last = frame(5, true).len();
        assert_eq!(Headers::default().admitted(&bytes, &mut admit), bytes.len() - last);
        // Its first byte had come before.
        let mut headers = Headers::default();
        assert_eq!(headers.admitted(&bytes[..1], || false), 1);
        assert_eq!(headers.admitted(&bytes[1..], || false), 0);
    }

    proptest! {
        #[test]
        fn frames_are_counted_however_they_are_cut(
            frames in prop::collection::vec(
                (prop_oneof![Just(0), 0..300_usize, 65_530..65_540_usize], any::<bool>()), 0..12
            ),
            cuts in prop::collection::vec(1..5000_usize, 1..20)
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(payload, is_masked)| frame(*payload, *is_masked)).collect();
            let (mut headers, mut counted, mut rest) = (Headers::default(), 0_usize, &bytes[..]);
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                let admitted = headers.admitted(now, || { counted += 1; true });
                prop_assert_eq!(admitted, now.len());
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(counted, frames.len());
            prop_assert!(headers.rest == 0 && headers.read == 0);
        }
    }
}
