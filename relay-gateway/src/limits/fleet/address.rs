//! Where Redis is: the setting `redis_url`.

use std::{fmt, str::FromStr};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, TlsMode};
use url::Url;

/// Where Redis or Valkey is. Its text holds a password, so `Debug` shows the servers alone.
#[derive(Clone)]
pub enum RedisAddress {
    /// One server: `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix://`.
    One(ConnectionInfo),
    /// The master that Sentinels name: `redis+sentinel://user:password@host:26379,host:26379/master/0`.
    Sentinel {
        /// The Sentinels.
        sentinels: Vec<ConnectionInfo>,
        /// The master's name.
        master: String,
        /// How to log in at the master.
        login: Login,
    },
    /// A cluster, by some of its servers: `redis+cluster://user:password@host:6379,host:6379`.
    Cluster(Vec<ConnectionInfo>),
}

/// How to log in at a master that Sentinels name.
#[derive(Clone)]
pub struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: i64,
    /// `None`: without TLS.
    pub(super) tls: Option<TlsMode>,
}

const FORMS: &str = "must be such as redis://host:6379/0, rediss://user:password@host:6379, \
                     redis+sentinel://host:26379,host:26379/master or redis+cluster://host:6379,host:6379";

impl FromStr for RedisAddress {
    type Err = String;

    /// Errors never repeat the text: it holds a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || FORMS.to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let Some((plain, kind)) = scheme.split_once('+').filter(|(_, kind)| *kind != "unix") else {
            return server(text).map(Self::One);
        };
        let is_secure = match plain {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(wrong()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
        let each = |login: &str, path: &str| -> Result<Vec<ConnectionInfo>, String> {
            let at = if login.is_empty() { "" } else { "@" };
            let port = if kind == "sentinel" { ":26379" } else { "" };
            let each = hosts.split(',').map(|host| {
                let host = host.trim();
                let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
                server(&format!("{plain}://{login}{at}{host}{}/{path}", if has_port { "" } else { port }))
            });
            each.collect()
        };
        match kind {
            "cluster" if path.is_empty() => each(login, "").map(Self::Cluster),
            "sentinel" => {
                let (master, db) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err(format!("names no master. It {FORMS}"));
                }
                let db = if db.is_empty() { 0 } else { db.parse().map_err(|_| wrong())? };
                // As one URL, so that escapes in a password are read as elsewhere.
                let read = Url::parse(&format!("redis://{login}@host")).map_err(|_| wrong())?;
                let decoded = |text: &str| {
                    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
                    decoded.map(|text| Some(text.into_owned()).filter(|text| !text.is_empty())).map_err(|_| wrong())
                };
                let login = Login {
                    user: decoded(read.username())?,
                    password: decoded(read.password().unwrap_or_default())?,
                    db,
                    tls: is_secure.then_some(TlsMode::Secure),
                };
                Ok(Self::Sentinel { sentinels: each("", "")?, master: master.to_owned(), login })
            }
            _ => Err(wrong()),
        }
    }
}

fn server(url: &str) -> Result<ConnectionInfo, String> {
    if url.contains('#') {
        return Err(format!("has a fragment. It {FORMS}"));
    }
    url.into_connection_info().map_err(|_| FORMS.to_owned())
}

/// A server's host and port, or its socket.
fn name(server: &ConnectionInfo) -> String {
    match server.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } if host.contains(':') => {
            format!("[{host}]:{port}")
        }
        other => other.to_string(),
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |servers: &[ConnectionInfo]| servers.iter().map(name).collect::<Vec<_>>().join(", ");
        match self {
            Self::One(server) => f.write_str(&name(server)),
            Self::Sentinel { sentinels, master, .. } => write!(f, "{master} by {}", names(sentinels)),
            Self::Cluster(servers) => write!(f, "a cluster with {}", names(servers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        format!("{:?}", text.parse::<RedisAddress>().expect(text))
    }

    #[test]
    fn each_form_is_read_and_shown_without_its_password() {
        assert_eq!(shown("redis://127.0.0.1"), "127.0.0.1:6379");
        assert_eq!(shown("rediss://ada:hunter2@redis.example.com:7000/3"), "redis.example.com:7000");
        assert_eq!(shown("valkey://:hunter2@[::1]:7000"), "[::1]:7000");
        assert_eq!(shown("unix:///run/redis.sock"), "/run/redis.sock");
        assert_eq!(shown("redis+sentinel://ada:p%40ss@a:1,b,[::1]/main/4"), "main by a:1, b:26379, [::1]:26379");
        assert_eq!(shown("rediss+cluster://:hunter2@a:1,b"), "a cluster with a:1, b:6379");
        let Ok(RedisAddress::Sentinel { login, .. }) = "rediss+sentinel://ada:p%40ss@a:1/main/4".parse() else {
            panic!("Sentinels")
        };
        assert_eq!((login.user.as_deref(), login.password.as_deref(), login.db), (Some("ada"), Some("p@ss"), 4));
        assert!(login.tls.is_some());
    }

    #[test]
    fn what_is_none_is_refused_without_being_repeated() {
        for wrong in [
            "hunter2",
            "http://hunter2@a",
            "redis://",
            "redis+sentinel://hunter2@a:1",
            "redis+sentinel://hunter2@a:1/main/x",
            "redis+cluster://hunter2@a:1/2",
            "redis+other://hunter2@a",
            "rediss://hunter2@a/#insecure",
            "redis+cluster://hunter2@a:port",
        ] {
            let told = wrong.parse::<RedisAddress>().expect_err(wrong);
            assert!(told.contains("redis://host:6379") && !told.contains("hunter2"), "{wrong}: {told}");
        }
    }
}
