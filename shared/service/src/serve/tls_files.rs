//! The files of a listener's TLS: which settings name them, and what they hold.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject as _},
    server::{VerifierBuilderError, WebPkiClientVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use wire::time::now_unix_ms;
use x509_cert::der::Decode as _;
use zeroize::Zeroizing;

use crate::config::{Read, Settings};

/// Where the certificate and its key are, in PEM. The certificate's file holds the chain too, the server's own certificate first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    cert: Named,
    key: Named,
    /// Whose certificates clients must have, and which of these are revoked.
    clients: Option<(Named, Option<Named>)>,
}

/// A file, and the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    setting: String,
    path: PathBuf,
}

/// Why a listener cannot speak TLS with what its files hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} = {}: {why}", path.display())]
pub struct TlsError {
    setting: String,
    path: PathBuf,
    /// What is wrong, and never a part of a key.
    why: String,
}

/// What the files held.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    pub(super) clients: Option<(Vec<u8>, Option<Vec<u8>>)>,
}

/// What a listener speaks TLS with.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// From when until when the certificate is valid, Unix milliseconds.
    pub(super) valid: (i64, i64),
}

impl Loaded {
    pub(super) fn is_valid(&self) -> bool {
        let (from, until) = self.valid;
        (from..until).contains(&now_unix_ms())
    }
}

impl Named {
    fn wrong(&self, why: impl Into<String>) -> TlsError {
        TlsError { setting: self.setting.clone(), path: self.path.clone(), why: why.into() }
    }

    async fn read(&self) -> Result<Vec<u8>, TlsError> {
        tokio::fs::read(&self.path).await.map_err(|error: io::Error| self.wrong(format!("cannot be read: {error}")))
    }

    fn certificates(&self, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let all = all.map_err(|error| self.wrong(format!("is no PEM: {error}")))?;
        if all.is_empty() { Err(self.wrong("holds no certificate in PEM")) } else { Ok(all) }
    }
}

impl TlsFiles {
    /// Reads `tls_cert_file` and `tls_key_file`, with `prefix` before both names.
    ///
    /// # Errors
    /// A problem, already noted.
    pub fn read(settings: &mut Settings, prefix: &str) -> Read<Option<Self>> {
        let mut named = |name: &str| {
            let setting = format!("{prefix}{name}");
            settings
                .optional::<PathBuf>(&setting)
                .map(|path| (path.map(|path| Named { setting: setting.clone(), path }), setting))
        };
        let (cert, key) = (named("tls_cert_file"), named("tls_key_file"));
        match (cert?, key?) {
            ((Some(cert), _), (Some(key), _)) => Ok(Some(Self { cert, key, clients: None })),
            ((None, _), (None, _)) => Ok(None),
            ((_, cert), (found, key)) => {
                let (missing, other) = if found.is_some() { (cert, key) } else { (key, cert) };
                Err(settings.problem(format!("{missing}: is missing: set it with {other}")))
            }
        }
    }

    /// Reads the same settings, and `client_ca_file` and `client_crl_file`: a client must have a certificate of that authority.
    ///
    /// # Errors
    /// A problem, already noted.
    pub fn read_mutual(settings: &mut Settings, prefix: &str) -> Read<Option<Self>> {
        let files = Self::read(settings, prefix);
        let [ca, crl] = ["client_ca_file", "client_crl_file"].map(|name| {
            let setting = format!("{prefix}{name}");
            settings.optional::<PathBuf>(&setting).map(|path| path.map(|path| Named { setting, path }))
        });
        match (files?, ca?, crl?) {
            (Some(files), Some(ca), crl) => Ok(Some(Self { clients: Some((ca, crl)), ..files })),
            (None, None, None) => Ok(None),
            (Some(_), None, _) => {
                Err(settings
                    .problem(format!("{prefix}client_ca_file: is missing: it says whose certificates are let in")))
            }
            (None, ..) => Err(settings.problem(format!(
                "{prefix}tls_cert_file: is missing: without TLS no certificate of a client is looked at"
            ))),
        }
    }

    /// The file with the certificate.
    pub(super) fn certificate(&self) -> &Path {
        &self.cert.path
    }

    pub(super) async fn contents(&self) -> Result<Contents, TlsError> {
        let clients = match &self.clients {
            None => None,
            Some((ca, None)) => Some((ca.read().await?, None)),
            Some((ca, Some(crl))) => Some((ca.read().await?, Some(crl.read().await?))),
        };
        Ok(Contents { cert: self.cert.read().await?, key: Zeroizing::new(self.key.read().await?), clients })
    }

    /// Makes the configuration of TLS. `protocol` is spoken over it.
    pub(super) fn load(&self, contents: &Contents, protocol: &[u8]) -> Result<Loaded, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let (certified, valid) = self.certified(contents, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| self.cert.wrong(error.to_string()))?;
        let builder = match (&self.clients, &contents.clients) {
            (Some((ca, crl)), Some((ca_pem, crl_pem))) => {
                let mut roots = RootCertStore::empty();
                for certificate in ca.certificates(ca_pem)? {
                    roots.add(certificate).map_err(|error| ca.wrong(error.to_string()))?;
                }
                let mut revoked = None;
                let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                if let (Some(crl), Some(pem)) = (crl, crl_pem) {
                    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
                    let lists = lists.map_err(|error| crl.wrong(format!("is no PEM: {error}")))?;
                    if lists.is_empty() {
                        return Err(crl.wrong("holds no revocation list in PEM"));
                    }
                    verifier = verifier.with_crls(lists);
                    revoked = Some(crl);
                }
                let verifier = verifier.build().map_err(|error| match (&error, revoked) {
                    (VerifierBuilderError::InvalidCrl(_), Some(crl)) => crl.wrong(error.to_string()),
                    _ => ca.wrong(error.to_string()),
                })?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![protocol.to_vec()];
        // A client resumes its session at any worker. New files bring new tickets: a client whose certificate was revoked must not resume an
        // old session.
        config.ticketer = ring::Ticketer::new().map_err(|error| self.cert.wrong(error.to_string()))?;
        Ok(Loaded { config: Arc::new(config), valid })
    }

    fn certified(
        &self,
        contents: &Contents,
        provider: &CryptoProvider,
    ) -> Result<(CertifiedKey, (i64, i64)), TlsError> {
        let chain = self.cert.certificates(&contents.cert)?;
        let own = x509_cert::Certificate::from_der(&chain[0]);
        let own = own.map_err(|error| self.cert.wrong(format!("holds no X.509 certificate: {error}")))?;
        let validity = own.tbs_certificate().validity();
        let at = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_millis()).unwrap_or(i64::MAX);
        let valid = (at(validity.not_before), at(validity.not_after));
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|_| self.key.wrong("holds no private key in PEM that is not encrypted"))?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                self.key.wrong(format!("is not the key of the certificate in {}", self.cert.path.display()))
            }
            error => self.key.wrong(format!("cannot be used: {error}")),
        })?;
        Ok((certified, valid))
    }
}
