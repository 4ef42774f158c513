//! The rules of this crate that a compiler does not know. Those of all crates are in `tests/tests/architecture.rs`.

use std::{fs, path::Path};

/// Every source file below `src`, as its path there and its text without comments.
fn sources() -> Vec<(String, String)> {
    fn collect(folder: &Path, root: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
                let name = path.strip_prefix(root).expect("below src").display().to_string();
                found.push((name, code.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    let (root, mut found) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), Vec::new());
    collect(&root, &root, &mut found);
    found
}

/// That none of the files which `is_bound` picks names any of these.
fn assert_none_names(names: &[&str], is_bound: impl Fn(&str) -> bool) {
    let bound: Vec<_> = sources().into_iter().filter(|(file, _)| is_bound(file)).collect();
    assert!(!bound.is_empty(), "the rule is about some files");
    for (file, code) in bound {
        for name in names {
            assert!(!code.contains(name), "{name} has no place in src/{file}");
        }
    }
}

#[test]
fn leases_are_the_directorys_business_alone() {
    assert_none_names(&["Lease", "lease.", "lease("], |file| {
        !file.starts_with("directory") && !file.starts_with("admin") && !file.starts_with("config")
    });
}

#[test]
fn sockets_are_moved_and_closed_without_knowing_whose_they_are() {
    let any_participants = ["accept.rs", "changes.rs", "close.rs", "participant.rs", "pump.rs", "registry.rs"];
    assert_none_names(&["isitor", "idget", "evoked", "domain::"], |file| {
        file.strip_prefix("sockets/").is_some_and(|file| any_participants.contains(&file))
    });
}
