//! Reads the sources of every crate, and finds which files and crates each file names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{ItemMod, ItemUse, UseTree, visit::Visit};

/// Every crate of the workspace.
pub const CRATES: [&str; 9] = [
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

/// The workspace.
///
/// # Panics
/// Never: this crate is in it.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every Rust source below a folder.
///
/// # Panics
/// Where the folder cannot be read.
#[must_use]
pub fn sources(folder: &Path) -> Vec<PathBuf> {
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
pub type Module = Vec<String>;

/// The files of one crate, and which modules each file names.
#[derive(Debug)]
pub struct Crate {
    files: BTreeMap<Module, PathBuf>,
    /// Which modules of its own crate each file names.
    pub names: BTreeMap<Module, BTreeSet<Module>>,
    /// Which other crates and types each file names.
    pub foreign: BTreeMap<Module, Foreign>,
}

impl Crate {
    /// Reads the sources of the crate in this folder.
    ///
    /// # Panics
    /// Where a source cannot be read.
    #[must_use]
    pub fn read(folder: &str) -> Self {
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
    #[must_use]
    pub fn reaches(&self, module: &Module) -> BTreeSet<&Module> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<_> = self.names[module].iter().collect();
        while let Some(named) = next.pop() {
            if reached.insert(named) {
                next.extend(&self.names[named]);
            }
        }
        reached
    }

    /// The path of a module's file within the workspace.
    ///
    /// # Panics
    /// Where the crate has no such module.
    #[must_use]
    pub fn show(&self, module: &Module) -> String {
        let path = self.files[module].strip_prefix(root()).expect("in the workspace");
        path.display().to_string()
    }
}

/// Which modules of its own crate a file names, in `use` lines and elsewhere, and which other crates.
fn names_in(module: &Module, path: &Path, files: &BTreeMap<Module, PathBuf>) -> (BTreeSet<Module>, Foreign) {
    let text = fs::read_to_string(path).expect("a source");
    let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut names = Names {
        module,
        files,
        inline: Vec::new(),
        found: BTreeSet::new(),
        foreign: Foreign::default(),
        imported: BTreeMap::new(),
    };
    names.visit_file(&file);
    (names.found, names.foreign)
}

/// The names in paths that begin in no module of the file's crate.
#[derive(Debug, Default)]
pub struct Foreign {
    /// The first names: other crates, and types.
    pub first: BTreeSet<String>,
    /// All names.
    pub all: BTreeSet<String>,
}

struct Names<'a> {
    module: &'a Module,
    files: &'a BTreeMap<Module, PathBuf>,
    /// The modules that are open within the file.
    inline: Vec<String>,
    found: BTreeSet<Module>,
    foreign: Foreign,
    /// What `use` lines of this crate's own modules bring in, by the name that the file uses.
    imported: BTreeMap<String, Vec<String>>,
}

impl Names<'_> {
    /// Notes the file that a path leads into, if the path leads into this crate.
    fn note(&mut self, path: &[String]) {
        let Some(first) = path.first() else { return };
        // A module that a `use` line has brought in: the path goes on from there.
        if path.len() > 1
            && let Some(imported) = self.imported.get(first)
        {
            let whole: Vec<_> = imported.iter().chain(&path[1..]).cloned().collect();
            return self.note(&whole);
        }
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

    fn bring_in(&mut self, name: &str, path: &[String]) {
        self.note(path);
        if matches!(path[0].as_str(), "crate" | "self" | "super") && name != path[0] {
            self.imported.insert(name.to_owned(), path.to_vec());
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
                before.extend((!is_self).then(|| name.clone()));
                let brought_in = if is_self { before.last().cloned().unwrap_or_default() } else { name };
                self.bring_in(&brought_in, before);
                if !is_self {
                    before.pop();
                }
            }
            UseTree::Rename(rename) => {
                before.push(rename.ident.to_string());
                self.bring_in(&rename.rename.to_string(), before);
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

    /// A macro's call is not parsed: its tokens are read for paths.
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let tokens = call.tokens.to_string();
        let mut path: Vec<String> = Vec::new();
        let mut goes_on = false;
        for token in tokens.split_whitespace() {
            let is_name = token.chars().all(|character| character.is_alphanumeric() || character == '_');
            match token {
                "::" => goes_on = !path.is_empty(),
                name if is_name && goes_on => {
                    path.push(name.to_owned());
                    goes_on = false;
                }
                name => {
                    if path.len() > 1 {
                        self.note(&path);
                    }
                    path = if is_name { vec![name.to_owned()] } else { Vec::new() };
                    goes_on = false;
                }
            }
        }
        if path.len() > 1 {
            self.note(&path);
        }
        syn::visit::visit_macro(self, call);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.note(&names);
        }
        syn::visit::visit_path(self, path);
    }
}
