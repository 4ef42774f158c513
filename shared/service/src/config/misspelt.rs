//! Settings that nobody reads: a misspelt one must not be without effect in silence.

use super::{
    programs::{PROGRAMS, Program},
    spec::Part,
};

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
    /// Variables that a part reads when it runs by itself. Each becomes a warning that names the variable to set here.
    pub(super) foreign: Vec<String>,
}

/// Looks at every variable that is not one of this program's `names`, which are in the order of its `keys`.
pub(super) fn variables<'a>(
    env_prefix: &str,
    parts: &[Part],
    keys: &[&str],
    names: &[String],
    given: impl Iterator<Item = &'a str>,
) -> Found {
    let mut found = Found::default();
    let given: Vec<&str> = given.collect();
    let others: Vec<&Program> = PROGRAMS.iter().filter(|program| program.env_prefix != env_prefix).collect();
    let own_name = |wanted: &str| keys.iter().position(|known| *known == wanted).map(|at| names[at].as_str());
    for &variable in &given {
        // Several programs may be given one environment.
        let of_another = |program: &&Program| program.variable(&key(variable, program.env_prefix));
        let anothers = others.iter().find_map(of_another);
        if anothers.as_deref() == Some(variable) && names.iter().all(|name| name != variable) {
            let told = of_part(variable, parts, own_name);
            // Where both are set, one environment serves several deployments.
            let told = told.filter(|(_, here)| !here.is_some_and(|here| given.contains(&here)));
            found.foreign.extend(told.map(|(text, _)| text));
        }
        if names.iter().any(|name| name == variable) || anothers.as_deref() == Some(variable) || is_left_alone(variable)
        {
            continue;
        }
        let own_key = key(variable, env_prefix);
        let renamed = own_name(&own_key).map(str::to_owned);
        // Another program's prefix within one's own: CHAT_RELAY_ADMIN_LEASE_MS.
        let within = || {
            let (part, inner) =
                parts.iter().find_map(|part| Some((part, without_prefix(&own_key, part.env_prefix)?)))?;
            if part.takes(inner) { own_name(inner).map(str::to_owned) } else { None }
        };
        if let Some(name) = renamed.or(anothers).or_else(within) {
            found.problems.push(format!("{variable} is not read: the variable is {name}"));
        } else if let Some(reason) = parts.iter().find_map(|part| part.why_not(&own_key)) {
            found.problems.push(format!("{variable} is not a setting here: {reason}"));
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

/// What to say of a variable that a part reads when it runs by itself, and the variable that sets the same here.
fn of_part<'a>(
    variable: &str,
    parts: &[Part],
    own_name: impl Fn(&str) -> Option<&'a str>,
) -> Option<(String, Option<&'a str>)> {
    let part = parts.iter().find(|part| variable.starts_with(part.env_prefix))?;
    let key = key(variable, part.env_prefix);
    let here = if part.takes(&key) { own_name(&key) } else { None };
    let told = match (here, part.why_not(&key)) {
        (Some(here), _) => format!("{variable} is not read: {} in one process reads {here}", part.program),
        (None, Some(reason)) => format!("{variable} is not read, and is not a setting here: {reason}"),
        (None, None) => return None,
    };
    Some((told, here))
}

/// The rest of a key that begins with a prefix of variables.
fn without_prefix<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    key.strip_prefix(prefix.to_ascii_lowercase().as_str())
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
    use super::{super::programs::IN_ONE_PROCESS, *};

    fn look(variable: &str) -> Found {
        let keys = ["listen", "max_things", "api_key", "api_key_file"];
        let names = ["THING_LISTEN", "THING_MAX_THINGS", "ADMIN_API_KEY", "ADMIN_API_KEY_FILE"].map(str::to_owned);
        variables("THING_", &[], &keys, &names, [variable].into_iter())
    }

    /// What the one process, which has parts, makes of them.
    fn look_in_one_process(given: &[&str]) -> Found {
        let program = PROGRAMS.iter().find(|program| program.env_prefix == "CHAT_RELAY_").expect("it is listed");
        let keys = crate::config::spec::all_keys(program.defaults, &IN_ONE_PROCESS);
        let names: Vec<_> = keys.iter().map(|(key, _)| program.variable(key).expect("its own")).collect();
        let keys: Vec<_> = keys.iter().map(|(key, _)| key.as_str()).collect();
        variables("CHAT_RELAY_", &IN_ONE_PROCESS, &keys, &names, given.iter().copied())
    }

    #[test]
    fn one_process_tells_the_names_its_parts_have_elsewhere() {
        for (elsewhere, here) in [
            ("GATEWAY_MAX_SOCKETS", "CHAT_RELAY_MAX_SOCKETS"),
            ("ADMIN_LEASE_MS", "CHAT_RELAY_LEASE_MS"),
            ("GATEWAY_LISTEN", "CHAT_RELAY_LISTEN"),
            ("ADMIN_REST_LISTEN", "admin_listen"),
            ("GATEWAY_THREADS", "one runtime"),
            ("GATEWAY_RELAY_SECRET_FILE", "CHAT_RELAY_RELAY_SECRET_FILE"),
            ("GATEWAY_ADMIN_GRPC_TOKEN_FILE", "grpc_token_file"),
        ] {
            let found = look_in_one_process(&[elsewhere]);
            assert_eq!((found.problems.len(), found.foreign.len()), (0, 1), "{elsewhere}: {found:?}");
            assert!(found.foreign[0].contains(elsewhere) && found.foreign[0].contains(here), "{found:?}");
        }
        let both = look_in_one_process(&["GATEWAY_MAX_SOCKETS", "CHAT_RELAY_MAX_SOCKETS", "ADMIN_API_KEY"]);
        assert_eq!(both, Found::default(), "one environment for several deployments");
        for (wrong, told) in [
            ("CHAT_RELAY_API_KEY", "ADMIN_API_KEY"),
            ("CHAT_RELAY_API_KEY_FILE", "ADMIN_API_KEY_FILE"),
            ("CHAT_RELAY_ADMIN_API_KEY", "ADMIN_API_KEY"),
            ("CHAT_RELAY_ADMIN_API_KEY_FILE", "ADMIN_API_KEY_FILE"),
            ("CHAT_RELAY_GATEWAY_MAX_SOCKETS", "CHAT_RELAY_MAX_SOCKETS"),
            ("CHAT_RELAY_THREADS", "one runtime"),
            ("CHAT_RELAY_REST_LISTEN", "admin_listen"),
            ("CHAT_RELAY_MAX_SOCKET", "CHAT_RELAY_MAX_SOCKETS"),
        ] {
            let found = look_in_one_process(&[wrong]);
            assert_eq!(found.problems.len(), 1, "{wrong}: {found:?}");
            assert!(found.problems[0].contains(wrong) && found.problems[0].contains(told), "{found:?}");
        }
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
