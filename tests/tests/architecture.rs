//! The rules of the house that a compiler does not know: which folder may name which framework, and that files form no circles.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{ItemMod, ItemUse, UseTree, visit::Visit};

/// Every crate of the workspace.
const CRATES: [&str; 9] = [
    "proto",
    "shared/wire",
    "shared/coherence",
    "shared/service",
    "shared/database",
    "admin-service",
    "relay-gateway",
    "deploy/chat-backend",
    "deploy/standalone",
];

/// A reader keeps a file of this length in mind.
const MOST_LINES: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A module's path within its crate; the root's is empty.
type Module = Vec<String>;

/// The files of one crate, and which modules each file names.
struct Crate {
    files: BTreeMap<Module, PathBuf>,
    names: BTreeMap<Module, BTreeSet<Module>>,
    foreign: BTreeMap<Module, Foreign>,
}

impl Crate {
    fn read(folder: &str) -> Self {
        let source = root().join(folder).join("src");
        let module = |path: &Path| -> Module {
            let inside = path.strip_prefix(&source).expect("a source").with_extension("");
            let names: Module = inside.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            if matches!(names.last().map(String::as_str), Some("lib" | "main")) && names.len() == 1 {
                Vec::new()
            } else {
                names
            }
        };
        let paths = sources(&source);
        // `main.rs` beside a library is a crate of its own, which only starts the library.
        let has_library = paths.iter().any(|path| path.ends_with("src/lib.rs"));
        let paths = paths.into_iter().filter(|path| !(has_library && path.ends_with("src/main.rs")));
        // Tests stand beside what they test, and import it.
        let paths = paths.filter(|path| !path.ends_with("tests.rs"));
        let files: BTreeMap<_, _> = paths.map(|path| (module(&path), path)).collect();
        let (mut names, mut foreign) = (BTreeMap::new(), BTreeMap::new());
        for (module, path) in &files {
            let (own, others) = names_in(module, path, &files);
            names.insert(module.clone(), own);
            foreign.insert(module.clone(), others);
        }
        Self { files, names, foreign }
    }

    /// Every module that this one names, and what those name in turn.
    fn reaches(&self, module: &Module) -> BTreeSet<&Module> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<_> = self.names[module].iter().collect();
        while let Some(named) = next.pop() {
            if reached.insert(named) {
                next.extend(&self.names[named]);
            }
        }
        reached
    }

    fn show(&self, module: &Module) -> String {
        let path = self.files[module].strip_prefix(root()).expect("in the workspace");
        path.display().to_string()
    }
}

/// Which modules of its own crate a file names, in `use` lines and elsewhere, and which other crates.
fn names_in(module: &Module, path: &Path, files: &BTreeMap<Module, PathBuf>) -> (BTreeSet<Module>, Foreign) {
    let text = fs::read_to_string(path).expect("a source");
    let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut names = Names { module, files, inline: Vec::new(), found: BTreeSet::new(), foreign: Foreign::default() };
    names.visit_file(&file);
    (names.found, names.foreign)
}

/// The names in paths that begin in no module of the file's crate.
#[derive(Default)]
struct Foreign {
    /// The first names: other crates, and types.
    first: BTreeSet<String>,
    /// All names.
    all: BTreeSet<String>,
}

struct Names<'a> {
    module: &'a Module,
    files: &'a BTreeMap<Module, PathBuf>,
    /// The modules that are open within the file.
    inline: Vec<String>,
    found: BTreeSet<Module>,
    foreign: Foreign,
}

impl Names<'_> {
    /// Notes the file that a path leads into, where the path leads into this crate.
    fn note(&mut self, path: &[String]) {
        let Some(first) = path.first() else { return };
        let mut here: Module = self.module.iter().chain(&self.inline).cloned().collect();
        let mut rest = path;
        match first.as_str() {
            "crate" => (here, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while let Some((_, after)) = rest.split_first().filter(|(name, _)| *name == "super") {
                    here.pop();
                    rest = after;
                }
            }
            // A name without a beginning is a child's, or it is none of this crate's modules.
            name => {
                let mut child = here.clone();
                child.push(name.to_owned());
                if !self.files.contains_key(&child) {
                    self.foreign.first.insert(name.to_owned());
                    self.foreign.all.extend(path.iter().cloned());
                    return;
                }
            }
        }
        let mut full = here;
        full.extend(rest.iter().cloned());
        while !self.files.contains_key(&full) {
            full.pop();
        }
        if full != *self.module {
            self.found.insert(full);
        }
    }

    fn walk(&mut self, tree: &UseTree, before: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.walk(&path.tree, before);
                before.pop();
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                let is_self = name == "self";
                before.extend((!is_self).then_some(name));
                self.note(before);
                if !is_self {
                    before.pop();
                }
            }
            UseTree::Rename(rename) => {
                before.push(rename.ident.to_string());
                self.note(before);
                before.pop();
            }
            UseTree::Glob(_) => self.note(before),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.walk(item, before)),
        }
    }
}

fn is_for_tests(item: &ItemMod) -> bool {
    item.attrs.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
    })
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_for_tests(item) {
            self.inline.push(item.ident.to_string());
            syn::visit::visit_item_mod(self, item);
            self.inline.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.walk(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.note(&names);
        }
        syn::visit::visit_path(self, path);
    }
}

/// Where a crate, or a type of one, may be named: in these folders, or files without their ending, and nowhere else. Each rule keeps
/// one concern behind one boundary: a framework that leaks out of its folder can no longer be replaced or tested apart.
const HOMES: [(&str, &[&str]); 7] = [
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
    (
        "hyper",
        &["shared/service/src", "relay-gateway/src/backend", "relay-gateway/src/ingress", "relay-gateway/src/sockets"],
    ),
    ("sea_orm", &["shared/database/src", "admin-service/src/store", "deploy/chat-backend/src"]),
    ("sqlx", &["shared/database/src", "admin-service/src/store"]),
    ("moka", &["admin-service/src", "relay-gateway/src/directory", "relay-gateway/src/limits"]),
];

#[test]
fn each_framework_stays_in_its_folders() {
    let mut wrong = Vec::new();
    for sources in CRATES.into_iter().map(Crate::read) {
        for (module, foreign) in &sources.foreign {
            let shown = sources.show(module);
            let is_in = |home: &&str| shown == format!("{home}.rs") || shown.starts_with(&format!("{home}/"));
            for (name, homes) in HOMES {
                if foreign.first.contains(name) && !homes.iter().any(|home| is_in(&home)) {
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
            let named = unknown.into_iter().filter(|name| foreign.all.contains(*name));
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
