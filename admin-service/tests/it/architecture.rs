//! The rules of the house that a compiler does not know.

use std::{fs, path::Path};

fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.display().to_string(), fs::read_to_string(&path).expect("a source")));
        }
    }
    found
}

fn assert_none_of(folder: &str, forbidden: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let files = sources(&root.join(folder));
    assert!(!files.is_empty(), "{folder} has sources");
    for (path, text) in files {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for name in forbidden {
                assert!(!code.contains(name), "{path}:{}: {name} has no place in {folder}", number + 1);
            }
        }
    }
}

/// A reader keeps a file of this length in mind.
#[test]
fn source_files_have_at_most_400_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let crates = ["shared/wire", "shared/coherence", "shared/service", "shared/database", "admin-service"];
    let others = ["relay-gateway", "deploy/chat-backend", "deploy/standalone", "tests"];
    for folder in crates.into_iter().chain(others) {
        for (path, text) in sources(&root.join(folder).join("src")) {
            let lines = text.lines().count();
            assert!(lines <= 400, "{path} has {lines} lines: split it by concern");
        }
    }
}

#[test]
fn the_wire_and_the_protocol_know_no_server() {
    for folder in ["shared/wire/src", "shared/coherence/src"] {
        assert_none_of(folder, &["axum", "tonic::", "hyper", "tokio", "service::"]);
    }
}

#[test]
fn domains_know_no_frameworks() {
    let frameworks = ["axum", "tonic", "sea_orm", "hyper", "tokio::", "reqwest"];
    assert_none_of("admin-service/src/domain", &frameworks);
    assert_none_of("relay-gateway/src/domain", &frameworks);
}

#[test]
fn only_the_store_knows_the_database() {
    for folder in ["admin-service/src/domain", "admin-service/src/rest", "admin-service/src/grpc", "relay-gateway/src"]
    {
        assert_none_of(folder, &["sea_orm"]);
    }
}

#[test]
fn use_cases_know_no_edges() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for use_case in [
        "account_keys.rs",
        "bots.rs",
        "directory.rs",
        "logs.rs",
        "operators.rs",
        "signing_keys.rs",
        "tenants.rs",
        "tokens.rs",
        "visitors.rs",
        "widgets.rs",
    ] {
        let text = fs::read_to_string(root.join(use_case)).expect("a source");
        for name in ["axum", "tonic", "sea_orm", "crate::rest", "crate::grpc"] {
            assert!(!text.contains(name), "{name} has no place in {use_case}");
        }
    }
}
