//! What is asked of Redis: scripts, each of which is one atomic step.
//!
//! They take the time from Redis, so that gateways whose clocks differ count alike, and write numbers of microseconds, which a
//! script's numbers hold exactly.

use std::sync::LazyLock;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind};
use wire::signature::WINDOW_MS;

use super::connection::Connection;
use crate::limits::{
    local::MOST_TARGETS,
    signature_use::{Target, Use},
};

/// How long after its timestamp Redis keeps a signature's uses, in milliseconds: the window and the slack that `limits/local/replays.rs` has too.
pub(super) const KEEP_MS: i64 = WINDOW_MS + 5_000;

/// Reserves a signature's use, and spends one call of a rate. Answers `{0, calls left}`, `{1, 0}` for a replay, or
/// `{2, microseconds to wait}`; the last two charge nothing.
///
/// `KEYS`: the rate, the signature. `ARGV`: `r`, `o` or `w` for what it is used for; the use's field; the value that names this call;
/// milliseconds to keep it; until when to keep it, in Unix milliseconds; microseconds a call costs; the limit.
///
/// A signature's uses are the fields of a hash. A read is noted even where the rate is spent, since what was signed for reading must never
/// write; it takes nothing from a later read. A write that Redis's client sends again finds its own value: it is no replay, and is
/// charged once. The gateway sends both a duration and an end, and the script keeps the signature for the longer of the two, since either clock
/// may be wrong.
pub(super) static ADMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        2,
        &format!(
            r"
{RATE}
local each, limit = tonumber(ARGV[6]), tonumber(ARGV[7])
local burst = each * limit
local ahead = load(KEYS[1], burst)
local used = redis.call('HLEN', KEYS[2])
local function note()
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
  if used == 0 then
    local left = math.min(tonumber(ARGV[5]) - math.floor(now / 1000), 2 * {KEEP_MS})
    redis.call('PEXPIRE', KEYS[2], math.max(tonumber(ARGV[4]), left))
  end
end
if ARGV[1] == 'r' then
  if used == 0 then
    note()
  end
elseif used > 0 then
  if redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[3] then
    return {{0, math.floor((burst - ahead) / each)}}
  end
  if ARGV[1] == 'o' or used >= {MOST_TARGETS} or redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1
    or redis.call('HEXISTS', KEYS[2], 'r') == 1 or redis.call('HEXISTS', KEYS[2], 'o') == 1 then
    return {{1, 0}}
  end
end
ahead = ahead + each
if ahead > burst then
  return {{2, ahead - burst}}
end
store(KEYS[1], ahead)
if ARGV[1] ~= 'r' then
  note()
end
return {{0, math.floor((burst - ahead) / each)}}
"
        ),
    )
});

/// Gives a signature's use back, if the value is the one this call has written. `KEYS`: the signature. `ARGV`: the field, the value.
pub(super) static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        1,
        r"
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
",
    )
});

/// Spends one session of a widget key and of an address's share, which `limits/local/sessions.rs` explains. Answers `{0, 0}`, or
/// `{1, microseconds to wait}` where the share is spent and `{2, …}` where the key is; these change nothing.
///
/// `KEYS`: the key's sessions, the address's. `ARGV`: microseconds a session costs, the limit.
pub(super) static BEGIN_SESSION: LazyLock<Script> = LazyLock::new(|| {
    let (part, least) = crate::limits::local::SHARES;
    Script::new(
        2,
        &format!(
            r"
{RATE}
local each, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local burst = each * limit
local whole, share = load(KEYS[1], burst), load(KEYS[2], burst) + each
local left = math.max(0, limit - math.ceil(whole / each))
local allowed = math.max(math.floor(left / {part}), math.min({least}, limit))
if share > burst then
  return {{1, share - burst}}
end
if math.ceil(share / each) > allowed then
  return {{1, each}}
end
whole = whole + each
if whole > burst then
  return {{2, whole - burst}}
end
store(KEYS[1], whole)
store(KEYS[2], share)
return {{0, 0}}
"
        ),
    )
});

/// GCRA. A key holds the time at which everything spent will have been refilled; `load` answers how far ahead that time is. Never further than
/// a whole burst, so that a server whose clock is behind the last one's makes nobody wait longer than a period.
const RATE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function load(key, burst)
  local at = tonumber(redis.call('GET', key) or '0')
  return math.min(math.max(at - now, 0), burst)
end
local function store(key, ahead)
  redis.call('SET', key, string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000))
end
";

/// A script, and the hash that Redis knows it by.
pub(super) struct Script {
    text: String,
    hash: String,
    keys: usize,
}

/// A call of a script.
pub(super) struct Asked {
    script: &'static Script,
    /// By the script's hash.
    call: Cmd,
}

impl Script {
    fn new(keys: usize, text: &str) -> Self {
        let hash = redis::Script::new(text).get_hash().to_owned();
        Self { text: text.to_owned(), hash, keys }
    }

    /// A call with the keys, and after them the arguments, that `write` adds.
    pub(super) fn with(&'static self, write: impl FnOnce(&mut Cmd)) -> Asked {
        let mut call = Cmd::with_capacity(11, 320);
        call.arg("EVALSHA").arg(&self.hash).arg(self.keys);
        write(&mut call);
        Asked { script: self, call }
    }
}

impl Asked {
    /// Sends it. A server that does not know the script is told it.
    pub(super) async fn send<T: FromRedisValue>(&self, connection: &mut Connection) -> RedisResult<T> {
        match connection.query(&self.call).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let mut whole = Cmd::new();
                whole.arg("EVAL").arg(&self.script.text);
                for given in self.call.args_iter().skip(2) {
                    if let redis::Arg::Simple(bytes) = given {
                        whole.arg(bytes);
                    }
                }
                connection.query(&whole).await
            }
            answered => answered,
        }
    }
}

/// What a signature is used for, as a field of its hash.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Read,
    Once,
    Write([u8; 4]),
}

impl Field {
    pub(super) fn of(used: Use) -> Self {
        match used {
            Use::Read => Self::Read,
            Use::Once => Self::Once,
            Use::Write(Target(target)) => Self::Write(target.to_be_bytes()),
        }
    }

    /// What the script calls it.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Once => "o",
            Self::Write(_) => "w",
        }
    }

    /// Its name. A target's has four bytes, so it is none of the other two.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Read => b"r",
            Self::Once => b"o",
            Self::Write(target) => target,
        }
    }
}
