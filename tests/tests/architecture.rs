//! The rules of the house that a compiler does not know: which folder may name which framework, and that files form no circles.

use std::fs;

use e2e::sources::{CRATES, Crate, root, sources};

/// A reader keeps a file of this length in mind.
const MOST_LINES: usize = 400;

/// Where a crate, or a type of one, may be named: in these folders, or files without their ending, and nowhere else. Each rule keeps
/// one concern behind one boundary: a framework that leaks out of its folder can no longer be replaced or tested apart.
const HOMES: [(&str, &[&str]); 8] = [
    (
        "axum",
        &[
            "shared/service/src",
            "admin-service/src/rest",
            "relay-gateway/src/ingress",
            "relay-gateway/src/server",
            "deploy/chat-backend/src",
            "deploy/standalone/src",
        ],
    ),
    (
        "tonic",
        &[
            "proto/src",
            "shared/service/src",
            "admin-service/src/grpc",
            "relay-gateway/src/admin",
            "deploy/standalone/src",
        ],
    ),
    ("proto", &["admin-service/src/grpc", "relay-gateway/src/admin", "deploy/standalone/src"]),
    ("prost_types", &["proto/src", "admin-service/src/grpc", "relay-gateway/src/admin"]),
    (
        "hyper",
        &[
            "shared/service/src",
            "admin-service/src/delivery",
            "relay-gateway/src/admin/tls",
            "relay-gateway/src/backend",
            "relay-gateway/src/ingress",
            "relay-gateway/src/sockets",
            "deploy/chat-backend/src/connector",
            "deploy/chat-backend/src/publisher",
            "deploy/chat-backend/src/files/s3",
        ],
    ),
    ("sea_orm", &["shared/database/src", "admin-service/src/store", "deploy/chat-backend/src"]),
    ("sqlx", &["shared/database/src", "admin-service/src/store", "deploy/chat-backend/src/store"]),
    (
        "moka",
        &[
            "admin-service/src",
            "relay-gateway/src/directory",
            "relay-gateway/src/ingress/tickets",
            "relay-gateway/src/limits",
        ],
    ),
];

#[test]
fn each_framework_stays_in_its_folders() {
    let mut wrong = Vec::new();
    for sources in CRATES.into_iter().map(Crate::read) {
        for (module, foreign) in &sources.foreign {
            let shown = sources.show(module);
            let is_in = |home: &&str| shown == format!("{home}.rs") || shown.starts_with(&format!("{home}/"));
            for (name, homes) in HOMES {
                // `hyper` stands for `hyper_util` too.
                let is_named =
                    foreign.first.iter().any(|first| first == name || first.starts_with(&format!("{name}_")));
                if is_named && !homes.iter().any(is_in) {
                    wrong.push(format!("{shown} names {name}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "these have other homes:\n{}", wrong.join("\n"));
}

/// Frameworks and servers, which neither a domain nor a pure crate knows.
const FRAMEWORKS: [&str; 9] = ["axum", "tonic", "hyper", "tokio", "sea_orm", "reqwest", "proto", "service", "moka"];

/// A domain is what a test can call with nothing running: it is told the time, and answers with values of its own.
#[test]
fn domains_and_pure_crates_know_no_framework_and_domains_no_clock_and_no_answers() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for sources in CRATES.into_iter().map(Crate::read) {
        for (module, foreign) in &sources.foreign {
            let shown = sources.show(module);
            let of_a_domain = ["ApiError", "HeaderMap", "SystemTime", "Instant"];
            let unknown = match shown.as_str() {
                path if path.contains("/src/domain") => [&FRAMEWORKS[..], &of_a_domain].concat(),
                path if path.starts_with("shared/wire/") || path.starts_with("shared/coherence/") => {
                    FRAMEWORKS.to_vec()
                }
                _ => continue,
            };
            seen += 1;
            let is_named = |name: &&str| {
                let of_its_family = format!("{name}_");
                foreign.all.contains(*name) || foreign.first.iter().any(|first| first.starts_with(&of_its_family))
            };
            let named = unknown.into_iter().filter(is_named);
            wrong.extend(named.map(|name| format!("{shown} names {name}")));
        }
    }
    assert!(seen > 30, "{seen} files");
    assert!(wrong.is_empty(), "a domain is called with values and answers with values:\n{}", wrong.join("\n"));
}

/// Use cases of the admin service are every file outside the edges, the store's inside and the composition root.
#[test]
fn use_cases_know_no_edges() {
    let sources = Crate::read("admin-service");
    // `refusals` gives errors of use cases their codes, and takes the advice of each edge.
    let outside = ["rest", "grpc", "refusals", "server", "main"];
    for (module, named) in &sources.names {
        if module.first().is_none_or(|first| outside.contains(&first.as_str())) {
            continue;
        }
        for name in named {
            let edge = name.first().is_some_and(|first| ["rest", "grpc"].contains(&first.as_str()));
            assert!(!edge, "{} imports {}", sources.show(module), sources.show(name));
        }
    }
}

/// What two files need of each other stands beside both, in a third: a reader then reads them one after the other.
#[test]
fn no_file_imports_its_parent() {
    let mut wrong = Vec::new();
    for folder in CRATES {
        let sources = Crate::read(folder);
        for (module, named) in &sources.names {
            let parents = named.iter().filter(|name| name.len() < module.len() && module.starts_with(name));
            wrong.extend(parents.map(|parent| format!("{} imports {}", sources.show(module), sources.show(parent))));
        }
    }
    assert!(wrong.is_empty(), "move what both need to a file beside them:\n{}", wrong.join("\n"));
}

#[test]
fn files_import_one_another_in_no_circle() {
    let mut wrong = Vec::new();
    for folder in CRATES {
        let sources = Crate::read(folder);
        for module in sources.names.keys() {
            if sources.reaches(module).contains(module) {
                wrong.push(sources.show(module));
            }
        }
    }
    assert!(wrong.is_empty(), "each of these files reaches itself through others' imports:\n{}", wrong.join("\n"));
}

/// A loader reads one section. What is longer reads several, and hides which settings belong together.
#[test]
fn loaders_of_configuration_have_at_most_40_lines() {
    let mut seen = 0;
    for folder in CRATES {
        for path in sources(&root().join(folder).join("src")) {
            let is_config =
                path.ends_with("config.rs") || path.parent().is_some_and(|parent| parent.ends_with("config"));
            if !is_config || path.ends_with("tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a source");
            let (mut begun, mut indent) = (None, "");
            for (number, line) in text.lines().enumerate() {
                let code = line.trim_start();
                let after_visibility = code.trim_start_matches("pub ").trim_start_matches("pub(super) ");
                if ["fn load", "fn read"].iter().any(|loader| after_visibility.starts_with(loader)) {
                    (begun, indent) = (Some(number), &line[..line.len() - code.len()]);
                } else if let Some(first) = begun.filter(|_| line.starts_with(indent) && line[indent.len()..] == *"}") {
                    begun = None;
                    seen += 1;
                    let lines = number - first + 1;
                    assert!(lines <= 40, "{}:{} has {lines} lines: cut it by section", path.display(), first + 1);
                }
            }
        }
    }
    assert!(seen > 15, "{seen} loaders");
}

#[test]
fn source_files_have_at_most_400_lines() {
    for folder in CRATES.into_iter().chain(["tests"]) {
        for path in sources(&root().join(folder).join("src")) {
            let lines = fs::read_to_string(&path).expect("a source").lines().count();
            assert!(lines <= MOST_LINES, "{} has {lines} lines: split it by concern", path.display());
        }
    }
}

/// Asserts that no source of the gateway that `is_bound` picks has any of these in its code. Comments may name them.
fn assert_none_has(names: &[&str], is_bound: impl Fn(&str) -> bool) {
    let source = root().join("relay-gateway/src");
    let mut seen = 0;
    for path in sources(&source) {
        let file = path.strip_prefix(&source).expect("a source").display().to_string();
        if !is_bound(&file) {
            continue;
        }
        seen += 1;
        let text = fs::read_to_string(&path).expect("a source");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let named = names.iter().find(|name| code.contains(**name));
            assert!(named.is_none(), "{}:{}: {named:?} has no place here", path.display(), number + 1);
        }
    }
    assert!(seen > 0, "the rule is about some files");
}

/// Only the directory knows for how long its answers may be used. Another file that decided it could use an answer too long.
#[test]
fn leases_are_the_directorys_business_alone() {
    assert_none_has(&["Lease", "lease.", "lease("], |file| {
        !["directory", "admin", "config"].iter().any(|folder| file.starts_with(folder))
    });
}

/// Operators will hold sockets as visitors do.
#[test]
fn sockets_are_moved_and_closed_without_knowing_whose_they_are() {
    let of_any_participant = ["accept.rs", "changes.rs", "close.rs", "participant.rs", "pump.rs", "registry.rs"];
    assert_none_has(&["isitor", "idget", "evoked", "domain::"], |file| {
        file.strip_prefix("sockets/").is_some_and(|file| of_any_participant.contains(&file))
    });
}

/// A profile inherits what the one before it says of a package, and `dist` must not be built like a first try.
#[test]
fn dist_says_of_every_package_what_release_says_of_it() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's manifest");
    let packages = |profile: &str| -> Vec<String> {
        let (_, section) = manifest.split_once(&format!("[profile.{profile}.package]\n")).expect("a section");
        let lines = section.lines().take_while(|line| !line.starts_with('['));
        lines.filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect()
    };
    let (release, dist) = (packages("release"), packages("dist"));
    assert!(release.len() > 10, "{release:?}");
    let inherited: Vec<_> = release.iter().filter(|package| !dist.contains(package)).collect();
    assert!(inherited.is_empty(), "name these in profile.dist.package: {inherited:?}");
}
