//! The commands that check a repository, when it does not state them itself.
//!
//! What the repository's people type comes first (a Makefile's targets), then its ecosystems, then what
//! its CI runs. Sub-folders are looked at only when the root has nothing. A wrong guess is not harmful: a
//! command that fails on the base too proves nothing and blames nobody.

use super::ci;
use super::ecosystem::{self, Folder};
use super::tree::{TreeError, TreeListing};

const MAX_COMMANDS: usize = 8;
const MAX_FOLDERS: usize = 4;
const MAX_DEPTH: usize = 2;

/// Finds the commands, in the order to run them.
pub(super) async fn find(tree: &TreeListing<'_>) -> Result<Vec<String>, TreeError> {
    let mut commands = ecosystem::commands(&Folder::new(tree, "")).await?;
    if commands.is_empty() {
        commands = ci::commands(tree).await?;
    }
    if commands.is_empty() {
        for folder in folders_with_manifest(tree) {
            let found = ecosystem::commands(&Folder::new(tree, &format!("{folder}/"))).await?;
            commands.extend(found.into_iter().map(|command| format!("cd {folder} && {command}")));
        }
    }
    commands.truncate(MAX_COMMANDS);
    Ok(commands)
}

/// Returns the folders near the root that hold a manifest, but for those whose name would need quoting in a shell.
fn folders_with_manifest<'a>(tree: &'a TreeListing<'_>) -> Vec<&'a str> {
    let is_plain = |folder: &str| {
        !folder.starts_with('-')
            && folder
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "/._-".contains(character))
    };
    let mut folders: Vec<&str> = tree
        .paths()
        .iter()
        .filter_map(|path| path.rsplit_once('/'))
        .filter(|(folder, name)| ecosystem::is_manifest(name) && folder.matches('/').count() < MAX_DEPTH)
        .map(|(folder, _)| folder)
        .filter(|folder| is_plain(folder))
        .collect();
    folders.sort_by_key(|folder| (folder.matches('/').count(), *folder));
    folders.dedup();
    folders.truncate(MAX_FOLDERS);
    folders
}

#[cfg(test)]
mod tests {
    use super::super::tree::MemoryTree;
    use super::*;

    async fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files = MemoryTree::new(files);
        find(&files.listing()).await.unwrap()
    }

    #[tokio::test]
    async fn each_ecosystem_is_checked_by_its_own_command() {
        const NPM: &str = r#"{"scripts": {"test": "vitest", "lint": "eslint .", "typecheck": "tsc", "build": "vite"}}"#;
        type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);
        let cases: [Case; 20] = [
            (
                &[
                    ("Makefile", "all:\n\ttrue\ntest: all\n\ttrue\nlint:\n\ttrue\n"),
                    ("go.mod", ""),
                ],
                &["make test", "make lint"],
            ),
            (&[("Makefile", "check:\n\ttrue\n")], &["make check"]),
            (
                &[("Makefile", "TEST := 1\ntest := 2\n"), ("go.mod", "")],
                &["go vet ./...", "go test ./..."],
            ),
            (
                &[("package.json", NPM)],
                &["npm test", "npm run lint", "npm run typecheck"],
            ),
            (
                &[("package.json", NPM), ("pnpm-lock.yaml", "")],
                &["pnpm test", "pnpm run lint", "pnpm run typecheck"],
            ),
            (
                &[("package.json", NPM), ("yarn.lock", "")],
                &["yarn test", "yarn run lint", "yarn run typecheck"],
            ),
            (
                &[(
                    "package.json",
                    r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#,
                )],
                &[],
            ),
            (&[("Cargo.toml", "[package]\nname = \"a\"\n")], &["cargo test"]),
            (
                &[
                    ("pyproject.toml", "[tool.pytest.ini_options]\n"),
                    ("tests/test_a.py", ""),
                ],
                &["python3 -m pytest"],
            ),
            (
                &[("requirements-dev.txt", "pytest==8\n"), ("test_a.py", "")],
                &["python3 -m pytest"],
            ),
            (
                &[("setup.py", ""), ("tests/test_a.py", "import unittest")],
                &["python3 -m unittest discover -s tests -t ."],
            ),
            (&[("tox.ini", "[tox]\n")], &["tox"]),
            (&[("noxfile.py", "")], &["nox"]),
            (&[("manage.py", "")], &["python3 manage.py test"]),
            (&[("pom.xml", ""), ("mvnw", "")], &["./mvnw -q test"]),
            (&[("build.gradle.kts", "")], &["gradle test"]),
            (&[("app.sln", "")], &["dotnet test"]),
            (&[("Gemfile", ""), ("spec/a_spec.rb", "")], &["bundle exec rspec"]),
            (
                &[("composer.json", r#"{"scripts": {"test": ["phpunit"]}}"#)],
                &["composer test"],
            ),
            (&[("README.md", "")], &[]),
        ];
        for (files, right) in cases {
            assert_eq!(found(files).await, right, "{files:?}");
        }
    }

    #[tokio::test]
    async fn cmake_builds_outside_the_work_tree() {
        let files = [("CMakeLists.txt", "project(a)\nenable_testing()\n")];
        let right = "cmake -S . -B /tmp/backspace-build && cmake --build /tmp/backspace-build && \
ctest --test-dir /tmp/backspace-build --output-on-failure";
        assert_eq!(found(&files).await, [right]);
        assert_eq!(found(&[("CMakeLists.txt", "project(a)\n")]).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn sub_folders_are_checked_when_the_root_has_nothing() {
        let files = [
            ("api/go.mod", ""),
            ("web/package.json", r#"{"scripts": {"test": "vitest"}}"#),
            ("we$ird/Cargo.toml", ""),
            ("a/b/c/Cargo.toml", ""),
        ];
        let right = [
            "cd api && go vet ./...",
            "cd api && go test ./...",
            "cd web && npm test",
        ];
        assert_eq!(found(&files).await, right);
    }

    #[tokio::test]
    async fn ci_speaks_when_the_root_has_no_manifest() {
        let workflow = "jobs:\n  t:\n    steps:\n      - run: npm ci\n      - run: bats tests\n";
        for file in [
            ".github/workflows/ci.yml",
            ".gitlab-ci.yml",
            ".circleci/config.yml",
            "azure-pipelines.yml",
        ] {
            let files = [(file, workflow), ("x/go.mod", "")];
            assert_eq!(found(&files).await, ["bats tests"], "{file}");
        }
    }
}
