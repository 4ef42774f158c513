//! Certificates for tests, written as DER by hand: whatever is wrong with one can be asked for, and nothing expires in a repository.

use std::sync::Arc;

use ed25519_dalek::{Signer as _, SigningKey, pkcs8::EncodePrivateKey as _};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;

use super::tls::Tls;

/// What a certificate says.
#[derive(Clone, Copy)]
pub(super) struct Certificate<'a> {
    /// The names it is for.
    pub(super) names: &'a [&'a str],
    /// The first and the last second: `YYMMDDhhmmssZ`.
    pub(super) validity: [&'a str; 2],
    /// Whether it is an authority's.
    pub(super) is_authority: bool,
}

/// A good one.
pub(super) const GOOD: Certificate<'_> =
    Certificate { names: &["receiver.example"], validity: ["200101000000Z", "491231235959Z"], is_authority: false };

/// A key that certificates are signed with, or made for.
pub(super) struct Holder(SigningKey);

impl Holder {
    /// The holder of one fixed key of many.
    pub(super) fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }

    fn name(&self) -> Vec<u8> {
        let text = format!("holder {}", self.0.to_bytes()[0]);
        let attribute = sequence(&[tlv(6, &[0x55, 4, 3]), tlv(0x0c, text.as_bytes())]);
        sequence(&[tlv(0x31, &attribute)])
    }

    /// A certificate for `subject`, signed by this one.
    pub(super) fn issue(&self, subject: &Self, certificate: Certificate<'_>) -> CertificateDer<'static> {
        let names: Vec<_> = certificate.names.iter().map(|name| tlv(0x82, name.as_bytes())).collect();
        let mut extensions = vec![sequence(&[tlv(6, &[0x55, 0x1d, 0x11]), tlv(4, &sequence(&names))])];
        if certificate.is_authority {
            let constraints = tlv(4, &sequence(&[tlv(1, &[0xff])]));
            extensions.push(sequence(&[tlv(6, &[0x55, 0x1d, 0x13]), tlv(1, &[0xff]), constraints]));
        }
        let signed = sequence(&[
            tlv(0xa0, &tlv(2, &[2])),
            tlv(2, &[1]),
            ed25519(),
            self.name(),
            sequence(&certificate.validity.map(|at| tlv(0x17, at.as_bytes()))),
            subject.name(),
            sequence(&[ed25519(), bits(subject.0.verifying_key().as_bytes())]),
            tlv(0xa3, &sequence(&extensions)),
        ]);
        let signature = bits(&self.0.sign(&signed).to_bytes());
        sequence(&[signed, ed25519(), signature]).into()
    }

    /// A TLS server that shows this certificate of its own.
    pub(super) fn serve(&self, certificate: CertificateDer<'static>) -> TlsAcceptor {
        let key = PrivatePkcs8KeyDer::from(self.0.to_pkcs8_der().expect("a key").as_bytes().to_vec());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())
            .expect("a certificate and its key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// A client that trusts this authority alone.
    pub(super) fn trusted(&self) -> Tls {
        let mut roots = RootCertStore::empty();
        let certificate = Certificate { names: &[], is_authority: true, ..GOOD };
        roots.add(self.issue(self, certificate)).expect("an authority");
        Tls::trusting(roots)
    }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short element").to_be_bytes();
    let head = match content.len() {
        0..0x80 => vec![tag, length[1]],
        0x80..0x100 => vec![tag, 0x81, length[1]],
        _ => vec![tag, 0x82, length[0], length[1]],
    };
    [&head, content].concat()
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(3, &[&[0], bytes].concat())
}

fn ed25519() -> Vec<u8> {
    sequence(&[tlv(6, &[0x2b, 0x65, 0x70])])
}
