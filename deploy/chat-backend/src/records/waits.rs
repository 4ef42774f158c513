//! How long visitors have waited for a person lately.

use sea_orm::{ConnectionTrait, FromQueryResult};
use wire::time::now_unix_ms;

use crate::{
    handling::Handling,
    store::{OfTenant, StoreError},
};

/// Waits that are older say nothing of today.
const LATELY_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// The newest waits alone are counted.
const NEWEST: i64 = 20;
/// With fewer waits than this, nothing is expected.
const FEWEST: usize = 3;

/// The SQL that notes, with a change of `handling` to a text, how long the visitor waited until a person came. `now` and `handling` are SQL, and
/// `$2` is the conversation's id. A visitor who has said nothing does not wait, nor does one whose contact form is answered by mail.
pub(super) fn noted(handling: &str, now: &str) -> String {
    let is_over = format!(
        "{handling} = 'assigned' AND waiting_since <= {now} AND coalesce(waiting_reason, '') <> 'contact_form' AND EXISTS (
             SELECT 1 FROM message WHERE message.tenant_id = $1 AND message.conversation_id = $2 AND message.role = 'visitor')"
    );
    format!(
        "waited_ms = CASE WHEN {is_over} THEN {now} - waiting_since ELSE waited_ms END,
         waited_until = CASE WHEN {is_over} THEN {now} ELSE waited_until END"
    )
}

/// The visitor begins to wait now, with the first message.
pub(crate) async fn begin(rows: &OfTenant<'_, impl ConnectionTrait>, id: &str) -> Result<(), StoreError> {
    let sql =
        "UPDATE conversation SET waiting_since = $3 WHERE tenant_id = $1 AND id = $2 AND waiting_since IS NOT NULL";
    rows.execute(sql, [id.into(), now_unix_ms().into()]).await
}

/// The median of the newest waits in a queue, in seconds. `None` where no person is awaited, and where too few visitors have waited lately.
pub(crate) async fn expected_s(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    handling: Handling,
    routing_key: Option<&str>,
) -> Result<Option<u64>, StoreError> {
    if !matches!(handling, Handling::Waiting(_)) {
        return Ok(None);
    }
    #[derive(FromQueryResult)]
    struct Wait {
        waited_ms: i64,
    }
    let sql = "SELECT waited_ms FROM conversation
               WHERE tenant_id = $1 AND coalesce(routing_key, '') = $3 AND waited_until > $2 ORDER BY waited_until DESC LIMIT $4";
    let since = now_unix_ms() - LATELY_MS;
    let values = [since.into(), routing_key.unwrap_or_default().into(), NEWEST.into()];
    let found: Vec<Wait> = rows.all(sql, values).await?;
    Ok(median_s(found.into_iter().map(|wait| wait.waited_ms).collect()))
}

fn median_s(mut waits_ms: Vec<i64>) -> Option<u64> {
    if waits_ms.len() < FEWEST {
        return None;
    }
    waits_ms.sort_unstable();
    let median = waits_ms.get(waits_ms.len() / 2)?;
    u64::try_from(median / 1000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_waits_say_nothing_and_one_long_one_changes_nothing() {
        assert_eq!(median_s(vec![1000, 2000]), None);
        assert_eq!(median_s(vec![60_000, 86_400_000, 30_000]), Some(60));
        assert_eq!(median_s(vec![4000, 1000, 2000, 3000]), Some(3));
    }
}
