//! Settings that nobody reads: a misspelt one must not be without effect in silence.

use super::programs::{PROGRAMS, Program};

/// How many letters a name may be away from a setting's to be taken for it.
const CLOSE: usize = 2;

/// Variables that tenants' backends read, and that the README has people source into the shell that starts the relay.
const TENANTS_OWN: [&str; 3] = ["CHAT_RELAY_BASE_URL", "CHAT_RELAY_TENANT_ID", "CHAT_RELAY_TENANT_SECRET"];

/// What was found among the variables.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Each is an error.
    pub(super) problems: Vec<String>,
    /// Names under the program's prefix that are nothing to it.
    pub(super) unknown: Vec<String>,
}

/// Looks at every variable that is not one of this program's `names`, which are in the order of its `keys`.
pub(super) fn variables<'a>(
    env_prefix: &str,
    keys: &[&str],
    names: &[String],
    given: impl Iterator<Item = &'a str>,
) -> Found {
    let mut found = Found::default();
    let others: Vec<&Program> = PROGRAMS.iter().filter(|program| program.env_prefix != env_prefix).collect();
    for variable in given {
        // Several programs may be given one environment.
        let of_another = |program: &&Program| program.variable(&key(variable, program.env_prefix));
        let anothers = others.iter().find_map(of_another);
        if names.iter().any(|name| name == variable) || anothers.as_deref() == Some(variable) || is_left_alone(variable)
        {
            continue;
        }
        let own_key = key(variable, env_prefix);
        let renamed = keys.iter().position(|known| *known == own_key).map(|at| names[at].clone());
        if let Some(name) = renamed.or(anothers) {
            found.problems.push(format!("{variable} is not read: the variable is {name}"));
        } else if let Some((program, name)) =
            others.iter().find_map(|program| Some((program.name, program.variable(&own_key)?)))
        {
            found.problems.push(format!("{variable} is not read: this is a setting of {program}, as {name}"));
        } else if let Some(name) = nearest(variable, names.iter().map(String::as_str)) {
            found.problems.push(format!("{variable} is not a setting: is {name} meant?"));
        } else if variable.starts_with(env_prefix) {
            found.unknown.push(variable.to_owned());
        }
    }
    found
}

/// The key that a variable with this prefix would set; empty where it has another.
fn key(variable: &str, prefix: &str) -> String {
    variable.strip_prefix(prefix).map(str::to_ascii_lowercase).unwrap_or_default()
}

/// The known name that is closest, if it is close.
pub(super) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.map(|name| (strsim::osa_distance(given, name), name)).filter(|(away, _)| *away <= CLOSE).min().map(|it| it.1)
}

/// Kubernetes gives each process the addresses of all services around it, under the services' names.
fn is_left_alone(variable: &str) -> bool {
    TENANTS_OWN.contains(&variable)
        || variable.ends_with("_SERVICE_HOST")
        || variable.contains("_SERVICE_PORT")
        || variable.ends_with("_PORT")
        || variable.contains("_PORT_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(variable: &str) -> Found {
        let keys = ["listen", "max_things", "api_key", "api_key_file"];
        let names = ["THING_LISTEN", "THING_MAX_THINGS", "ADMIN_API_KEY", "ADMIN_API_KEY_FILE"].map(str::to_owned);
        variables("THING_", &keys, &names, [variable].into_iter())
    }

    #[test]
    fn a_variable_that_is_nearly_a_setting_is_an_error_that_names_it() {
        for (misspelt, meant) in [
            ("THING_LISTN", "THING_LISTEN"),
            ("THING_MAX_THIGNS", "THING_MAX_THINGS"),
            ("THING_MAXTHING", "THING_MAX_THINGS"),
            ("THING_MAX_SOCKETS", "GATEWAY_MAX_SOCKETS"),
            ("ADMIN_API_KYE", "ADMIN_API_KEY"),
            ("THING_API_KEY", "ADMIN_API_KEY"),
            ("CHAT_RELAY_API_KEY", "ADMIN_API_KEY"),
            ("GATEWAY_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
            ("THNIG_LISTEN", "THING_LISTEN"),
            ("THING_LISTEN_", "THING_LISTEN"),
            ("THING_LEASE_MS", "ADMIN_LEASE_MS"),
            ("ADMIN_API_KEYS", "ADMIN_API_KEY"),
            ("ADMIN_API_KEY_FLIE", "ADMIN_API_KEY_FILE"),
            ("CHAT_RELAY_API_KEY_FILE", "ADMIN_API_KEY_FILE"),
            ("THING_RELAY_SECRET_FILE", "GATEWAY_RELAY_SECRET_FILE"),
        ] {
            let found = look(misspelt);
            assert_eq!(found.problems.len(), 1, "{misspelt}: {found:?}");
            assert!(found.problems[0].contains(misspelt) && found.problems[0].contains(meant), "{found:?}");
        }
    }

    #[test]
    fn what_is_others_is_left_alone_and_what_is_nobodys_is_a_warning() {
        for alone in [
            "THING_LISTEN",
            "ADMIN_LEASE_MS",
            "ADMIN_API_KEY_FILE",
            "ADMIN_MASTER_KEYS_FILE",
            "CHAT_BACKEND_RELAY_SECRET_FILE",
            "ADMIN_SOMETHING_ELSE",
            "PATH",
            "THINGS",
            "CHAT_RELAY_BASE_URL",
            "CHAT_RELAY_TENANT_SECRET",
            "THING_SERVICE_HOST",
            "THING_SERVICE_PORT_GRPC",
            "THING_PORT",
            "THING_PORT_7811_TCP_ADDR",
        ] {
            assert_eq!(look(alone), Found::default(), "{alone}");
        }
        assert_eq!(look("THING_SOMETHING_ELSE").unknown, ["THING_SOMETHING_ELSE"]);
    }
}
