//! Removes files that nobody needs: those that no message has named within a day, what an upload left behind that never came to its end, and
//! deleted files whose bytes could not be removed at once.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wire::time::now_unix_ms;

use super::kept::Files;
use crate::{records::files, store::StoreError};

/// How long a file may wait for its message.
const KEPT_UNUSED: Duration = Duration::from_secs(24 * 3600);

const LOOK_EVERY: Duration = Duration::from_secs(600);

/// Files that are looked up at once.
const BATCH: u64 = 200;

/// Removes what nobody needs, until it is told to end.
pub(crate) async fn sweep(files: Files, ending: CancellationToken) {
    let sweeping = async {
        loop {
            if let Err(error) = round(&files, now_unix_ms()).await {
                tracing::warn!(%error, "files that nobody needs were not looked for");
            }
            sleep(LOOK_EVERY).await;
        }
    };
    ending.run_until_cancelled(sweeping).await;
}

async fn round(of: &Files, now: i64) -> Result<(), StoreError> {
    let before = now - i64::try_from(KEPT_UNUSED.as_millis()).unwrap_or(i64::MAX);
    let mut after = String::new();
    loop {
        let found = files::unused(&of.store, before, &after, BATCH).await?;
        let Some((_, last)) = found.last() else { return Ok(()) };
        // What cannot be removed now must not stand before the rest.
        last.clone_into(&mut after);
        for (tenant_id, id) in found {
            // From here on, no message can name it.
            if files::take_out_unused(&of.store.of(tenant_id), &id).await? {
                of.drop_file(tenant_id, &id).await;
            }
        }
    }
}
