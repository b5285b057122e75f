//! Commands that a repository's CI runs, as a last hint.
//!
//! Not a YAML reader: one-line commands whose first words are those of a known test tool are taken, all
//! else is passed over. What is guessed here is run in the sandbox like any other command.

use super::tree::{TreeError, TreeListing};

const MAX_FILES: usize = 10;
const MAX_FILE_BYTES: usize = 128 * 1024;
const MAX_COMMAND_BYTES: usize = 200;

/// How commands begin that check something.
const CHECKS: [&str; 24] = [
    "make test",
    "make check",
    "just test",
    "task test",
    "npm test",
    "npm run test",
    "pnpm test",
    "pnpm run test",
    "yarn test",
    "cargo test",
    "cargo nextest",
    "go test",
    "pytest",
    "python -m pytest",
    "python3 -m pytest",
    "python -m unittest",
    "python3 -m unittest",
    "uv run pytest",
    "poetry run pytest",
    "bundle exec",
    "dotnet test",
    "bats ",
    "bazel test",
    "prove ",
];

/// Returns the commands, in the order of the files.
pub(super) async fn commands(tree: &TreeListing<'_>) -> Result<Vec<String>, TreeError> {
    let is_ci = |path: &&String| {
        let is_yaml = path.ends_with(".yml") || path.ends_with(".yaml");
        is_yaml
            && (path.starts_with(".github/workflows/")
                || path.starts_with(".gitlab-ci")
                || path.starts_with(".circleci/")
                || matches!(
                    path.as_str(),
                    ".travis.yml" | "azure-pipelines.yml" | "bitbucket-pipelines.yml"
                ))
    };
    let mut found: Vec<String> = Vec::new();
    for path in tree.paths().iter().filter(is_ci).take(MAX_FILES) {
        let text = tree.text(path, MAX_FILE_BYTES).await?.unwrap_or_default();
        for command in text.lines().filter_map(check) {
            if !found.contains(&command) {
                found.push(command);
            }
        }
    }
    Ok(found)
}

/// Returns the command of a line, when it checks something and stands alone.
fn check(line: &str) -> Option<String> {
    let line = line.trim().trim_start_matches("- ").trim_start();
    let line = ["run:", "script:", "command:"]
        .iter()
        .find_map(|key| line.strip_prefix(key))
        .unwrap_or(line);
    let command = line.trim().trim_matches(['"', '\'']);
    let is_check = CHECKS
        .iter()
        .any(|check| command == check.trim_end() || command.starts_with(&format!("{} ", check.trim_end())));
    let stands_alone =
        !command.contains("${{") && !command.ends_with(['\\', '|']) && command.len() <= MAX_COMMAND_BYTES;
    (is_check && stands_alone).then(|| command.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_line_checks_are_taken() {
        for (line, right) in [
            ("      - run: cargo test --all", Some("cargo test --all")),
            ("    - pytest -q", Some("pytest -q")),
            ("        \"go test ./...\"", Some("go test ./...")),
            ("run: cargo test --features ${{ matrix.features }}", None),
            ("run: cargo test \\", None),
            ("run: npm ci", None),
            ("name: go tests", None),
            ("run: pytester", None),
        ] {
            assert_eq!(check(line).as_deref(), right, "{line}");
        }
    }
}
