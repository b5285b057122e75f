//! Dependencies point one way: fails on an arrow that the design forbids.
//!
//! Read from the source, tests left out: every `crate::a::b` names what a file uses. What is not
//! listed for a module is forbidden, so that a new module has to say whom it may know.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, not only what carries the attribute"
)]

use std::path::{Path, PathBuf};

/// Whom each module may know, beside itself. `app` may know all.
const ARROWS: &[(&str, &[&str])] = &[
    ("task", &[]),
    ("jobs", &[]),
    ("shutdown", &[]),
    ("secret", &["task"]),
    ("sandbox", &["task", "jobs"]),
    ("forge", &["task", "secret"]),
    ("metrics", &["task", "sandbox"]),
    ("store", &["task", "jobs"]),
    ("model", &["task", "secret"]),
    ("agent", &["task", "secret", "model", "sandbox"]),
    (
        "orchestrator",
        &[
            "task", "secret", "jobs", "metrics", "agent", "model", "sandbox", "forge", "store",
        ],
    ),
    ("api", &["task", "secret", "jobs", "orchestrator", "store"]),
    ("config", &["task", "secret", "sandbox", "forge", "api"]),
    ("telemetry", &["config", "secret"]),
    ("doctor", &["app", "config", "jobs"]),
    ("tokens", &["api"]),
];

/// Adapters and what only their own module and `app` may call them by.
const ADAPTERS: &[&str] = &[
    "forge::local",
    "forge::github",
    "model::anthropic",
    "model::openai_chat",
    "model::openai_responses",
    "model::scripted",
    "sandbox::docker",
    "sandbox::local",
    "store::sqlite",
];

/// Returns the source files of the server, as paths in `src`.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// Returns what a file uses, as `module` or `module::part`; its tests and comments left out.
fn uses(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut all = Vec::new();
    for (at, marker) in code.match_indices("crate::") {
        // `$crate::` and `some_crate::` are not this crate's root.
        let is_root = !code[..at].ends_with(|before: char| before == '$' || before == '_' || before.is_alphanumeric());
        if is_root {
            all.extend(expand(&code[at + marker.len()..]));
        }
    }
    all
}

/// Reads `a::b…`, `{a::b, c}` and `a::{b, c}` to two names deep.
fn expand(path: &str) -> Vec<String> {
    if let Some(group) = path.strip_prefix('{') {
        return members(group).iter().flat_map(|member| expand(member)).collect();
    }
    let module = name(path);
    match path[module.len()..].strip_prefix("::") {
        None => vec![module.to_owned()],
        Some(rest) => match rest.strip_prefix('{') {
            None => vec![format!("{module}::{}", name(rest))],
            Some(group) => members(group)
                .iter()
                .map(|member| format!("{module}::{}", name(member)))
                .collect(),
        },
    }
}

fn name(path: &str) -> &str {
    let end = path.find(|character: char| character != '_' && !character.is_alphanumeric());
    &path[..end.unwrap_or(path.len())]
}

/// Splits a group at its own commas, up to its own brace.
fn members(group: &str) -> Vec<String> {
    let (mut depth, mut all, mut member) = (0, Vec::new(), String::new());
    for character in group.chars() {
        match character {
            '}' if depth == 0 => break,
            ',' if depth == 0 => all.push(std::mem::take(&mut member)),
            _ => {
                depth += i32::from(character == '{') - i32::from(character == '}');
                member.push(character);
            }
        }
    }
    all.push(member);
    let trimmed = all.iter().map(|member| member.trim().to_owned());
    trimmed.filter(|member| !member.is_empty()).collect()
}

/// Returns every arrow of a file that is forbidden.
fn forbidden(file: &str, text: &str) -> Vec<String> {
    let module = file.split(['/', '.']).next().unwrap_or_default();
    if matches!(module, "app" | "lib" | "main") || file.ends_with("/tests.rs") || file.contains("/tests/") {
        return Vec::new();
    }
    let Some((_, known)) = ARROWS.iter().find(|(name, _)| *name == module) else {
        return vec![format!(
            "{file}: module {module} is not in ARROWS; say there whom it may know"
        )];
    };
    let mut found = Vec::new();
    for used in uses(text) {
        let target = name(&used);
        if target == module {
            continue;
        }
        if !known.contains(&target) {
            found.push(format!("{file}: {module} must not know {used}"));
        } else if ADAPTERS.contains(&used.as_str()) {
            found.push(format!("{file}: only app names the adapter {used}"));
        }
    }
    found
}

#[test]
fn every_dependency_points_the_way_the_design_says() {
    let sources = sources();
    assert!(sources.len() > 100, "only {} files were found", sources.len());
    let all: Vec<_> = sources.iter().flat_map(|(file, text)| forbidden(file, text)).collect();
    assert!(all.is_empty(), "{all:#?}");
    let crossings = sources.iter().map(|(_, text)| uses(text).len()).sum::<usize>();
    assert!(crossings > 500, "only {crossings} uses were read");
}

#[test]
fn each_kind_of_forbidden_arrow_is_found() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "task/spec.rs",
            "use crate::store::TaskStore;",
            &["task/spec.rs: task must not know store::TaskStore"],
        ),
        (
            "forge/git.rs",
            "use crate::{task::id::TaskId, sandbox::{Sandbox, local::X}};",
            &[
                "forge/git.rs: forge must not know sandbox::Sandbox",
                "forge/git.rs: forge must not know sandbox::local",
            ],
        ),
        (
            "sandbox.rs",
            "fn f() { crate::orchestrator::run() }",
            &["sandbox.rs: sandbox must not know orchestrator::run"],
        ),
        (
            "orchestrator/run.rs",
            "use crate::store::{Claim, sqlite::SqliteStore};",
            &["orchestrator/run.rs: only app names the adapter store::sqlite"],
        ),
        (
            "new.rs",
            "",
            &["new.rs: module new is not in ARROWS; say there whom it may know"],
        ),
        (
            "api/edge.rs",
            "pub(crate) use crate::task::id::TaskId; use other_crate::forge::X;",
            &[],
        ),
        (
            "agent.rs",
            "// crate::forge\n#[cfg(test)]\nmod tests {\n    use crate::forge::Forge;\n}",
            &[],
        ),
        ("app.rs", "use crate::store::sqlite::SqliteStore;", &[]),
    ];
    for (file, text, expected) in cases {
        assert_eq!(forbidden(file, text), *expected, "{file}");
    }
}
