//! How the common ecosystems check a project, from its manifests.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::tree::{TreeError, TreeListing};

/// Manifests are small; of a larger one the beginning is enough.
const MAX_MANIFEST_BYTES: usize = 256 * 1024;

const BUILD_FOLDER: &str = "/tmp/backspace-build";

/// One folder of a listing.
pub(super) struct Folder<'a> {
    tree: &'a TreeListing<'a>,
    prefix: String,
}

impl<'a> Folder<'a> {
    /// Makes the folder of this prefix: empty for the root, else with a slash at its end.
    pub(super) fn new(tree: &'a TreeListing<'a>, prefix: &str) -> Self {
        Self {
            tree,
            prefix: prefix.to_owned(),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.tree.has(&format!("{}{name}", self.prefix))
    }

    async fn text(&self, name: &str) -> Result<Option<String>, TreeError> {
        self.tree
            .text(&format!("{}{name}", self.prefix), MAX_MANIFEST_BYTES)
            .await
    }

    /// Returns the paths below it, without its prefix.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let below = self.tree.paths().range(self.prefix.clone()..);
        below.map_while(|path| path.strip_prefix(self.prefix.as_str()))
    }

    fn has_file(&self, fits: impl Fn(&str) -> bool) -> bool {
        self.paths().any(fits)
    }
}

/// Returns whether a file of this name is the manifest of a project.
pub(super) fn is_manifest(name: &str) -> bool {
    const NAMES: [&str; 15] = [
        "Makefile",
        "package.json",
        "Cargo.toml",
        "pyproject.toml",
        "setup.py",
        "tox.ini",
        "go.mod",
        "pom.xml",
        "build.gradle",
        "build.gradle.kts",
        "CMakeLists.txt",
        "Gemfile",
        "composer.json",
        "mix.exs",
        "requirements.txt",
    ];
    NAMES.contains(&name) || is_dotnet(name)
}

/// Returns the commands that check the project in a folder.
pub(super) async fn commands(folder: &Folder<'_>) -> Result<Vec<String>, TreeError> {
    let stated = make(folder).await?;
    if !stated.is_empty() {
        return Ok(stated);
    }
    let mut commands = node(folder).await?;
    commands.extend(rust(folder).await?);
    commands.extend(python(folder).await?);
    if folder.has("go.mod") {
        commands.extend(["go vet ./...".to_owned(), "go test ./...".to_owned()]);
    }
    commands.extend(jvm(folder));
    commands.extend(cmake(folder).await?);
    if folder.has_file(|path| !path.contains('/') && is_dotnet(path)) {
        commands.push("dotnet test".into());
    }
    commands.extend(ruby(folder).await?);
    commands.extend(php(folder).await?);
    if folder.has("mix.exs") {
        commands.push("mix test".into());
    }
    Ok(commands)
}

async fn make(folder: &Folder<'_>) -> Result<Vec<String>, TreeError> {
    let mut text = None;
    for name in ["GNUmakefile", "makefile", "Makefile"] {
        text = folder.text(name).await?;
        if text.is_some() {
            break;
        }
    }
    let text = text.unwrap_or_default();
    let has_target = |target: &str| {
        text.lines().any(|line| {
            let rest = line.strip_prefix(target).map(str::trim_start);
            rest.is_some_and(|rest| rest.starts_with(':') && !rest.starts_with(":="))
        })
    };
    let tests = ["test", "check", "tests"].into_iter().find(|target| has_target(target));
    let Some(tests) = tests else {
        return Ok(Vec::new());
    };
    let lint = Some("lint").filter(|target| has_target(target));
    Ok([Some(tests), lint]
        .into_iter()
        .flatten()
        .map(|target| format!("make {target}"))
        .collect())
}

/// `package.json` and `composer.json` have this in common.
#[derive(Default, Deserialize)]
struct Scripts {
    #[serde(default)]
    scripts: BTreeMap<String, serde_json::Value>,
}

async fn scripts(folder: &Folder<'_>, name: &str) -> Result<Scripts, TreeError> {
    let text = folder.text(name).await?.unwrap_or_default();
    // A broken manifest is the repository's own problem; its checks will say so.
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

async fn node(folder: &Folder<'_>) -> Result<Vec<String>, TreeError> {
    let Scripts { scripts } = scripts(folder, "package.json").await?;
    let locks = [
        ("pnpm-lock.yaml", "pnpm"),
        ("yarn.lock", "yarn"),
        ("bun.lock", "bun"),
        ("bun.lockb", "bun"),
    ];
    let manager = locks
        .iter()
        .find(|(lock, _)| folder.has(lock))
        .map_or("npm", |(_, manager)| manager);
    let mut commands = Vec::new();
    let is_placeholder =
        |script: &serde_json::Value| script.as_str().is_some_and(|text| text.contains("no test specified"));
    if scripts.get("test").is_some_and(|script| !is_placeholder(script)) {
        // `bun test` is bun's own runner, not the script.
        commands.push(if manager == "bun" {
            "bun run test".to_owned()
        } else {
            format!("{manager} test")
        });
    }
    for name in ["lint", "typecheck", "type-check", "check-types"] {
        if scripts.contains_key(name) {
            commands.push(format!("{manager} run {name}"));
        }
    }
    Ok(commands)
}

async fn rust(folder: &Folder<'_>) -> Result<Option<String>, TreeError> {
    let manifest = folder.text("Cargo.toml").await?;
    Ok(manifest.map(|text| {
        let is_workspace = text.lines().any(|line| line.trim().starts_with("[workspace"));
        if is_workspace {
            "cargo test --workspace"
        } else {
            "cargo test"
        }
        .to_owned()
    }))
}

async fn python(folder: &Folder<'_>) -> Result<Option<String>, TreeError> {
    if folder.has("manage.py") {
        return Ok(Some("python3 manage.py test".into()));
    }
    let is_test = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.ends_with(".py") && (name.starts_with("test_") || name.ends_with("_test.py"))
    };
    let has_tests = folder.has_file(is_test);
    let manifests = [
        "pytest.ini",
        "pyproject.toml",
        "setup.cfg",
        "setup.py",
        "requirements.txt",
        "requirements-dev.txt",
        "dev-requirements.txt",
        "tox.ini",
        "Pipfile",
    ];
    let mut is_project = false;
    let mut names_pytest = folder.has("conftest.py") || folder.has("tests/conftest.py");
    for name in manifests {
        if let Some(text) = folder.text(name).await? {
            is_project = true;
            names_pytest |= name == "pytest.ini" || text.contains("pytest");
        }
    }
    Ok(if has_tests && names_pytest {
        Some("python3 -m pytest".into())
    } else if folder.has("tox.ini") {
        Some("tox".into())
    } else if folder.has("noxfile.py") {
        Some("nox".into())
    } else if has_tests && is_project {
        let in_tests = folder.has_file(|path| path.starts_with("tests/") && is_test(path));
        Some(
            if in_tests {
                "python3 -m unittest discover -s tests -t ."
            } else {
                "python3 -m unittest discover"
            }
            .into(),
        )
    } else {
        None
    })
}

fn jvm(folder: &Folder<'_>) -> Option<String> {
    if folder.has("pom.xml") {
        let program = if folder.has("mvnw") { "./mvnw" } else { "mvn" };
        return Some(format!("{program} -q test"));
    }
    let is_gradle = folder.has("build.gradle") || folder.has("build.gradle.kts");
    is_gradle.then(|| {
        if folder.has("gradlew") {
            "./gradlew test"
        } else {
            "gradle test"
        }
        .to_owned()
    })
}

async fn cmake(folder: &Folder<'_>) -> Result<Option<String>, TreeError> {
    let text = folder.text("CMakeLists.txt").await?.unwrap_or_default().to_lowercase();
    let has_tests = ["enable_testing", "add_test", "include(ctest)"]
        .iter()
        .any(|word| text.contains(word));
    // Outside the work tree, or the build would be a part of the change.
    Ok(has_tests.then(|| {
        format!(
            "cmake -S . -B {BUILD_FOLDER} && cmake --build {BUILD_FOLDER} && \
             ctest --test-dir {BUILD_FOLDER} --output-on-failure"
        )
    }))
}

fn is_dotnet(name: &str) -> bool {
    [".sln", ".slnx", ".csproj", ".fsproj"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

async fn ruby(folder: &Folder<'_>) -> Result<Option<String>, TreeError> {
    if !folder.has("Gemfile") {
        return Ok(None);
    }
    if folder.has("bin/rails") && folder.has_file(|path| path.starts_with("test/")) {
        return Ok(Some("bin/rails test".into()));
    }
    if folder.has_file(|path| path.starts_with("spec/") && path.ends_with("_spec.rb")) {
        return Ok(Some("bundle exec rspec".into()));
    }
    let rakefile = folder.text("Rakefile").await?.unwrap_or_default();
    Ok(rakefile
        .to_lowercase()
        .contains("test")
        .then(|| "bundle exec rake test".to_owned()))
}

async fn php(folder: &Folder<'_>) -> Result<Option<String>, TreeError> {
    if scripts(folder, "composer.json").await?.scripts.contains_key("test") {
        return Ok(Some("composer test".into()));
    }
    let has_phpunit = folder.has("phpunit.xml") || folder.has("phpunit.xml.dist");
    Ok(has_phpunit.then(|| "vendor/bin/phpunit".to_owned()))
}
