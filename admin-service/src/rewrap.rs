//! `admin-service rewrap`: seals every secret under the newest master key, beside running services, and says which older keys can go.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use service::config::{EXIT_CONFIG, Sources};
use uuid::Uuid;

use crate::{
    config::{self, DatabaseConfig},
    sealing::{MasterKeys, SealContext, key_id},
    signing_keys::PRIVATE_COLUMN,
    store::{self, Connection, ResealedRow, SealedRow, StoreError, TenantSecretOf},
    tenants::SECRET_COLUMN,
    visitors, webhook_key,
};

/// The command's name.
pub const COMMAND: &str = "rewrap";

/// Tenants whose secrets are replaced together: few enough that no change waits for long.
const AT_ONCE: u64 = 100;

/// How often it says how far it has come.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Rows that do not open and are named; the others are counted.
const MOST_NAMED: usize = 20;

const USAGE: &str = "\
admin-service rewrap [settings]

Seals every secret under the first key of master_keys, and says which of the other keys can go. Of the service's settings it reads
database_url and master_keys. It runs beside services, whatever they do meanwhile, and goes on where it was interrupted when it is started
again. The secrets themselves stay as they are: gateways are not told and need no restart.

Before, put the new key first in master_keys of every admin service, so that none goes on sealing under an old one.

It ends with 0 where every secret is sealed under the first key, with 1 where some are not or it was interrupted by an error, with 64 where
it was called wrongly.
";

/// Runs the command with what follows its name.
#[must_use]
pub fn run(sources: Sources) -> ExitCode {
    if sources.args.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let (database, master_keys) = match config::load_for_commands(&sources) {
        Ok(settings) => settings,
        Err(error) => return error.report(),
    };
    if master_keys.len() == 1 {
        eprintln!(
            "admin-service rewrap: master_keys holds one key. Put the new key first and keep the old ones behind it.\n\n{USAGE}"
        );
        return ExitCode::from(EXIT_CONFIG);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(rewrap(&database, &master_keys, |told| eprintln!("{told}"))));
    match done {
        Ok(report) => {
            print!("{report}");
            if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("admin-service rewrap: {error}\nWhat was sealed anew stays so. Start it again to go on.");
            ExitCode::FAILURE
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    newest: String,
    older: Vec<String>,
    /// Secrets that were sealed anew.
    pub resealed: u64,
    /// Secrets that the newest key had sealed already.
    pub before: u64,
    /// The first secrets that do not open, each with the reason.
    pub unreadable: Vec<String>,
    unreadable_count: u64,
    /// Secrets that each key seals, as of the end.
    sealed_by: BTreeMap<String, u64>,
    /// Rows of the audit log that are chained under each key, and of the access log.
    audit_by: BTreeMap<String, u64>,
    access_by: BTreeMap<String, u64>,
}

impl Report {
    /// Whether the newest key seals every secret.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unreadable_count == 0 && self.sealed_by.keys().all(|key| *key == self.newest)
    }

    /// The older keys that nothing needs any more: neither a secret nor a row of a log.
    #[must_use]
    pub fn not_needed(&self) -> Vec<&str> {
        let needs = [&self.sealed_by, &self.audit_by, &self.access_by];
        let is_free = |key: &&String| !needs.iter().any(|need| need.contains_key(*key));
        self.older.iter().filter(is_free).map(String::as_str).collect()
    }

    fn unreadable(&mut self, what: impl std::fmt::Display, error: impl std::fmt::Display) {
        self.unreadable_count += 1;
        if self.unreadable.len() < MOST_NAMED {
            self.unreadable.push(format!("{what}: {error}"));
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { newest, older, resealed, before, unreadable, unreadable_count, sealed_by, .. } = self;
        writeln!(f, "secrets sealed anew under {newest}: {resealed}; sealed under it before: {before}")?;
        for problem in unreadable {
            writeln!(f, "  - {problem}")?;
        }
        let untold = unreadable_count - unreadable.len() as u64;
        if untold > 0 {
            writeln!(f, "  - and {untold} more that do not open")?;
        }
        let others = sealed_by.keys().filter(|key| *key != newest && !older.contains(key));
        for key in older.iter().chain(others) {
            writeln!(f, "{key}: {}", self.verdict(key))?;
        }
        Ok(())
    }
}

impl Report {
    /// Says what an operator should do with an older key.
    fn verdict(&self, key: &str) -> String {
        let newest = &self.newest;
        let count = |by: &BTreeMap<String, u64>| by.get(key).copied();
        match (count(&self.sealed_by), count(&self.access_by), count(&self.audit_by)) {
            (Some(secrets), ..) if self.unreadable_count > 0 => {
                format!("keep it. Secrets sealed under it: {secrets}. Look at those that are named above")
            }
            (Some(secrets), ..) => format!(
                "keep it. Secrets sealed under it: {secrets}. Put {newest} first in master_keys of every admin service, and start this again"
            ),
            (None, Some(rows), _) => format!(
                "keep it behind {newest}. No secret needs it, but the access log is pruned with it: {rows} rows. Start this again in 90 days"
            ),
            (None, None, Some(rows)) => format!(
                "no secret needs it. Rows of the audit log that verify-audit checks with it: {rows}. Keep it behind {newest} as long as you \
                 want them checked"
            ),
            (None, None, None) => {
                "take it out of master_keys: nothing here needs it. Keep it elsewhere as long as you keep backups from before today".to_owned()
            }
        }
    }
}

/// Seals every secret under the newest key. `tell` hears from time to time how far it has come.
///
/// # Errors
/// Why it could not go on. What was done stays done.
pub async fn rewrap(
    database: &DatabaseConfig,
    master_keys: &MasterKeys,
    tell: impl Fn(String),
) -> Result<Report, String> {
    let connection = store::connect_to_change(database).await.map_err(|error| error.to_string())?;
    let report = all(&connection, master_keys, tell).await.map_err(|error| error.to_string());
    let _ = connection.close().await;
    report
}

async fn all(connection: &Connection, keys: &MasterKeys, tell: impl Fn(String)) -> Result<Report, StoreError> {
    let older = keys.ids().skip(1).map(str::to_owned).collect();
    let mut report = Report { newest: keys.newest_id().to_owned(), older, ..Report::default() };

    let names = store::sealed_secrets(connection).await?;
    let known = |name: &String| DEPLOYMENT_SECRETS.iter().find(|(known, _)| known == name).map(|(_, context)| *context);
    let rows = reseal(names, keys, &mut report, "the deployment's secret", known);
    report.resealed += store::replace_secrets(connection, rows).await?;

    let private = store::sealed_signing_keys(connection).await?;
    let rows =
        reseal(private, keys, &mut report, "signing key", |id| Some(SealContext { row: *id, column: PRIVATE_COLUMN }));
    report.resealed += store::replace_signing_keys(connection, rows).await?;

    for which in TenantSecretOf::ALL {
        tenants(connection, keys, which, &mut report, &tell).await?;
    }
    look_again(connection, &mut report).await?;
    Ok(report)
}

async fn tenants(
    connection: &Connection,
    keys: &MasterKeys,
    which: TenantSecretOf,
    report: &mut Report,
    tell: &impl Fn(String),
) -> Result<(), StoreError> {
    let (mut after, mut told) = (None, Instant::now());
    loop {
        let page = store::sealed_tenants(connection, which, after, AT_ONCE).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        let rows = reseal(page, keys, report, "tenant", |id| Some(SealContext { row: *id, column: SECRET_COLUMN }));
        if !rows.is_empty() {
            let began = Instant::now();
            report.resealed += store::replace_tenants(connection, which, rows).await?;
            // Pause as long as the transaction took, so that services get the database's lock half of the time.
            tokio::time::sleep(began.elapsed()).await;
        }
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            tell(format!("sealed anew: {}; sealed before: {}", report.resealed, report.before));
        }
    }
}

/// The deployment's own secrets, and what each is sealed with.
const DEPLOYMENT_SECRETS: [(&str, SealContext); 2] =
    [(visitors::SESSION_SECRET, visitors::SESSION_CONTEXT), (webhook_key::NAME, webhook_key::CONTEXT)];

/// What stands in the place of the rows that an older key has sealed.
fn reseal<K: std::fmt::Display>(
    rows: Vec<SealedRow<K>>,
    keys: &MasterKeys,
    report: &mut Report,
    what: &str,
    context: impl Fn(&K) -> Option<SealContext>,
) -> Vec<ResealedRow<K>> {
    let mut resealed = Vec::new();
    for (id, sealed) in rows {
        let Some(context) = context(&id) else {
            report.unreadable(format_args!("{what} {id}"), "this version does not know it");
            continue;
        };
        match keys.reseal(context, &sealed) {
            Ok(None) => report.before += 1,
            Ok(Some(anew)) => resealed.push((id, sealed, anew)),
            Err(error) => report.unreadable(format_args!("{what} {id}"), error),
        }
    }
    resealed
}

/// Counts which key seals and chains what. A service whose first key is still an old one may have sealed with it meanwhile.
async fn look_again(connection: &Connection, report: &mut Report) -> Result<(), StoreError> {
    let sealed_by = &mut report.sealed_by;
    let mut count = |sealed: &[u8]| {
        *sealed_by.entry(key_id(sealed).unwrap_or("no key that can be read").to_owned()).or_default() += 1;
    };
    store::sealed_secrets(connection).await?.iter().for_each(|(_, sealed)| count(sealed));
    store::sealed_signing_keys(connection).await?.iter().for_each(|(_, sealed)| count(sealed));
    for which in TenantSecretOf::ALL {
        let mut after: Option<Uuid> = None;
        loop {
            let page = store::sealed_tenants(connection, which, after, 10 * AT_ONCE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            page.iter().for_each(|(_, sealed)| count(sealed));
        }
    }
    for (key, rows) in store::chained_audit(connection).await? {
        *report.audit_by.entry(key).or_default() += rows;
    }
    for (key, rows) in store::chained_access(connection).await? {
        *report.access_by.entry(key).or_default() += rows;
    }
    Ok(())
}
