//! A TCP link that can be made to swallow what goes through it, without closing: the failure that looks like silence.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// A link from an address of its own to a target. It ends with its owner.
#[derive(Debug)]
pub struct Link {
    /// Where it is entered.
    pub address: SocketAddr,
    swallows: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// A link to the server that listens at this address, now or later.
    ///
    /// # Panics
    /// Where no port is free.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let swallows = watch::Sender::new(false);
        let mode = swallows.subscribe();
        let accepting = tokio::spawn(async move {
            while let Ok((entering, _)) = listener.accept().await {
                tokio::spawn(connection(entering, target, mode.clone()));
            }
        });
        Self { address, swallows, accepting }
    }

    /// From now on nothing arrives at either end, and neither end is told.
    pub fn swallow(&self) {
        self.swallows.send_replace(true);
    }

    /// New connections work again; those that lost something are closed.
    pub fn mend(&self) {
        self.swallows.send_replace(false);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connection(entering: TcpStream, target: SocketAddr, mut mode: watch::Receiver<bool>) {
    // What was swallowed and mended before concerns this connection no longer.
    if *mode.borrow_and_update() {
        // Taken in, and never heard of again.
        let _ = mode.wait_for(|swallows| !swallows).await;
        return;
    }
    let Ok(leaving) = TcpStream::connect(target).await else { return };
    let (from_client, to_client) = entering.into_split();
    let (from_target, to_target) = leaving.into_split();
    // When one direction ends, so does the other.
    tokio::select! {
        () = pump(from_client, to_target, mode.clone()) => {}
        () = pump(from_target, to_client, mode) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            biased;
            _ = mode.changed() => None,
            read = from.read(&mut buffer) => Some(read),
        };
        match read {
            // While the link swallows, it reads nothing: neither bytes nor the end of a connection.
            None => {
                let _ = mode.wait_for(|swallows| !swallows).await;
                return;
            }
            Some(Ok(length @ 1..)) if to.write_all(&buffer[..length]).await.is_ok() => {}
            Some(_) => return,
        }
    }
}
