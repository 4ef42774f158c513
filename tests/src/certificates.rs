//! Certificates of an authority of one's own, made by the `openssl` program.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// A key on a curve, unencrypted.
const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// An authority, in a directory that is gone with it.
#[derive(Debug)]
pub struct Authority(TempDir);

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The file with the certificate.
    pub cert: PathBuf,
    /// The file with its key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    /// Where `openssl` fails.
    #[must_use]
    pub fn new() -> Self {
        let authority = Self(tempfile::tempdir().expect("a directory"));
        let arguments = ["-days", "2", "-subj", "/CN=A CA of one's own", "-keyout", "ca.key", "-out", "ca.crt"];
        authority.openssl(&[&["req", "-x509"], NEW_KEY.as_slice(), &arguments].concat());
        authority
    }

    /// The file with the authority's own certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    /// Makes a certificate for `localhost`, in files of this name. With negative `days` it has expired.
    ///
    /// # Panics
    /// Where `openssl` fails.
    #[must_use]
    pub fn issue(&self, name: &str, days: i32) -> Certificate {
        let (key, request, cert) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        let subject = ["-subj", "/CN=localhost", "-keyout", &key, "-out", &request];
        self.openssl(&[&["req"], NEW_KEY.as_slice(), &subject].concat());
        std::fs::write(self.path("names"), "subjectAltName=DNS:localhost\n").expect("written");
        let days = days.to_string();
        let authority = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", &days, "-extfile", "names"];
        self.openssl(&[&["x509", "-req", "-in", &request], authority.as_slice(), &["-out", &cert]].concat());
        Certificate { cert: self.path(&cert), key: self.path(&key) }
    }

    /// Runs `openssl` in the directory.
    ///
    /// # Panics
    /// Where it fails.
    pub fn openssl(&self, arguments: &[&str]) {
        let made = Command::new("openssl").args(arguments).current_dir(self.0.path()).stderr(Stdio::null()).status();
        assert!(made.is_ok_and(|status| status.success()), "{arguments:?}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
