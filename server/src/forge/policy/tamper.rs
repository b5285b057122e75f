//! The report on tests: deleted, skipped or weakened, and configuration that steers them.
//!
//! It counts marks of tests and assertions in the lines that were removed and added; it does not parse
//! any language. It can miss and it can exaggerate, so it only ever makes findings, never denials.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::forge::git::ChangedFile;
use crate::forge::policy::PolicyReport;
use crate::forge::policy::files::PathRules;
use crate::forge::policy::lines::ChangedLine;
use crate::forge::policy::paths::CONFIGURATION;
use crate::task::event::FileStatus;
use crate::task::result::FindingKind;

/// A line that begins a test.
const TEST: &str = r#"^\s*(?:async\s+)?def\s+test_|#\[(?:[a-z_]+::)*test\b|#\[rstest|^func\s+(?:Test|Fuzz)[A-Z_0-9]|^\s*(?:it|test|specify)(?:\.(?:each|concurrent)[^(]*)?\s*\(\s*["'`]|^\s*it\s+["']|^\s*@(?:Test|ParameterizedTest)\b|\[(?:Fact|Theory|Test|TestMethod)\]|^\s*TEST(?:_F|_P)?\s*\(|^\s*public\s+function\s+test"#;

/// A line that switches tests off, or all others.
const SKIP: &str = r"@(?:pytest\.mark|mark)\.(?:skip|xfail)|@unittest\.(?:skip|expectedFailure)|\bpytest\.(?:skip|xfail)\(|\.skipTest\(|#\[ignore\b|#\[cfg_attr\([^\]]*ignore|\bt\.Skip(?:Now|f)?\(|\b(?:it|test|describe|context|suite)\.(?:skip|todo|only|failing)\b|^\s*(?:xit|xdescribe|xtest|fit|fdescribe|xcontext)\s*\(|@(?:Ignore|Disabled)\b|\[Ignore\b|\bGTEST_SKIP\(|->markTestSkipped\(|\bskip\s+[\x22']";

/// A line that asserts something.
const ASSERTION: &str = r"\bassert|\bexpect\s*[(!]|\bshould\b|\brequire\.[A-Z]|\bt\.(?:Error|Fatal|Fail)|\bAssert\.|\bEXPECT_|\bASSERT_|\.to(?:Be|Equal|Match|Throw|Have)|\bpanic!|\bfail!?\(";

/// An assertion that can't fail.
const HOLLOW: &str = r"\bassert\s+True\b|\bassert\s*\(?\s*1\s*==\s*1|\bassert!\(\s*true\s*[,)]|\bassertTrue\(\s*[Tt]rue\s*\)|\bexpect\(\s*(?:true|1)\s*\)\.to(?:Be|Equal)\(\s*(?:true|1)\s*\)|\|\|\s*true\s*$";

static MARKS: LazyLock<Option<Marks>> = LazyLock::new(|| Marks::new().ok());

static CONFIGURATION_RULES: LazyLock<Option<PathRules>> = LazyLock::new(|| PathRules::built_in(&CONFIGURATION).ok());

struct Marks {
    test: Regex,
    skip: Regex,
    assertion: Regex,
    hollow: Regex,
}

impl Marks {
    fn new() -> Result<Self, regex::Error> {
        let regex = |pattern: &str| Regex::new(&format!("(?-u){pattern}"));
        Ok(Self {
            test: regex(TEST)?,
            skip: regex(SKIP)?,
            assertion: regex(ASSERTION)?,
            hollow: regex(HOLLOW)?,
        })
    }
}

/// Counts of one file.
#[derive(Clone, Debug, Default)]
struct Counts {
    tests_removed: u32,
    tests_added: u32,
    skips_removed: u32,
    skips_added: u32,
    assertions_removed: u32,
    assertions_added: u32,
    hollow_added: u32,
    /// How often an assertion's text was removed, less how often it was added, by the hash of the text without its
    /// indentation: one that only moved leaves nothing here.
    assertion_texts: HashMap<u64, i32>,
}

impl Counts {
    /// Returns how many assertions say something else than before.
    fn assertions_changed(&self) -> u32 {
        let (mut gone, mut new) = (0, 0);
        for count in self.assertion_texts.values() {
            *(if *count > 0 { &mut gone } else { &mut new }) += count.unsigned_abs();
        }
        gone.min(new)
    }
}

/// Gathers what a change does to tests.
#[derive(Debug, Default)]
pub(super) struct TamperReport {
    counts: BTreeMap<usize, Counts>,
}

impl TamperReport {
    /// Looks at a file as such.
    pub(super) fn file(&mut self, file: &ChangedFile, report: &mut PolicyReport) {
        for path in [Some(&file.path), file.old_path.as_ref()].into_iter().flatten() {
            let reason = CONFIGURATION_RULES.as_ref().and_then(|rules| rules.reason(path));
            if let Some(reason) = reason {
                report.find(FindingKind::ConfigurationTouched, &file.display_path(), reason);
            }
        }
        let leaves = file.old_path.as_ref().is_some_and(|old| is_test_path(old)) && !is_test_path(&file.path);
        if (file.status == FileStatus::Deleted && is_test_path(&file.path)) || leaves {
            let what = if leaves {
                "a test file was moved to where it may not run"
            } else {
                "a test file was deleted"
            };
            report.find(FindingKind::TestDeleted, &file.display_path(), what);
        }
    }

    /// Counts a line.
    pub(super) fn line(&mut self, file: &ChangedFile, line: &ChangedLine<'_>) {
        let Some(marks) = MARKS.as_ref() else {
            return;
        };
        if is_comment(line.text) {
            return;
        }
        let is_test = marks.test.is_match(line.text);
        let is_skip = marks.skip.is_match(line.text);
        let in_test_file = is_test_path(&file.path);
        let is_assertion = in_test_file && marks.assertion.is_match(line.text);
        let is_hollow = line.is_added() && marks.hollow.is_match(line.text);
        if !(is_test || is_skip || is_assertion || is_hollow) {
            return;
        }
        let counts = self.counts.entry(line.file).or_default();
        if is_assertion {
            let mut hasher = DefaultHasher::new();
            line.text.trim_ascii().hash(&mut hasher);
            *counts.assertion_texts.entry(hasher.finish()).or_default() += if line.is_added() { -1 } else { 1 };
        }
        let add = |count: &mut u32, is_one: bool| *count += u32::from(is_one);
        if line.is_added() {
            add(&mut counts.tests_added, is_test);
            add(&mut counts.skips_added, is_skip);
            add(&mut counts.assertions_added, is_assertion && !is_hollow);
            add(&mut counts.hollow_added, is_hollow);
        } else {
            add(&mut counts.tests_removed, is_test);
            add(&mut counts.skips_removed, is_skip);
            add(&mut counts.assertions_removed, is_assertion);
        }
    }

    /// Makes findings of the counts.
    pub(super) fn finish(self, files: &[ChangedFile], report: &mut PolicyReport) {
        for (index, counts) in self.counts {
            let Some(file) = files.get(index) else {
                continue;
            };
            let path = file.display_path();
            // A deleted file is told as a whole.
            if file.status == FileStatus::Deleted && is_test_path(&file.path) {
                continue;
            }
            let tests_gone = counts.tests_removed.saturating_sub(counts.tests_added);
            if tests_gone > 0 {
                report.find(
                    FindingKind::TestDeleted,
                    &path,
                    format!("{} fewer", count(tests_gone, "test")),
                );
            }
            let skips = counts.skips_added.saturating_sub(counts.skips_removed);
            if skips > 0 {
                let message = format!("{} switched off, or all others are", count(skips, "test"));
                report.find(FindingKind::TestSkipped, &path, message);
            }
            let assertions_gone = counts.assertions_removed.saturating_sub(counts.assertions_added);
            if assertions_gone > 0 && tests_gone == 0 {
                let message = format!("{} fewer", count(assertions_gone, "assertion"));
                report.find(FindingKind::TestWeakened, &path, message);
            }
            let changed = counts.assertions_changed();
            if changed > 0 {
                let message = format!("{} changed", count(changed, "assertion"));
                report.find(FindingKind::TestWeakened, &path, message);
            }
            if counts.hollow_added > 0 {
                let message = format!("{} that can't fail", count(counts.hollow_added, "check"));
                report.find(FindingKind::TestWeakened, &path, message);
            }
        }
    }
}

fn count(number: u32, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

fn is_comment(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    text.starts_with(b"//") || (text.starts_with(b"# ") && !text.starts_with(b"#["))
}

/// Returns whether a path is where tests are by the habits of the common languages.
fn is_test_path(path: &[u8]) -> bool {
    let path = String::from_utf8_lossy(path).to_ascii_lowercase();
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let in_folder = folders.split('/').any(|folder| {
        matches!(
            folder,
            "test" | "tests" | "__tests__" | "spec" | "specs" | "testing" | "e2e"
        )
    });
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    in_folder
        || ["test_", "test-"].iter().any(|prefix| name.starts_with(prefix))
        || ["_test", "_tests", ".test", ".spec", "_spec", "-test", "tests", "test"]
            .iter()
            .any(|suffix| stem.ends_with(suffix) && name.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::policy::lines::Side;

    fn findings(path: &str, removed: &[&str], added: &[&str]) -> Vec<(FindingKind, String)> {
        let file = ChangedFile {
            status: FileStatus::Modified,
            path: path.into(),
            old_path: None,
            old_mode: 0o100_644,
            new_mode: 0o100_644,
            old_id: None,
            new_id: None,
            lines: Some((0, 0)),
        };
        let mut tamper = TamperReport::default();
        let mut report = PolicyReport::default();
        tamper.file(&file, &mut report);
        let removed = removed.iter().map(|text| (Side::Removed, text));
        for (side, text) in removed.chain(added.iter().map(|text| (Side::Added, text))) {
            let line = ChangedLine {
                file: 0,
                side,
                number: 1,
                text: text.as_bytes(),
            };
            tamper.line(&file, &line);
        }
        tamper.finish(&[file], &mut report);
        report
            .findings
            .into_iter()
            .map(|finding| (finding.kind, finding.message))
            .collect()
    }

    #[test]
    fn tests_that_go_away_are_counted_in_every_common_language() {
        for (path, line) in [
            ("tests/test_a.py", "    def test_it(self):"),
            ("src/lib.rs", "    #[test]"),
            ("src/lib.rs", "    #[tokio::test(flavor = \"multi_thread\")]"),
            ("a_test.go", "func TestIt(t *testing.T) {"),
            ("a.test.ts", "  it('works', () => {"),
            ("src/ATest.java", "  @Test"),
            ("spec/a_spec.rb", "  it \"works\" do"),
        ] {
            assert_eq!(
                findings(path, &[line], &[]),
                [(FindingKind::TestDeleted, "1 test fewer".into())],
                "{line}"
            );
            assert_eq!(findings(path, &[line], &[line]), [], "{line}");
            assert_eq!(findings(path, &[], &[line]), [], "{line}");
        }
    }

    #[test]
    fn switched_off_and_weakened_tests_are_told() {
        for (path, line) in [
            ("tests/test_a.py", "@pytest.mark.skip(reason='flaky')"),
            ("src/lib.rs", "    #[ignore = \"slow\"]"),
            ("a_test.go", "\tt.Skip(\"later\")"),
            ("a.spec.ts", "  describe.only('x', () => {"),
            ("a.spec.ts", "  xit('x', () => {"),
        ] {
            let found = findings(path, &[], &[line]);
            assert!(
                found.iter().any(|(kind, _)| *kind == FindingKind::TestSkipped),
                "{line}: {found:?}"
            );
        }
        assert_eq!(
            findings("tests/test_a.py", &["    assert add(1, 2) == 3"], &["    add(1, 2)"]),
            [(FindingKind::TestWeakened, "1 assertion fewer".into())]
        );
        let hollow = findings("tests/test_a.py", &["    assert add(1, 2) == 3"], &["    assert True"]);
        assert!(
            hollow.contains(&(FindingKind::TestWeakened, "1 check that can't fail".into())),
            "{hollow:?}"
        );
    }

    #[test]
    fn an_assertion_that_says_something_else_is_told_and_one_that_moved_is_not() {
        let found = |removed: &[&str], added: &[&str]| findings("tests/test_a.py", removed, added);
        assert_eq!(
            found(&["    assert x == 1", "assert y"], &["    assert x == 2", "  assert y"]),
            [(FindingKind::TestWeakened, "1 assertion changed".into())]
        );
        assert_eq!(found(&["assert x == 1"], &["        assert x == 1", "assert y"]), []);
    }

    #[test]
    fn ordinary_changes_are_no_finding() {
        assert_eq!(findings("tests/test_a.py", &["    x = 1"], &["    x = 2"]), []);
        assert_eq!(
            findings("src/main.rs", &["    let x = it(1);"], &["    assert!(x > 0);"]),
            []
        );
        assert_eq!(findings("src/main.py", &["    # def test_x"], &["    return True"]), []);
    }

    #[test]
    fn configuration_that_steers_checks_is_told() {
        for path in [
            "conftest.py",
            "package.json",
            "sub/Makefile",
            "jest.config.ts",
            ".eslintrc.json",
            "pytest.ini",
        ] {
            let found = findings(path, &[], &[]);
            assert_eq!(found.len(), 1, "{path}");
            assert_eq!(found[0].0, FindingKind::ConfigurationTouched);
        }
        assert_eq!(findings("src/config.py", &[], &[]), []);
    }
}
