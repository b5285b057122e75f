//! List, grep and glob over the work tree. Symlinks are named and never followed.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};
use regex::bytes::RegexBuilder;

use crate::protocol::{FileError, FileOutcome, FileReply};
use crate::supervisor::files::{file_error, open_regular};

use self::walk::Walk;

mod walk;

/// Largest file that is searched.
const MAX_SEARCHED_BYTES: u64 = 8 << 20;

/// Longest line shown, in bytes.
const MAX_LINE_BYTES: usize = 400;

/// Lists a folder: folders first get a slash behind their name, links an arrow.
pub(super) fn list(name: &str, folder: &Path, limit: u64) -> FileOutcome {
    let metadata = fs::metadata(folder).map_err(|error| file_error(name, &error))?;
    if !metadata.is_dir() {
        return Err(FileError::WrongKind {
            path: name.to_owned(),
            message: "is a file, not a folder".into(),
        });
    }
    let entries = fs::read_dir(folder).map_err(|error| file_error(name, &error))?;
    let show = |entry: fs::DirEntry| {
        let text = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => format!("{text}/"),
            Ok(kind) if kind.is_symlink() => {
                let target = fs::read_link(entry.path()).unwrap_or_default();
                format!("{text} -> {}", target.display())
            }
            _ => text,
        }
    };
    let mut lines: Vec<String> = entries.filter_map(Result::ok).map(show).collect();
    lines.sort();
    Ok(cut(lines, limit))
}

/// Finds files by a glob over their path from the folder.
pub(super) fn glob(pattern: &str, path: &str, work_tree: &Path, limit: u64) -> FileOutcome {
    let matcher = matcher(pattern)?;
    let mut lines = Vec::new();
    let walk = Walk {
        path,
        work_tree,
        pattern,
    };
    walk.run(&mut |relative| {
        if matcher.is_match(relative) {
            lines.push(relative.display().to_string());
        }
        lines.len() as u64 <= limit
    })?;
    lines.sort();
    Ok(cut(lines, limit))
}

/// A search for lines.
pub(super) struct Grep<'a> {
    pub(super) pattern: &'a str,
    pub(super) path: &'a str,
    pub(super) work_tree: &'a Path,
    pub(super) glob: Option<&'a str>,
    pub(super) limit: u64,
}

/// Finds lines by a regular expression; shown as `path:line: text`.
pub(super) fn grep(grep: &Grep<'_>) -> FileOutcome {
    let regex = RegexBuilder::new(grep.pattern)
        .size_limit(4 << 20)
        .multi_line(true)
        .build()
        .map_err(|error| FileError::BadPattern {
            message: error.to_string(),
        })?;
    let matcher = grep.glob.map(matcher).transpose()?;
    let mut lines = Vec::new();
    let mut search = |shown: &str, path: &Path| {
        let Some(bytes) = searchable(shown, path) else { return };
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if lines.len() as u64 > grep.limit {
                return;
            }
            if regex.is_match(line) {
                let text = String::from_utf8_lossy(line.get(..line.len().min(MAX_LINE_BYTES)).unwrap_or_default());
                lines.push(format!("{shown}:{}: {}", index + 1, text.trim_end_matches('\r')));
            }
        }
    };
    let folder = grep.work_tree.join(grep.path);
    let metadata = fs::metadata(&folder).map_err(|error| file_error(grep.path, &error))?;
    if metadata.is_file() {
        search(grep.path, &folder);
    } else {
        let mut files = Vec::new();
        let walk = Walk {
            path: grep.path,
            work_tree: grep.work_tree,
            pattern: grep.glob.unwrap_or_default(),
        };
        walk.run(&mut |relative| {
            if matcher.as_ref().is_none_or(|matcher| matcher.is_match(relative)) {
                files.push(relative.to_owned());
            }
            true
        })?;
        files.sort();
        let prefix = Path::new(if grep.path == "." { "" } else { grep.path });
        for relative in files {
            search(&prefix.join(&relative).display().to_string(), &folder.join(&relative));
        }
    }
    Ok(cut(lines, grep.limit))
}

fn searchable(name: &str, path: &Path) -> Option<Vec<u8>> {
    let (file, size) = open_regular(name, path).ok()?;
    if size > MAX_SEARCHED_BYTES {
        return None;
    }
    let mut bytes = Vec::with_capacity(size as usize);
    file.take(MAX_SEARCHED_BYTES).read_to_end(&mut bytes).ok()?;
    (!bytes.iter().take(4096).any(|byte| *byte == 0)).then_some(bytes)
}

/// A glob without a slash matches the name in any folder, as people expect of `*.rs`.
fn matcher(pattern: &str) -> Result<GlobMatcher, FileError> {
    let anchored = if pattern.contains('/') {
        pattern.trim_start_matches("./").to_owned()
    } else {
        format!("**/{pattern}")
    };
    let glob = GlobBuilder::new(&anchored).literal_separator(true).build();
    Ok(glob
        .map_err(|error| FileError::BadPattern {
            message: error.to_string(),
        })?
        .compile_matcher())
}

fn cut(mut lines: Vec<String>, limit: u64) -> FileReply {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut bytes = 0;
    let fits = lines.iter().take_while(|line| {
        bytes += line.len();
        bytes <= 256 * 1024
    });
    let keep = fits.count().min(limit);
    let truncated = lines.len() > keep;
    lines.truncate(keep);
    FileReply::Lines { lines, truncated }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for folder in ["src/deep", ".git", "node_modules/x"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("src/a.rs"), "fn one() {}\nfn two() {}\n").unwrap();
        fs::write(at("src/deep/b.rs"), "fn three() {}\n").unwrap();
        fs::write(at(".git/c.rs"), "fn hidden() {}\n").unwrap();
        fs::write(at("node_modules/x/d.rs"), "fn fetched() {}\n").unwrap();
        std::os::unix::fs::symlink("/etc", at("link")).unwrap();
        folder
    }

    fn lines(outcome: FileOutcome) -> (Vec<String>, bool) {
        match outcome.unwrap() {
            FileReply::Lines { lines, truncated } => (lines, truncated),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn globs_match_names_anywhere_and_paths_from_the_folder() {
        let folder = tree();
        assert_eq!(
            lines(glob("*.rs", ".", folder.path(), 10)).0,
            ["src/a.rs", "src/deep/b.rs"]
        );
        assert_eq!(lines(glob("src/*.rs", ".", folder.path(), 10)).0, ["src/a.rs"]);
        assert_eq!(
            lines(glob("node_modules/**/*.rs", ".", folder.path(), 10)).0,
            ["node_modules/x/d.rs"]
        );
        assert!(matches!(
            glob("[", ".", folder.path(), 10),
            Err(FileError::BadPattern { .. })
        ));
    }

    #[test]
    fn grep_shows_path_line_and_text_and_says_when_there_is_more() {
        let folder = tree();
        let search = |pattern, limit| {
            lines(super::grep(&Grep {
                pattern,
                path: ".",
                work_tree: folder.path(),
                glob: None,
                limit,
            }))
        };
        assert_eq!(
            search(r"fn t\w+", 10),
            (
                vec![
                    "src/a.rs:2: fn two() {}".to_owned(),
                    "src/deep/b.rs:1: fn three() {}".into()
                ],
                false
            )
        );
        assert_eq!(search("fn", 1), (vec!["src/a.rs:1: fn one() {}".to_owned()], true));
    }

    #[test]
    fn a_list_marks_folders_and_links() {
        let folder = tree();
        assert_eq!(
            lines(list(".", folder.path(), 10)).0,
            [".git/", "link -> /etc", "node_modules/", "src/"]
        );
    }
}
