//! Tenants and events by the million, written by the database itself: through the service they would take an hour.

use sea_orm::{ConnectionTrait as _, Database, DatabaseBackend};
use uuid::Uuid;

/// A tenant's first millisecond, so that these are older than any that is provisioned.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// The id of one of them, counted from 1.
#[must_use]
pub fn silent_id(number: u64) -> Uuid {
    Uuid::from_u64_pair((EPOCH_MS + number) << 16 | 0x7000, number)
}

/// Adds so many tenants who never call (nobody has their secrets), with a bot, a widget key, an audit row and a revision each, after
/// what is there.
///
/// # Panics
/// Where the database refuses.
pub async fn silent_tenants(url: &str, count: u64) {
    if count == 0 {
        return;
    }
    let connection = Database::connect(url).await.expect("it connects");
    let is_sqlite = connection.get_database_backend() == DatabaseBackend::Sqlite;
    let numbers = numbers(is_sqlite, count);
    let (id, secret, key) = if is_sqlite {
        (
            format!("unhex(printf('%012x', {EPOCH_MS} + i) || '7000' || printf('%016x', i))"),
            "randomblob(120)",
            "'pk_' || hex(randomblob(16))",
        )
    } else {
        (
            format!("(lpad(to_hex({EPOCH_MS} + i), 12, '0') || '7000' || lpad(to_hex(i), 16, '0'))::uuid"),
            "decode(repeat(md5(i::text), 7), 'hex')",
            "'pk_' || md5(i::text)",
        )
    };
    let revision = "(SELECT revision FROM directory) + i";
    let settings = r#"{"tenant_name":"Silent"}"#;
    for sql in [
        format!(
            "INSERT INTO tenant (id, status, sealed_secret, widget_public_key, settings, revision, created_at, updated_at)
             SELECT {id}, 'active', {secret}, {key}, '{settings}', {revision}, {EPOCH_MS} + i, {EPOCH_MS} + i FROM {numbers}"
        ),
        format!(
            "INSERT INTO audit_log (id, tenant_id, actor, action, request_id, changed_fields, occurred_at, revision)
             SELECT {id}, {id}, 'bench', 'provision_tenant', 'r', '[]', {EPOCH_MS} + i, {revision} FROM {numbers}"
        ),
        // As provisioning does: a default bot, whose first key is the tenant's own.
        "INSERT INTO bot (id, tenant_id, name, is_default, created_at)
         SELECT id, id, 'Default', true, created_at FROM tenant
         WHERE NOT EXISTS (SELECT 1 FROM bot WHERE bot.tenant_id = tenant.id)"
            .to_owned(),
        "INSERT INTO widget_key
             (id, tenant_id, bot_id, api_key, name, allowed_domains, rate_limit_per_hour, is_active, created_at)
         SELECT id, id, id, widget_public_key, 'Default', '[]', 1000, true, created_at FROM tenant
         WHERE NOT EXISTS (SELECT 1 FROM widget_key WHERE widget_key.tenant_id = tenant.id)"
            .to_owned(),
        "INSERT INTO outbox (tenant_id) SELECT id FROM tenant
         WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.tenant_id = tenant.id)"
            .to_owned(),
        format!("UPDATE directory SET revision = revision + {count}, tenant_total = tenant_total + {count}"),
        "ANALYZE".to_owned(),
    ] {
        connection.execute_unprepared(&sql).await.expect("seeded");
    }
    connection.close().await.expect("it closes");
}

/// Adds events to these tenants, who are suspended: so many in all, in conversations of ten.
///
/// # Panics
/// Where the database refuses.
pub async fn held_events(url: &str, tenants: &[&str], count: u64) {
    let each = count / u64::try_from(tenants.len()).expect("few");
    if each == 0 {
        return;
    }
    let connection = Database::connect(url).await.expect("it connects");
    let is_sqlite = connection.get_database_backend() == DatabaseBackend::Sqlite;
    let numbers = numbers(is_sqlite, each);
    for (index, tenant) in tenants.iter().enumerate() {
        let tenant = tenant.parse::<Uuid>().expect("a UUID");
        let (tenant, id) = if is_sqlite {
            let id = format!("unhex(printf('%012x', {EPOCH_MS} + i) || '7000' || printf('%016x', {index}))");
            (format!("unhex('{}')", tenant.simple()), id)
        } else {
            let id =
                format!("(lpad(to_hex({EPOCH_MS} + i), 12, '0') || '7000' || lpad(to_hex({index}), 16, '0'))::uuid");
            (format!("'{tenant}'::uuid"), id)
        };
        let body = r#"{"event_type":"message_received","event_id":"e","message_id":"m"}"#;
        for sql in [
            format!(
                "INSERT INTO event (id, tenant_id, seq, event_id, event_type, lane, occurred_at, received_at, body, state, attempts, due_at)
                 SELECT {id}, {tenant}, i, 'e' || i, 'message_received', 'c' || ((i - 1) / 10), {EPOCH_MS} + i, {EPOCH_MS} + i,
                        '{body}', 'pending', 0, CASE WHEN i % 10 = 1 THEN {EPOCH_MS} + i END
                 FROM {numbers}"
            ),
            format!("UPDATE outbox SET last_seq = {each}, due_at = {EPOCH_MS}, prune_at = {EPOCH_MS} WHERE tenant_id = {tenant}"),
        ] {
            connection.execute_unprepared(&sql).await.expect("seeded");
        }
    }
    connection.execute_unprepared("ANALYZE").await.expect("analyzed");
    connection.close().await.expect("it closes");
}

/// The numbers from 1 on, as a table with the column `i`.
fn numbers(is_sqlite: bool, count: u64) -> String {
    if is_sqlite {
        format!("(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n)")
    } else {
        format!("generate_series(1::bigint, {count}::bigint) AS n(i)")
    }
}
