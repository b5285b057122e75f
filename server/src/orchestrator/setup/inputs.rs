//! Which files of a commit decide what set-up commands leave: locks, manifests, versions of tools, what git ignores,
//! the files that the commands name, and those that the repository names itself.
//!
//! More than the locks, because a result that is stale costs a Task its proof and one that is made again only time.
//! Names are looked at, contents never: they are told apart by their ids.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Files of these names decide, in whatever folder.
const NAMES: [&str; 51] = [
    // Locks.
    "Cargo.lock",
    "Gemfile.lock",
    "Package.resolved",
    "Pipfile.lock",
    "bun.lock",
    "bun.lockb",
    "composer.lock",
    "conda-lock.yml",
    "deno.lock",
    "go.sum",
    "gradle.lockfile",
    "mix.lock",
    "npm-shrinkwrap.json",
    "package-lock.json",
    "packages.lock.json",
    "pdm.lock",
    "pnpm-lock.yaml",
    "poetry.lock",
    "pubspec.lock",
    "uv.lock",
    "yarn.lock",
    // Manifests.
    "Cargo.toml",
    "Gemfile",
    "Package.swift",
    "Pipfile",
    "build.gradle",
    "build.gradle.kts",
    "composer.json",
    "environment.yml",
    "go.mod",
    "go.work",
    "gradle-wrapper.properties",
    "gradle.properties",
    "libs.versions.toml",
    "mix.exs",
    "package.json",
    "pnpm-workspace.yaml",
    "pom.xml",
    "pubspec.yaml",
    "pyproject.toml",
    "settings.gradle",
    "settings.gradle.kts",
    "setup.cfg",
    "setup.py",
    // Versions of tools, and what is ignored.
    ".gitignore",
    ".npmrc",
    ".nvmrc",
    ".python-version",
    ".tool-versions",
    "rust-toolchain",
    "rust-toolchain.toml",
];

/// Characters that end a word of a command line, beside blanks.
const BETWEEN_WORDS: &[char] = &[';', '|', '&', '(', ')', '<', '>', '"', '\'', '=', ',', '`'];

/// Knows which files decide.
pub(super) struct Inputs {
    /// Words of the commands that may be paths.
    words: Vec<String>,
    globs: GlobSet,
}

impl Inputs {
    /// Makes it for commands and globs; a glob that is none decides nothing.
    pub(super) fn new(commands: &[String], globs: &[String]) -> Self {
        let words = commands.iter().flat_map(|command| {
            command.split(|character: char| character.is_whitespace() || BETWEEN_WORDS.contains(&character))
        });
        let words = words
            .map(|word| word.trim_start_matches("./").trim_end_matches('/'))
            .filter(|word| !word.is_empty() && !word.starts_with(['-', '.']));
        let mut builder = GlobSetBuilder::new();
        for glob in globs {
            if let Ok(glob) = GlobBuilder::new(glob).literal_separator(true).build() {
                builder.add(glob);
            }
        }
        Self {
            words: words.map(str::to_owned).collect(),
            globs: builder.build().unwrap_or_default(),
        }
    }

    /// Tells whether a file decides.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        let Ok(path) = std::str::from_utf8(path) else {
            return false;
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        NAMES.contains(&name)
            || (name.contains("requirements") && [".txt", ".in"].iter().any(|end| name.ends_with(end)))
            || (name == "Makefile" && self.words.iter().any(|word| word == "make"))
            || self.words.iter().any(|word| is_named(path, word))
            || self.globs.is_match(path)
    }
}

/// Tells whether a word of a command means a file, or a folder around it; a folder must be written like a path, since
/// `test` and `build` are more often words.
fn is_named(path: &str, word: &str) -> bool {
    let is_end = path
        .strip_suffix(word)
        .is_some_and(|before| before.is_empty() || before.ends_with('/'));
    let is_below = word.contains('/') && path.strip_prefix(word).is_some_and(|rest| rest.starts_with('/'));
    is_end || is_below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_manifests_and_what_the_commands_name_decide_and_other_files_do_not() {
        let inputs = Inputs::new(
            &[
                "sh ./scripts/setup.sh --fast".into(),
                "cd web && make deps; pip install -r ci/dev.lst -e tools/gen/".into(),
            ],
            &["proto/**".into(), "[".into()],
        );
        for (path, decides) in [
            ("package-lock.json", true),
            ("web/deep/pnpm-lock.yaml", true),
            ("requirements-dev.txt", true),
            ("sub/.gitignore", true),
            ("scripts/setup.sh", true),
            ("other/scripts/setup.sh", true),
            ("ci/dev.lst", true),
            ("tools/gen/src/main.py", true),
            ("tools/other.py", false),
            ("Makefile", true),
            ("proto/a/b.proto", true),
            ("src/main.rs", false),
            ("web/index.html", false),
            ("package-lock.json.bak", false),
            ("xscripts/setup.sh", false),
        ] {
            assert_eq!(inputs.has(path.as_bytes()), decides, "{path}");
        }
        assert!(!Inputs::new(&["npm ci".into()], &[]).has(b"Makefile"));
        assert!(!inputs.has(&[0xFF, b'.', b'l']));
    }
}
