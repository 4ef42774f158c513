//! Why an attempt got no answer, in words that tenants see.

use std::{fmt, io, time::Duration};

use super::{refused::Refused, tls_failed::TlsFailed};

/// Why an attempt got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AttemptFailed {
    /// The host's name does not exist, or has no address.
    #[error("DNS: no such name")]
    NoSuchName,
    /// No resolver answered in time.
    #[error("DNS: the resolver does not answer")]
    ResolverSilent,
    /// The look-up failed in another way.
    #[error("DNS: {0}")]
    Dns(String),
    /// The URL, or one of the host's addresses, may not be called.
    #[error("refused address: {0}")]
    Refused(#[from] Refused),
    /// Nobody listens there.
    #[error("connection refused")]
    ConnectionRefused,
    /// Nothing came back from there.
    #[error("connection timed out")]
    ConnectionTimedOut,
    /// There is no way to the address.
    #[error("no route to the receiver")]
    NoRoute,
    /// The connection failed in another way.
    #[error("connection failed: {0}")]
    Connect(String),
    /// The handshake failed.
    #[error("TLS: {0}")]
    Tls(#[from] TlsFailed),
    /// The attempt's whole time was over.
    #[error("timed out after {} {phase}", Seconds(*.limit))]
    TimedOut {
        /// The attempt's whole time.
        limit: Duration,
        /// What it was spent on last.
        phase: Phase,
    },
    /// What came is not HTTP/1.1.
    #[error("the answer is not HTTP")]
    NotHttp,
    /// The attempt panicked: a fault of the relay's own.
    #[error("the relay failed")]
    Panicked,
    /// The event's id cannot be a header. Publishing takes no such id.
    #[error("the event's id cannot be a header")]
    Unsendable,
    /// The connection ended before the answer's head had come.
    #[error("the receiver closed the connection without an answer")]
    Closed,
}

/// What an attempt was busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// TCP and TLS.
    Connecting,
    /// The request is being written, or is out.
    Waiting,
    /// The head of the answer has come, its body not whole.
    Reading,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Waiting => "waiting for an answer",
            Self::Reading => "reading the answer",
        })
    }
}

/// A duration as people write it: `15 s`, `250 ms`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{} s", self.0.as_secs()),
            _ => write!(f, "{} ms", self.0.as_millis()),
        }
    }
}

impl AttemptFailed {
    /// A TCP connection that could not be made.
    #[must_use]
    pub(super) fn of_tcp(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::ConnectionRefused,
            io::ErrorKind::TimedOut => Self::ConnectionTimedOut,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::NoRoute,
            _ => Self::Connect(error.to_string()),
        }
    }

    /// A look-up that failed. The standard library gives these errors no kind, so that their texts are read: those of glibc, of
    /// musl and of macOS.
    #[must_use]
    pub(super) fn of_look_up(error: &io::Error) -> Self {
        const NO_NAME: [&str; 5] = [
            "Name or service not known",
            "No address associated with",
            "nodename nor servname",
            "Name does not resolve",
            "Name has no usable address",
        ];
        const SILENT: [&str; 2] = ["Temporary failure in name resolution", "Try again"];
        let text = error.to_string();
        let says = |texts: &[&str]| texts.iter().any(|known| text.contains(known));
        if says(&NO_NAME) {
            Self::NoSuchName
        } else if says(&SILENT) {
            Self::ResolverSilent
        } else {
            Self::Dns(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_words() {
        let timed_out = |ms, phase| AttemptFailed::TimedOut { limit: Duration::from_millis(ms), phase }.to_string();
        assert_eq!(timed_out(15_000, Phase::Reading), "timed out after 15 s reading the answer");
        assert_eq!(timed_out(15_000, Phase::Connecting), "timed out after 15 s connecting");
        assert_eq!(timed_out(1_250, Phase::Waiting), "timed out after 1250 ms waiting for an answer");
        let of_tcp = |kind: io::ErrorKind| AttemptFailed::of_tcp(&kind.into()).to_string();
        assert_eq!(of_tcp(io::ErrorKind::ConnectionRefused), "connection refused");
        assert_eq!(of_tcp(io::ErrorKind::TimedOut), "connection timed out");
        assert_eq!(of_tcp(io::ErrorKind::HostUnreachable), "no route to the receiver");
        assert!(of_tcp(io::ErrorKind::PermissionDenied).starts_with("connection failed: "));
    }

    #[test]
    fn look_ups_fail_in_words() {
        for (text, words) in [
            ("failed to lookup address information: Name or service not known", "DNS: no such name"),
            ("failed to lookup address information: No address associated with hostname", "DNS: no such name"),
            ("failed to lookup address information: nodename nor servname provided, or not known", "DNS: no such name"),
            ("failed to lookup address information: Name does not resolve", "DNS: no such name"),
            (
                "failed to lookup address information: Temporary failure in name resolution",
                "DNS: the resolver does not answer",
            ),
            ("failed to lookup address information: Try again", "DNS: the resolver does not answer"),
            ("something else", "DNS: something else"),
        ] {
            assert_eq!(AttemptFailed::of_look_up(&io::Error::other(text)).to_string(), words);
        }
    }
}
