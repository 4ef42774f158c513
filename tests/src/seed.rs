//! Tenants by the million, written by the database itself: through the service they would take an hour.

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
    let (numbers, id, secret, key) = if is_sqlite {
        (
            format!(
                "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n)"
            ),
            format!("unhex(printf('%012x', {EPOCH_MS} + i) || '7000' || printf('%016x', i))"),
            "randomblob(120)",
            "'pk_' || hex(randomblob(16))",
        )
    } else {
        (
            format!("generate_series(1::bigint, {count}::bigint) AS n(i)"),
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
        format!("UPDATE directory SET revision = revision + {count}, tenant_total = tenant_total + {count}"),
        "ANALYZE".to_owned(),
    ] {
        connection.execute_unprepared(&sql).await.expect("seeded");
    }
    connection.close().await.expect("it closes");
}
