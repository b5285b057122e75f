//! A unified diff as it is shown: in colours, and counted.
//!
//! Shown is not stored: to a file or a pipe a diff goes byte for byte, so that `git apply` takes it.

use crate::escape;
use crate::measure;
use crate::paint::{Look, Paint};

/// How much changed in one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileStatistics {
    /// The file, escaped.
    pub(crate) path: String,
    /// Lines added.
    pub(crate) added: u64,
    /// Lines removed.
    pub(crate) removed: u64,
    /// Not text: lines are not counted.
    pub(crate) binary: bool,
}

/// Colours a diff line by line. It must be told every line from the first, since `---` inside a hunk is a
/// removed line and not a heading.
#[derive(Default)]
pub(crate) struct Lines {
    old_left: u64,
    new_left: u64,
}

/// What a line of a diff is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Heading,
    Hunk,
    Added,
    Removed,
    Same,
}

impl Lines {
    /// Returns a line, without its line break, as a terminal may see it.
    pub(crate) fn show(&mut self, line: &[u8], paint: Paint) -> String {
        let kind = self.kind(line);
        let text = escape::block_of_bytes(line);
        match kind {
            Kind::File => paint.text(Look::Bold, &text),
            Kind::Heading => paint.text(Look::Dim, &text),
            Kind::Hunk => paint.text(Look::Cyan, &text),
            Kind::Added => paint.text(Look::Green, &text),
            Kind::Removed => paint.text(Look::Red, &text),
            Kind::Same => text,
        }
    }

    fn kind(&mut self, line: &[u8]) -> Kind {
        if self.old_left > 0 || self.new_left > 0 {
            match line.first() {
                Some(b'+') => {
                    self.new_left = self.new_left.saturating_sub(1);
                    return Kind::Added;
                }
                Some(b'-') => {
                    self.old_left = self.old_left.saturating_sub(1);
                    return Kind::Removed;
                }
                Some(b'\\') => return Kind::Same,
                Some(_) | None => {
                    self.old_left = self.old_left.saturating_sub(1);
                    self.new_left = self.new_left.saturating_sub(1);
                    return Kind::Same;
                }
            }
        }
        if line.starts_with(b"diff --git ") {
            return Kind::File;
        }
        match hunk(line) {
            Some((old, new)) => {
                (self.old_left, self.new_left) = (old, new);
                Kind::Hunk
            }
            None => Kind::Heading,
        }
    }
}

/// Reads the two lengths of `@@ -1,2 +3,4 @@`.
fn hunk(line: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(line.get(..line.len().min(80))?).ok()?;
    let mut ranges = text.strip_prefix("@@ ")?.split(' ');
    let length = |range: &str| match range.split_once(',') {
        Some((_, length)) => length.parse().ok(),
        None => Some(1),
    };
    let old = length(ranges.next()?.strip_prefix('-')?)?;
    let new = length(ranges.next()?.strip_prefix('+')?)?;
    Some((old, new))
}

/// Counts a whole diff.
pub(crate) fn statistics(diff: &[u8]) -> Vec<FileStatistics> {
    let mut lines = Lines::default();
    let mut files: Vec<FileStatistics> = Vec::new();
    for line in diff.split(|byte| *byte == b'\n') {
        let kind = lines.kind(line);
        if kind == Kind::File {
            files.push(FileStatistics {
                path: path_of(line),
                ..FileStatistics::default()
            });
        }
        let Some(file) = files.last_mut() else { continue };
        match kind {
            Kind::Added => file.added += 1,
            Kind::Removed => file.removed += 1,
            Kind::Heading if line.starts_with(b"Binary files ") || line.starts_with(b"GIT binary patch") => {
                file.binary = true;
            }
            Kind::Heading if line.starts_with(b"rename to ") => {
                file.path = escape::line(&String::from_utf8_lossy(line.get(10..).unwrap_or_default()));
            }
            Kind::File | Kind::Heading | Kind::Hunk | Kind::Same => {}
        }
    }
    files
}

/// The file's path of `diff --git a/x b/x`: both sides are the same but for a rename, which has a line of its own.
fn path_of(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let both = text.strip_prefix("diff --git ").unwrap_or_default();
    let half = both.len() / 2;
    let path = both.get(half + 1..).unwrap_or(both);
    escape::line(
        path.trim_start_matches('"')
            .trim_end_matches('"')
            .trim_start_matches("b/"),
    )
}

/// Returns the sum of a diff in words.
pub(crate) fn total(files: &[FileStatistics]) -> String {
    let added: u64 = files.iter().map(|file| file.added).sum();
    let removed: u64 = files.iter().map(|file| file.removed).sum();
    format!(
        "{} changed, +{} −{}",
        measure::plural(files.len() as u64, "file"),
        measure::count(added),
        measure::count(removed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "diff --git a/src/lib.rs b/src/lib.rs\nindex 1..2 100644\n--- a/src/lib.rs\n+++ b/src/lib.rs\n\
        @@ -1,3 +1,3 @@ fn main\n same\n--- removed\n+++ added\n same\n\
        diff --git a/new.txt b/new.txt\nnew file mode 100644\n--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+one\n\
        \\ No newline at end of file\ndiff --git a/logo.png b/logo.png\nBinary files a/logo.png and b/logo.png differ\n\
        diff --git a/old b/moved\nsimilarity index 100%\nrename from old\nrename to moved\n";

    #[test]
    fn a_diff_is_counted_by_file() {
        let file = |path: &str, added, removed, binary| FileStatistics {
            path: path.to_owned(),
            added,
            removed,
            binary,
        };
        let expected = [
            file("src/lib.rs", 1, 1, false),
            file("new.txt", 1, 0, false),
            file("logo.png", 0, 0, true),
            file("moved", 0, 0, false),
        ];
        let counted = statistics(DIFF.as_bytes());
        assert_eq!(counted, expected);
        assert_eq!(total(&counted), "4 files changed, +2 −1");
    }

    #[test]
    fn lines_are_told_by_their_place_and_not_by_their_look() {
        let mut lines = Lines::default();
        let kinds: Vec<Kind> = DIFF.lines().take(9).map(|line| lines.kind(line.as_bytes())).collect();
        use Kind::{Added, File, Heading, Hunk, Removed, Same};
        assert_eq!(
            kinds,
            [File, Heading, Heading, Heading, Hunk, Same, Removed, Added, Same]
        );
    }

    #[test]
    fn a_line_cannot_act_on_the_terminal() {
        let shown = Lines::default().show(b"+\x1b]52;c;x\x07\xff", Paint::PLAIN);
        assert_eq!(shown, "+\\x1b]52;c;x\\x07\u{fffd}");
    }
}
