//! Why a TLS handshake failed, in words for the person who must mend the receiver.

use std::io;

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError, Error, pki_types::UnixTime};

/// How many of a certificate's names are told.
const MOST_NAMES: usize = 3;
/// The longest that a text of the receiver's gets.
const LONGEST_TEXT: usize = 100;

/// Why there is no TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlsFailed {
    /// The certificate is over.
    #[error("certificate expired on {0}")]
    Expired(String),
    /// The certificate has not begun.
    #[error("certificate is valid only from {0}")]
    NotYetValid(String),
    /// The certificate is for others.
    #[error("certificate is for {0}")]
    OtherName(String),
    /// No trusted authority has signed the certificate.
    #[error("unknown issuer")]
    UnknownIssuer,
    /// An authority's certificate stands where the receiver's should. Self-signed certificates often are such.
    #[error("certificate is that of an authority, such as a self-signed one")]
    OfAnAuthority,
    /// The receiver refused the handshake.
    #[error("the receiver refused the handshake: {0}")]
    RefusedByReceiver(String),
    /// The receiver speaks another protocol.
    #[error("the receiver does not speak TLS on this port")]
    NotTls,
    /// The connection ended in the handshake.
    #[error("the receiver closed the connection in the handshake")]
    Closed,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<&io::Error> for TlsFailed {
    fn from(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::from(error),
            None if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ) =>
            {
                Self::Closed
            }
            None => Self::Other(shorten(&error.to_string())),
        }
    }
}

impl From<&Error> for TlsFailed {
    fn from(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::from(error),
            Error::InvalidMessage(_) => Self::NotTls,
            Error::AlertReceived(AlertDescription::CloseNotify) => Self::Closed,
            Error::AlertReceived(alert) => Self::RefusedByReceiver(shorten(&format!("{alert:?}"))),
            other => Self::Other(shorten(&other.to_string())),
        }
    }
}

impl From<&CertificateError> for TlsFailed {
    fn from(error: &CertificateError) -> Self {
        match error {
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired(day(*not_after)),
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYetValid(day(*not_before)),
            CertificateError::NotValidForNameContext { presented, .. } => Self::OtherName(names(presented)),
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            // The verifier's own error has no public type here.
            CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => Self::OfAnAuthority,
            other => Self::Other(shorten(&format!("certificate: {other}"))),
        }
    }
}

fn day(at: UnixTime) -> String {
    let at = i64::try_from(at.as_secs()).ok().and_then(|second| Timestamp::from_second(second).ok());
    at.map_or_else(|| "a day beyond the calendar".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// The names of a certificate. The verifier writes each as `DnsName("a.example")` or `IpAddress(10.0.0.1)`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        shorten(inside.unwrap_or(name).trim_matches('"'))
    };
    let mut names: Vec<String> = presented.iter().take(MOST_NAMES).map(bare).collect();
    match presented.len() {
        0 => names.push("no name".to_owned()),
        count if count > MOST_NAMES => names.push(format!("{} others", count - MOST_NAMES)),
        _ => {}
    }
    names.join(", ")
}

/// A receiver writes its certificate as it likes.
fn shorten(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_certificate_are_told_within_bounds() {
        let dns = |name: &str| format!("DnsName(\"{name}\")");
        assert_eq!(names(&[]), "no name");
        assert_eq!(names(&[dns("a.example"), "IpAddress(10.0.0.1)".into()]), "a.example, 10.0.0.1");
        let many: Vec<_> = ["a", "b", "c", "d", "e"].map(dns).into();
        assert_eq!(names(&many), "a, b, c, 2 others");
        assert_eq!(names(&[dns(&"x\n".repeat(500))]), "x".repeat(100));
    }

    #[test]
    fn other_errors_are_words_too() {
        let of = |error: Error| TlsFailed::from(&error).to_string();
        assert_eq!(
            of(Error::AlertReceived(AlertDescription::HandshakeFailure)),
            "the receiver refused the handshake: HandshakeFailure"
        );
        assert_eq!(of(CertificateError::BadSignature.into()), "certificate: BadSignature");
        let context = CertificateError::NotValidYetContext {
            time: UnixTime::since_unix_epoch(std::time::Duration::ZERO),
            not_before: UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_767_312_000)),
        };
        assert_eq!(of(context.into()), "certificate is valid only from 2026-01-02");
        assert_eq!(TlsFailed::from(&io::Error::from(io::ErrorKind::UnexpectedEof)), TlsFailed::Closed);
    }
}
