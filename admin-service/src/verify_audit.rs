//! `admin-service verify-audit`: whether the logs are what was written. It reads, beside a running service too.

use std::{fmt::Write as _, process::ExitCode};

use service::config::{EXIT_CONFIG, Sources};

use crate::{
    config::{self, DatabaseConfig},
    log_chain::{Head, Log, Report},
    sealing::MasterKeys,
    store,
};

/// The command's name.
pub const COMMAND: &str = "verify-audit";

const USAGE: &str = "\
admin-service verify-audit [--expect-head <head>] [--expect-access-head <head>] [settings]

Verifies the MACs that chain the rows of audit_log and access_log, and reports gaps, alterations and insertions. Of the service's settings
it reads database_url and master_keys. It changes nothing.

  --expect-head <head>         a head of audit_log that the service logged (target `audit`) or this command printed, such as 1234:5f…:
                               reports a missing end too
  --expect-access-head <head>  the same for access_log

It ends with 0 where all is well, with 1 where something is wrong, with 64 where it was called wrongly.
";

/// Runs the command with what follows its name.
#[must_use]
pub fn run(mut sources: Sources) -> ExitCode {
    if sources.args.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let expected = take(&mut sources, "--expect-head")
        .and_then(|audit| take(&mut sources, "--expect-access-head").map(|access| [audit, access]));
    let expected = match expected {
        Ok(expected) => expected,
        Err(wrong) => {
            eprintln!("admin-service verify-audit: {wrong}\n\n{USAGE}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let (database, master_keys) = match config::load_for_commands(&sources) {
        Ok(settings) => settings,
        Err(error) => return error.report(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let verified = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(verify(&database, &master_keys, expected)));
    match verified {
        Ok((text, true)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Ok((text, false)) => {
            print!("{text}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("admin-service verify-audit: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Takes a flag and its value out of the arguments.
fn take(sources: &mut Sources, flag: &str) -> Result<Option<Head>, String> {
    let given = |argument: &std::ffi::OsString| argument.to_str().map(str::to_owned);
    let names =
        |argument: &str| argument.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='));
    let Some(index) = sources.args.iter().position(|argument| argument.to_str().is_some_and(names)) else {
        return Ok(None);
    };
    let text = given(&sources.args.remove(index)).unwrap_or_default();
    let value = match text.split_once('=') {
        Some((_, value)) => value.to_owned(),
        None if index < sources.args.len() => given(&sources.args.remove(index)).unwrap_or_default(),
        None => return Err(format!("{flag} needs a head")),
    };
    value.parse().map(Some).map_err(|wrong: String| format!("{flag} {wrong}"))
}

/// Verifies both logs. Answers what to print, and whether all is well.
///
/// # Errors
/// Why it could not be done.
pub async fn verify(
    database: &DatabaseConfig,
    master_keys: &MasterKeys,
    expected: [Option<Head>; 2],
) -> Result<(String, bool), String> {
    let connection = store::connect_to_read(database).await.map_err(|error| error.to_string())?;
    let mut text = String::new();
    let mut is_well = true;
    for (log, expected) in [Log::Audit, Log::Access].into_iter().zip(expected) {
        let report = store::verify(&connection, master_keys, log, expected).await;
        let report = report.map_err(|error| {
            let text = error.to_string();
            let hint = "A database that no admin service of this version has opened yet has no chain, or no subjects: start it once";
            if ["log_chain", "subject"].iter().any(|name| text.contains(name)) { format!("{text}. {hint}") } else { text }
        })?;
        is_well &= report.problem_count == 0;
        describe(&mut text, log, &report);
    }
    Ok((text, is_well))
}

fn describe(text: &mut String, log: Log, report: &Report) {
    let Report { verified, unchained, problems, problem_count, head } = report;
    let head = head.map_or_else(|| "none".to_owned(), |head| head.to_string());
    let verdict = if *problem_count == 0 { "intact".to_owned() } else { format!("{problem_count} problem(s)") };
    let log = log.as_str();
    let _ =
        writeln!(text, "{log}: {verdict}; {verified} rows verified, {unchained} from before the chain; head {head}");
    for problem in problems {
        let _ = writeln!(text, "  - {problem}");
    }
    let untold = problem_count - problems.len() as u64;
    if untold > 0 {
        let _ = writeln!(text, "  - and {untold} more");
    }
}
