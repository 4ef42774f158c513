//! A mail server of a test's own, on a free port: it keeps what it takes.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::timeout,
};

/// A mail that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) to: Vec<String>,
    /// Headers and body, as they were sent.
    text: String,
}

impl Mail {
    /// A header's value, unfolded.
    pub(crate) fn header(&self, name: &str) -> String {
        let (headers, _) = self.text.split_once("\r\n\r\n").expect("headers");
        let unfolded = headers.replace("\r\n ", " ");
        let line = unfolded.lines().find(|line| line.starts_with(&format!("{name}:")));
        line.map(|line| line[name.len() + 1..].trim().to_owned()).unwrap_or_default()
    }

    /// The body, decoded.
    pub(crate) fn body(&self) -> String {
        let (_, body) = self.text.split_once("\r\n\r\n").expect("a body");
        match self.header("Content-Transfer-Encoding").as_str() {
            "quoted-printable" => decode(body),
            _ => body.to_owned(),
        }
    }
}

/// Decodes quoted-printable (RFC 2045).
fn decode(text: &str) -> String {
    let text = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'=' {
            let hex = std::str::from_utf8(&after[..2]).expect("two digits");
            bytes.push(u8::from_str_radix(hex, 16).expect("hex"));
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

#[derive(Default)]
struct Kept {
    mails: Mutex<Vec<Mail>>,
    /// What the server says to the next mails, where it does not take them.
    refusals: Mutex<VecDeque<&'static str>>,
    /// Mails that were offered.
    offered: Mutex<usize>,
    changed: Notify,
    lets_nobody_in: AtomicBool,
}

#[derive(Clone)]
pub(crate) struct MailServer {
    pub(crate) url: String,
    kept: Arc<Kept>,
}

impl MailServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("smtp://{}", listener.local_addr().expect("an address"));
        let kept = Arc::new(Kept::default());
        let server = Self { url, kept: kept.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, kept.clone()));
            }
        });
        server
    }

    /// Answers the next mail so, and does not keep it.
    pub(crate) fn refuse_next(&self, answer: &'static str) {
        self.kept.refusals.lock().expect("a lock").push_back(answer);
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.kept.mails.lock().expect("a lock").clone()
    }

    /// From now on it refuses every client in its greeting, or takes them again.
    pub(crate) fn let_nobody_in(&self, refuses: bool) {
        self.kept.lets_nobody_in.store(refuses, Ordering::SeqCst);
    }

    /// How many mails were offered, those that were refused included.
    pub(crate) fn offered(&self) -> usize {
        *self.kept.offered.lock().expect("a lock")
    }

    /// Waits until so many mails were offered.
    pub(crate) async fn wait_for(&self, offered: usize) {
        let waiting = async {
            loop {
                let changed = self.kept.changed.notified();
                if self.offered() >= offered {
                    return;
                }
                changed.await;
            }
        };
        timeout(Duration::from_secs(20), waiting).await.expect("a mail in time");
    }
}

async fn converse(stream: TcpStream, kept: Arc<Kept>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    if kept.lets_nobody_in.load(Ordering::SeqCst) {
        let _ = write.write_all(b"554 no\r\n").await;
        return;
    }
    write.write_all(b"220 test\r\n").await.expect("sent");
    let mut to = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let answer = match line.split_once(':').map_or(line.as_str(), |(verb, _)| verb).to_uppercase().as_str() {
            "RCPT TO" => {
                let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).expect("an address").0;
                to.push(address.to_owned());
                "250 ok"
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.expect("sent");
                let mut text = String::new();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line == "." {
                        break;
                    }
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push_str("\r\n");
                }
                let refusal = kept.refusals.lock().expect("a lock").pop_front();
                let mail = Mail { to: std::mem::take(&mut to), text };
                *kept.offered.lock().expect("a lock") += 1;
                if refusal.is_none() {
                    kept.mails.lock().expect("a lock").push(mail);
                }
                kept.changed.notify_waiters();
                refusal.unwrap_or("250 taken")
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        if write.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            return;
        }
    }
}
