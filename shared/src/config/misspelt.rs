//! Settings that nobody reads: a misspelt one must not be without effect in silence.

use super::{Sibling, Spec};

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

/// Looks at every variable that is not one of the program's `keys`.
pub(super) fn variables<'a>(
    spec: Spec,
    keys: &[&str],
    names: &[String],
    given: impl Iterator<Item = &'a str>,
) -> Found {
    let mut found = Found::default();
    for variable in given {
        if names.iter().any(|name| name == variable) || is_left_alone(variable) || is_siblings(spec.siblings, variable)
        {
            continue;
        }
        let own = variable.strip_prefix(spec.env_prefix);
        if own.is_none() && !spec.siblings.iter().any(|sibling| variable.starts_with(sibling.env_prefix)) {
            continue;
        }
        let key = own.map(str::to_ascii_lowercase);
        let renamed = key.as_deref().and_then(|key| keys.iter().position(|known| *known == key)).map(|at| &names[at]);
        let elsewhere = key.as_deref().and_then(|key| sibling_with(spec.siblings, key));
        if let Some(name) = renamed {
            found.problems.push(format!("{variable} is not read: the variable is {name}"));
        } else if let Some((sibling, name)) = elsewhere {
            found.problems.push(format!("{variable} is not read: this is a setting of {}, as {name}", sibling.program));
        } else if let Some(name) = nearest(variable, names.iter().map(String::as_str)) {
            found.problems.push(format!("{variable} is not a setting: is {name} meant?"));
        } else if own.is_some() {
            found.unknown.push(variable.to_owned());
        }
    }
    found
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

/// Whether it is a sibling's variable: several programs may be given one environment.
fn is_siblings(siblings: &[Sibling], variable: &str) -> bool {
    siblings.iter().any(|sibling| {
        let key = variable.strip_prefix(sibling.env_prefix).map(str::to_ascii_lowercase);
        key.is_some_and(|key| sibling.keys().any(|known| known == key))
    })
}

fn sibling_with(siblings: &[Sibling], key: &str) -> Option<(Sibling, String)> {
    let sibling = siblings.iter().find(|sibling| sibling.keys().any(|known| known == key))?;
    Some((*sibling, format!("{}{}", sibling.env_prefix, key.to_ascii_uppercase())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: Spec = Spec {
        program: "thing",
        about: "A thing.",
        env_prefix: "THING_",
        env_names: &[("api_key", "ADMIN_API_KEY")],
        defaults: "listen = \"\"\nmax_sockets = 3\napi_key = \"\"\n",
        secrets: &["api_key"],
        siblings: &[Sibling { program: "admin", env_prefix: "ADMIN_", defaults: "api_key = \"\"\nlease_ms = 1\n" }],
    };

    fn look(variable: &str) -> Found {
        let keys = ["listen", "max_sockets", "api_key"];
        let names = ["THING_LISTEN", "THING_MAX_SOCKETS", "ADMIN_API_KEY"].map(str::to_owned);
        variables(SPEC, &keys, &names, [variable].into_iter())
    }

    #[test]
    fn a_variable_that_is_nearly_a_setting_is_an_error_that_names_it() {
        for (misspelt, meant) in [
            ("THING_LISTN", "THING_LISTEN"),
            ("THING_MAX_SOKETS", "THING_MAX_SOCKETS"),
            ("THING_MAXSOCKET", "THING_MAX_SOCKETS"),
            ("ADMIN_API_KYE", "ADMIN_API_KEY"),
            ("THING_API_KEY", "ADMIN_API_KEY"),
            ("THING_LEASE_MS", "ADMIN_LEASE_MS"),
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
