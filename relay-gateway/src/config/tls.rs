//! Reads where the certificate of the public listener is.

use service::{
    config::{Read, Settings},
    serve::TlsFiles,
};

pub(super) fn read(settings: &mut Settings) -> Read<Option<TlsFiles>> {
    let cert = settings.optional("tls_cert_file");
    let key = settings.optional("tls_key_file");
    match (cert?, key?) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(settings.problem("tls_key_file: is missing: set it with tls_cert_file".to_owned())),
        (None, Some(_)) => Err(settings.problem("tls_cert_file: is missing: set it with tls_key_file".to_owned())),
    }
}
