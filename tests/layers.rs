//! Holds the modules to the layer table of `ARCHITECTURE.md`: arrows point one way.
//!
//! Every `crate::module` path in `src/` (also inside `use crate::{…}`) must be allowed for the
//! module that the file belongs to, and `super::super` must not hide one.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ALL: &str = "model clock config stats exchange forecast diagnose advise store redis queue cache \
                   postgres host hook load fleet demo assets promql report work http cli";

const MAY_NAME: &[(&str, &str)] = &[
    ("model", ""),
    ("clock", "model"),
    ("config", "model"),
    ("stats", "model"),
    ("exchange", "model"),
    ("forecast", "model stats"),
    ("diagnose", "model stats"),
    ("advise", "model stats"),
    ("promql", "model stats"),
    ("store", "model stats"),
    ("redis", "model"),
    ("queue", "model clock stats store redis"),
    ("cache", "model clock stats redis"),
    ("postgres", "model advise"),
    ("host", "model"),
    ("hook", "model"),
    ("load", "model clock stats"),
    ("fleet", "model redis"),
    ("demo", "model clock"),
    ("assets", "model"),
    ("report", "model stats"),
    (
        "work",
        "model clock config stats exchange forecast diagnose advise store redis queue cache postgres \
         host hook load fleet demo assets promql report",
    ),
    (
        "http",
        "model clock config stats exchange store queue cache postgres assets report work",
    ),
    (
        "cli",
        "model config exchange store queue load assets report http work",
    ),
];

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The module of layer rank that a file belongs to: `src/store/wal.rs` and `src/store.rs` → `store`.
fn module_of(path: &Path, src: &Path) -> String {
    let inside = path.strip_prefix(src).unwrap();
    let first = inside
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The leading identifier of a path.
fn identifier(path: &str) -> String {
    path.trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The members of a `{…}` group whose opening brace is already taken, split at its own commas.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (1, 0, Vec::new());
    for (at, c) in group.char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 || (depth == 1 && c == ',') {
            found.push(&group[from..at]);
            from = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// Modules that a text names by `crate::name` or in a `crate::{a::…, b}` group, comments left out.
fn named(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text
        .lines()
        .map(|l| l.split("//").next().unwrap_or(""))
        .collect();
    let code = code.join("\n");
    let mut names = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            Some(group) => names.extend(members(group).into_iter().map(identifier)),
            None => _ = names.insert(identifier(part)),
        }
    }
    names.remove("");
    names
}

#[test]
fn modules_name_only_what_lies_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 5, "src/ was not found");
    let mut broken = Vec::new();
    for path in files {
        let module = module_of(&path, &src);
        let shown = path.strip_prefix(&src).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        if text.contains("super::super") {
            broken.push(format!("`{shown}` climbs with `super::super`"));
        }
        if module == "lib" || module == "main" {
            continue;
        }
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == module) else {
            broken.push(format!(
                "`{shown}`: module `{module}` is not in the layer table"
            ));
            continue;
        };
        for name in named(&text) {
            let known = ALL.split_whitespace().any(|m| m == name);
            if known && name != module && !allowed.split_whitespace().any(|m| m == name) {
                broken.push(format!("`{shown}` names `crate::{name}`"));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "the layer table is broken:\n{}",
        broken.join("\n")
    );
}

#[test]
fn grouped_and_plain_paths_are_both_seen() {
    let seen = named("use crate::{model::units, store::{History, wal}, http};\ncrate::cli::run()");
    let want = ["cli", "http", "model", "store"].map(str::to_owned);
    assert_eq!(seen, BTreeSet::from(want));
    assert!(named("// crate::work in a comment").is_empty());
}
