//! The data directory: private, with keys that are made once and never printed.

use std::{
    fmt::Display,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use admin_service::MasterKeys;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret as _, SecretString};
use service::config::SecretList;
use zeroize::Zeroizing;

/// Databases and keys of one deployment.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

fn named(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl DataDir {
    /// Opens the directory, or makes it for its owner alone.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(named(path))?;
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The URL of a database in the directory. Its file is made here, for its owner alone, whatever the directory's mode.
    pub(crate) fn sqlite_url(&self, name: &str) -> io::Result<String> {
        let path = std::path::absolute(self.path(name))?;
        match path.to_str() {
            Some(text) if !text.contains(['?', '#', '%']) => {
                let mut private = OpenOptions::new();
                private.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(named(&path))?;
                Ok(format!("sqlite://{text}?mode=rwc"))
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{}: a data directory's path must be UTF-8 without ? # %", path.display()),
            )),
        }
    }

    /// What operators send as `X-Admin-Key`. It begins with a letter: one of 64 random beginnings is a hyphen, and a
    /// command line would take such a key for a flag.
    pub(crate) fn admin_key(&self) -> io::Result<SecretList> {
        self.parsed(ADMIN_KEY, || Ok(format!("admin_{}", URL_SAFE_NO_PAD.encode(random()?.as_slice()))))
    }

    /// What seals secrets at rest.
    pub(crate) fn master_keys(&self) -> io::Result<MasterKeys> {
        self.parsed("master.key", || Ok(format!("k1:{}", STANDARD.encode(random()?.as_slice()))))
    }

    /// What the relay and the chat backend share (HMAC#2).
    pub(crate) fn relay_secret(&self) -> io::Result<SecretList> {
        self.parsed("relay.secret", || Ok(URL_SAFE_NO_PAD.encode(random()?.as_slice())))
    }

    /// What gateways send to the admin service.
    pub(crate) fn grpc_token(&self) -> io::Result<SecretList> {
        self.parsed("grpc.token", || Ok(URL_SAFE_NO_PAD.encode(random()?.as_slice())))
    }

    /// A key that can be changed without an outage: its file may hold several, a line each.
    fn parsed<T: FromStr<Err: Display>>(&self, name: &str, make: impl FnOnce() -> io::Result<String>) -> io::Result<T> {
        self.key(name, make)?.expose_secret().parse().map_err(|wrong| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {wrong}", self.path(name).display()))
        })
    }

    /// Reads a key, or makes it. It appears whole or not at all, and of two processes that make it at once both end up
    /// with the same.
    fn key(&self, name: &str, make: impl FnOnce() -> io::Result<String>) -> io::Result<SecretString> {
        let path = self.path(name);
        if !path.try_exists().map_err(named(&path))? {
            let draft = self.path(&format!(".{name}.{}", uuid::Uuid::new_v4()));
            let written = write_private(&draft, &make()?);
            let linked = written.and_then(|()| match fs::hard_link(&draft, &path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => File::open(&self.0)?.sync_all(),
            });
            let removed = fs::remove_file(&draft);
            linked.and(removed).map_err(named(&path))?;
        }
        let mut text = Zeroizing::new(String::new());
        File::open(&path).and_then(|mut file| file.read_to_string(&mut text)).map_err(named(&path))?;
        let key = text.trim();
        if key.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: is empty; restore it, or delete it to have a new one made", path.display()),
            ));
        }
        Ok(key.to_owned().into())
    }
}

/// The admin key's file: the only secret whose whereabouts are printed.
pub(crate) const ADMIN_KEY: &str = "admin.key";

fn random() -> io::Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).map_err(io::Error::other)?;
    Ok(bytes)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_made_once_for_the_owner_alone() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("data");
        let made = DataDir::open(&path).expect("made").admin_key().expect("a key");
        let again = DataDir::open(&path).expect("opened").admin_key().expect("the key");
        assert_eq!(made.first().expose_secret(), again.first().expose_secret());
        assert!(made.first().expose_secret().starts_with("admin_"), "never taken for a flag");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join(ADMIN_KEY))), (0o700, 0o600));
        let left: Vec<_> =
            fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(left, [ADMIN_KEY], "no draft is left behind");
    }

    #[test]
    fn of_many_who_make_a_key_at_once_all_get_the_same() {
        let parent = tempfile::tempdir().expect("a directory");
        let data = DataDir::open(parent.path()).expect("opened");
        let keys: std::collections::HashSet<String> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| data.relay_secret().expect("a key"))).collect();
            makers.into_iter().map(|maker| maker.join().expect("no panic").first().expose_secret().to_owned()).collect()
        });
        assert_eq!(keys.len(), 1);
    }

    #[test]
    fn a_key_may_be_several_and_a_weak_one_is_refused_by_its_file() {
        let parent = tempfile::tempdir().expect("a directory");
        let data = DataDir::open(parent.path()).expect("opened");
        fs::write(parent.path().join("grpc.token"), "the-next-grpc-token\na-grpc-token-of-old\n").expect("written");
        let tokens = data.grpc_token().expect("tokens");
        assert_eq!((tokens.first().expose_secret(), tokens.count()), ("the-next-grpc-token", 2));
        fs::write(parent.path().join("relay.secret"), "changeme-changeme\n").expect("written");
        let error = data.relay_secret().expect_err("refused").to_string();
        assert!(error.contains("relay.secret: is easily guessed") && !error.contains("changeme"), "{error}");
    }

    #[test]
    fn an_empty_key_is_refused_not_used() {
        let parent = tempfile::tempdir().expect("a directory");
        fs::write(parent.path().join("master.key"), "\n").expect("written");
        let error = DataDir::open(parent.path()).expect("opened").master_keys().expect_err("refused");
        assert!(error.to_string().contains("master.key"), "{error}");
    }
}
