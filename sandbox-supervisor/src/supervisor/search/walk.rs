//! The walk of a search: the files below a folder that a person would look into.
//!
//! What `.gitignore` files leave out and what is made or fetched by habit is skipped, unless the path or the
//! pattern of the search names it. The files are read here and only matched by the `ignore` crate, whose own walk
//! would wait on a `.gitignore` that is a pipe.

use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::protocol::FileError;
use crate::supervisor::files::{file_error, open_regular};

/// Folders that hold what is made or fetched, also where no `.gitignore` says so.
const SKIPPED: [&str; 6] = [".git", "node_modules", "target", ".venv", "__pycache__", ".tox"];

const IGNORE_FILE: &str = ".gitignore";

/// A longer file is no list of patterns.
const MAX_IGNORE_BYTES: u64 = 1 << 20;

/// Most files looked at in one search.
const MAX_FILES: usize = 200_000;

/// Where a search begins.
pub(super) struct Walk<'a> {
    /// As the request names it.
    pub(super) path: &'a str,
    pub(super) work_tree: &'a Path,
    /// A glob whose names are not skipped; may be empty.
    pub(super) pattern: &'a str,
}

/// The `.gitignore` files that hold for a folder.
#[derive(Clone)]
enum Rules {
    /// Outermost first.
    Obeyed(Rc<Vec<Rc<Gitignore>>>),
    /// The search asked for something below what they leave out.
    Ignored,
}

impl Walk<'_> {
    /// Calls `found` with the path from the folder of every regular file and link, until it says stop.
    pub(super) fn run(&self, found: &mut dyn FnMut(&Path) -> bool) -> Result<(), FileError> {
        let folder = self.work_tree.join(self.path);
        fs::read_dir(&folder).map_err(|error| file_error(self.path, &error))?;
        let mut waiting = vec![(PathBuf::new(), self.rules_above())];
        let mut count = 0;
        while let Some((relative, rules)) = waiting.pop() {
            let here = folder.join(&relative);
            let Ok(entries) = fs::read_dir(&here) else { continue };
            let rules = rules.with(&here);
            for entry in entries.filter_map(Result::ok) {
                let Ok(kind) = entry.file_type() else { continue };
                let name = entry.file_name();
                let inside = relative.join(&name);
                let is_named = name.to_str().is_some_and(|name| self.names(name));
                let is_left_out = rules.leave_out(&entry.path(), kind.is_dir());
                if kind.is_dir() {
                    match is_named {
                        true if is_left_out => waiting.push((inside, Rules::Ignored)),
                        false if is_left_out => {}
                        _ => waiting.push((inside, rules.clone())),
                    }
                    continue;
                }
                if is_left_out && !is_named {
                    continue;
                }
                count += 1;
                if count > MAX_FILES || !found(&inside) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn names(&self, name: &str) -> bool {
        self.pattern.split('/').any(|part| part == name)
    }

    /// The rules of the folders between the work tree and the folder of the search.
    fn rules_above(&self) -> Rules {
        let path = Path::new(self.path);
        let path = path.strip_prefix(self.work_tree).unwrap_or(path);
        let mut rules = Rules::Obeyed(Rc::default());
        let mut here = self.work_tree.to_path_buf();
        for component in path.components() {
            match component {
                Component::CurDir => {}
                Component::Normal(name) => {
                    rules = rules.with(&here);
                    here.push(name);
                    if rules.leave_out(&here, true) {
                        return Rules::Ignored;
                    }
                }
                // Elsewhere; what the work tree leaves out says nothing there.
                _ => return Rules::Obeyed(Rc::default()),
            }
        }
        rules
    }
}

impl Rules {
    /// Adds the rules of a folder itself.
    fn with(&self, folder: &Path) -> Self {
        match (self, read_rules(folder)) {
            (Self::Obeyed(above), Some(own)) => {
                let mut rules = above.as_ref().clone();
                rules.push(Rc::new(own));
                Self::Obeyed(Rc::new(rules))
            }
            _ => self.clone(),
        }
    }

    fn leave_out(&self, path: &Path, is_folder: bool) -> bool {
        let Self::Obeyed(rules) = self else { return false };
        let by_habit = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| SKIPPED.contains(&name));
        if is_folder && by_habit {
            return true;
        }
        let verdicts = rules.iter().rev().map(|rules| rules.matched(path, is_folder));
        let decided = verdicts.into_iter().find(|verdict| !verdict.is_none());
        matches!(decided, Some(Match::Ignore(_)))
    }
}

fn read_rules(folder: &Path) -> Option<Gitignore> {
    let (file, size) = open_regular(IGNORE_FILE, &folder.join(IGNORE_FILE)).ok()?;
    if size > MAX_IGNORE_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_IGNORE_BYTES).read_to_end(&mut bytes).ok()?;
    let mut builder = GitignoreBuilder::new(folder);
    for line in String::from_utf8_lossy(&bytes).lines() {
        // A line that is no glob leaves nothing out, as in git.
        let _ = builder.add_line(None, line);
    }
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn found(folder: &tempfile::TempDir, path: &str, pattern: &str) -> Vec<String> {
        let walk = Walk {
            path,
            work_tree: folder.path(),
            pattern,
        };
        let mut files = Vec::new();
        walk.run(&mut |path| {
            files.push(path.display().to_string());
            true
        })
        .unwrap();
        files.sort();
        files
    }

    #[test]
    fn what_git_leaves_out_is_left_out_in_every_folder() {
        let folder = tree(&[
            (".gitignore", "*.log\n/made/\n!keep.log\n"),
            ("a.rs", ""),
            ("a.log", ""),
            ("keep.log", ""),
            ("made/b.rs", ""),
            ("deep/made/c.rs", ""),
            ("deep/.gitignore", "!d.log\nsecret\n"),
            ("deep/d.log", ""),
            ("deep/secret", ""),
        ]);
        let expected = [
            ".gitignore",
            "a.rs",
            "deep/.gitignore",
            "deep/d.log",
            "deep/made/c.rs",
            "keep.log",
        ];
        assert_eq!(found(&folder, ".", "*"), expected);
        assert_eq!(found(&folder, "deep", "*"), [".gitignore", "d.log", "made/c.rs"]);
    }

    #[test]
    fn what_the_search_names_is_not_left_out() {
        let folder = tree(&[
            (".gitignore", "/made/\n.env\n"),
            (".env", ""),
            ("made/.gitignore", "*\n"),
            ("made/b.rs", ""),
            ("node_modules/x/c.js", ""),
        ]);
        assert_eq!(found(&folder, ".", "*"), [".gitignore"]);
        assert_eq!(found(&folder, "made", "*"), [".gitignore", "b.rs"]);
        let absolute = folder.path().join("made").display().to_string();
        assert_eq!(found(&folder, &absolute, "*"), [".gitignore", "b.rs"]);
        assert_eq!(
            found(&folder, ".", "made/*.rs"),
            [".gitignore", "made/.gitignore", "made/b.rs"]
        );
        assert_eq!(
            found(&folder, ".", "node_modules/**"),
            [".gitignore", "node_modules/x/c.js"]
        );
        assert_eq!(found(&folder, ".", ".env"), [".env", ".gitignore"]);
    }

    #[test]
    fn a_pipe_in_the_place_of_the_rules_holds_nothing_up() {
        let folder = tree(&[("a.rs", "")]);
        let made = std::process::Command::new("mkfifo")
            .arg(folder.path().join(IGNORE_FILE))
            .status();
        assert!(made.unwrap().success());
        assert_eq!(found(&folder, ".", "*"), [".gitignore", "a.rs"]);
    }
}
