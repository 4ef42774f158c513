//! Whether a new connection can be counted in: the server takes the scripts, their writes, and answers in time.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use redis::{ErrorKind, RedisError, RedisResult, Value};
use tokio::time::Instant;

use super::{
    connection::Connection,
    scripts::{ADMIT, Asked, BEGIN_SESSION, GIVE_BACK},
};

/// How often a new connection may be late before it is given up.
const LOOKS: usize = 5;

/// Runs each script once, on keys of no tenant, so that the server knows all of them.
///
/// # Errors
/// The server's: a replica, one without memory, or one whose rules forbid the scripts. Or the answers come later than `patience`.
pub(super) async fn check(connection: &mut Connection, patience: Duration) -> RedisResult<()> {
    let token = fastrand::u64(..).to_ne_bytes();
    let used = format!("{{probe}}:used:{}", hex::encode(token));
    let admit = ADMIT.with(|call| {
        call.arg("{probe}:rate:1000000")
            .arg(&used)
            .arg("o")
            .arg("o")
            .arg(&token)
            .arg(1000)
            .arg(0)
            .arg(1)
            .arg(1_000_000);
    });
    admit.send::<(i64, i64)>(connection).await?;
    let begin = BEGIN_SESSION.with(|call| {
        call.arg("{probe}:sessions").arg("{probe}:sessions:all").arg(1).arg(1_000_000);
    });
    begin.send::<(i64, i64)>(connection).await?;
    give_back(&used, token).send::<i64>(connection).await?;
    warn_of_eviction(connection).await;
    for _ in 0..LOOKS {
        let sent = Instant::now();
        give_back(&used, token).send::<i64>(connection).await?;
        if sent.elapsed() <= patience {
            return Ok(());
        }
    }
    Err(RedisError::from((ErrorKind::Io, "it answers, but too late")))
}

fn give_back(used: &str, token: [u8; 8]) -> Asked {
    GIVE_BACK.with(|call| {
        call.arg(used).arg("o").arg(&token);
    })
}

/// A server that evicts forgets what signatures were used for. The gateway warns once.
async fn warn_of_eviction(connection: &mut Connection) {
    static HAS_WARNED: AtomicBool = AtomicBool::new(false);
    let mut asked = redis::cmd("INFO");
    // Rules may forbid it.
    let Ok(told) = connection.query::<Value>(asked.arg("memory")).await else { return };
    let policy = policies(&told).into_iter().find(|policy| policy != "noeviction");
    if let Some(maxmemory_policy) = policy
        && !HAS_WARNED.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(
            maxmemory_policy,
            "Redis may evict what signatures were used for, and then a replay is admitted: set maxmemory-policy noeviction"
        );
    }
}

/// The policy of each server that answered: a cluster answers with a map.
fn policies(told: &Value) -> Vec<String> {
    let in_text = |text: &str| {
        text.lines().filter_map(|line| line.strip_prefix("maxmemory_policy:")).map(str::to_owned).collect()
    };
    match told {
        Value::BulkString(bytes) => in_text(&String::from_utf8_lossy(bytes)),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => in_text(text),
        Value::Map(servers) => servers.iter().flat_map(|(_, told)| policies(told)).collect(),
        Value::Array(answers) => answers.iter().flat_map(policies).collect(),
        _ => Vec::new(),
    }
}
