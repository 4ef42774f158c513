//! How sockets are closed: the close frame, the time a browser has to answer it, and all of them when the gateway stops.

use std::time::Duration;

use futures_util::{StreamExt as _, future::join_all};
use service::websocket::Socket;
use tokio::{
    io::AsyncReadExt as _,
    time::{Instant, timeout},
};

use super::{closing::Closing, registry::Open};

/// How long a close frame may take to be written: the gateway does not wait for a peer that reads nothing.
pub(super) const FAREWELL: Duration = Duration::from_millis(500);

/// How long the browser then has to answer it, while nothing passes any more.
const LINGER: Duration = Duration::from_secs(1);

/// When the gateway stops, the longest time between one socket's close and the next one's.
const DRAIN_PACE: Duration = Duration::from_millis(10);

/// Sends the close frame, where there is one to send.
pub(super) async fn say_goodbye(browser: &mut Socket, closing: &Closing) {
    if let Some(frame) = closing.frame() {
        let _ = timeout(FAREWELL, browser.close(Some(frame))).await;
    }
}

/// Gives the browser time to answer the close. Hanging up on data that was not read would reset the connection, and the browser would
/// never learn why.
pub(super) async fn linger(browser: &mut Socket, closing: &Closing) {
    let _ = timeout(LINGER, async {
        if matches!(closing, Closing::TooLarge | Closing::Protocol | Closing::NotUtf8 | Closing::TooFast(_)) {
            // The bad frame was not read to its end, so no frame after it can be told apart.
            browser.get_mut().stop_counting();
            let mut rest = [0; 1024];
            while matches!(browser.get_mut().read(&mut rest).await, Ok(read) if read > 0) {}
        } else {
            while let Some(Ok(_)) = browser.next().await {}
        }
    })
    .await;
}

/// Closes these sockets because the gateway stops: one after the other, in an order of chance, within about `over`. Their browsers
/// connect again, and must not all do so at once.
pub(super) async fn drain<G>(mut sockets: Vec<Open<G>>, over: Duration) {
    fastrand::shuffle(&mut sockets);
    let begun = Instant::now();
    let count = u32::try_from(sockets.len()).unwrap_or(u32::MAX);
    let pause = over.checked_div(count).unwrap_or_default().min(DRAIN_PACE);
    for (index, socket) in (0..).zip(&sockets) {
        // By the clock: a pause may be shorter than what a timer can keep.
        tokio::time::sleep_until(begun + pause * index).await;
        socket.close(Closing::Restarting);
    }
    all_closed(&sockets).await;
}

/// Returns once nothing passes through any of these sockets.
pub(super) async fn all_closed<G>(sockets: &[Open<G>]) {
    join_all(sockets.iter().map(Open::closed)).await;
}
