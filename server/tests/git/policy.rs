//! The policy over real diffs: what stops a push, and what a reviewer is told.

use std::sync::Arc;

use backspace_server::forge::policy::{GuessedSecrets, Policy, PolicyConfig, PolicyReport};
use backspace_server::secret::{Redactor, Secret};
use backspace_server::task::result::FindingKind;

use crate::fixture::{Fixture, accept};

const KNOWN: &str = "the-server's-own-token";

fn policy(config: PolicyConfig) -> Policy {
    Policy::new(config, Arc::new(Redactor::new([Secret::new(KNOWN)]))).unwrap()
}

/// Checks a change from `old` to `new`, files given as mode, path and content.
async fn check(config: PolicyConfig, old: &[(&str, &str, &[u8])], new: &[(&str, &str, &[u8])]) -> PolicyReport {
    let fixture = Fixture::new().await;
    let bare = fixture.bare("a.git", &[]);
    let commit = bare.commit(&bare.tree(old), &[]);
    bare.set_ref("refs/heads/main", &commit);
    let tree = bare.tree(new);
    let quarantine = fixture.quarantine(&bare).await;
    accept(&quarantine, &bare.delivery(&tree, None)).await.unwrap();
    let (_, base_tree) = quarantine.base();
    policy(config).check(&quarantine, base_tree, &tree).await.unwrap()
}

fn denials(report: &PolicyReport) -> Vec<(&str, &str)> {
    let mut denials: Vec<_> = report
        .denials
        .iter()
        .map(|denial| (denial.policy, denial.subject.as_str()))
        .collect();
    denials.sort();
    denials
}

fn github_token() -> String {
    ["ghp_", "a8Bc2dE4fG6hJ1kL3mN5pQ7rS9tU0vW2xY4zA6"].concat()
}

#[tokio::test]
async fn an_ordinary_change_passes_without_a_word() {
    let report = check(
        PolicyConfig::default(),
        &[("100644", "src/a.rs", b"fn a() {}\n"), ("100644", "b", b"1\n")],
        &[("100644", "src/a.rs", b"fn a() { b() }\n"), ("100644", "c", b"1\n")],
    )
    .await;
    assert_eq!(report, PolicyReport::default());
}

#[tokio::test]
async fn secrets_stop_the_push_wherever_they_stand_and_are_never_told() {
    let token = github_token();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, KNOWN);
    let mut binary = vec![0, 1, 2, 255];
    binary.extend(token.as_bytes());
    let long = format!("{}{token}{}", "x ".repeat(65_536 / 2 - 20), " y".repeat(100_000));
    let path = format!("dir/{token}");
    let report = check(
        PolicyConfig::default(),
        &[
            ("100644", "changed", b"1\n2\n3\n"),
            ("100644", "old", format!("{token}\n").as_bytes()),
        ],
        &[
            ("100644", "changed", format!("1\n2\nkey: {token}\n").as_bytes()),
            ("100644", "known", format!("a\n{KNOWN}\n").as_bytes()),
            ("100644", "encoded", encoded.as_bytes()),
            ("100644", "binary", &binary),
            ("100644", "long", long.as_bytes()),
            ("100644", "old", format!("{token}\nand more\n").as_bytes()),
            ("120000", "link", token.as_bytes()),
            ("100644", &path, b""),
        ],
    )
    .await;
    assert_eq!(
        denials(&report),
        [
            ("secret", "a file name"),
            ("secret", "binary"),
            ("secret", "changed"),
            ("secret", "encoded"),
            ("secret", "known"),
            ("secret", "link"),
            ("secret", "long"),
        ]
    );
    let told = report
        .denials
        .iter()
        .find(|denial| denial.subject == "changed")
        .unwrap();
    assert_eq!(told.message, "line 3 has what looks like a GitHub token");
    // `old` had it before; that is not this change's doing.
    let all = format!("{:?}", report.denials);
    assert!(!all.contains(&token) && !all.contains(KNOWN), "{all}");
}

#[tokio::test]
async fn a_secret_that_is_only_removed_passes() {
    let line = format!("{}\n", github_token());
    let report = check(
        PolicyConfig::default(),
        &[("100644", "a", line.as_bytes())],
        &[("100644", "a", b"gone\n")],
    )
    .await;
    assert_eq!(report.denials, []);
}

#[tokio::test]
async fn guesses_can_be_left_to_the_reviewer() {
    let line = format!("api_key = \"{}\"\n", ["q7Zr4Kx", "9Wm2Tb6", "Yd8Nf3"].concat());
    for (guessed_secrets, denied) in [(GuessedSecrets::Deny, 1), (GuessedSecrets::Report, 0)] {
        let config = PolicyConfig {
            guessed_secrets,
            ..PolicyConfig::default()
        };
        let report = check(config, &[("100644", "a", b"")], &[("100644", "a", line.as_bytes())]).await;
        assert_eq!(report.denials.len(), denied);
        assert_eq!(report.findings.len(), 1);
        assert_eq!(report.findings[0].kind, FindingKind::Secret);
    }
}

#[tokio::test]
async fn protected_paths_submodules_and_escaping_links_stop_the_push() {
    let report = check(
        PolicyConfig {
            protected_paths: vec!["migrations/**".into()],
            exempt_paths: vec!["AGENTS.md".into()],
            ..PolicyConfig::default()
        },
        &[
            ("100644", "a", b"1\n"),
            ("100644", ".github/workflows/old.yml", b"a: 1\nb: 2\nc: 3\n"),
        ],
        &[
            ("100644", "a", b"2\n"),
            ("100644", "moved.yml", b"a: 1\nb: 2\nc: 3\n"),
            ("100644", ".github/workflows/new.yml", b"on: push\n"),
            ("100644", "AGENTS.md", b"be nice\n"),
            ("100644", "migrations/1.sql", b"select 1;\n"),
            ("160000", "sub", b"0123456789012345678901234567890123456789"),
            ("120000", "out", b"../../etc/passwd"),
            ("120000", "dir/in", b"../a"),
            ("120000", "root", b"/etc"),
            ("120000", "hooks", b".git/hooks"),
        ],
    )
    .await;
    assert_eq!(
        denials(&report),
        [
            ("protected_path", ".github/workflows/new.yml"),
            ("protected_path", ".github/workflows/old.yml"),
            ("protected_path", "migrations/1.sql"),
            ("submodule", "sub"),
            ("symlink", "hooks"),
            ("symlink", "out"),
            ("symlink", "root"),
        ]
    );
}

#[tokio::test]
async fn a_file_that_becomes_a_link_is_judged_as_a_link() {
    let report = check(
        PolicyConfig::default(),
        &[("100644", "a", b"1\n"), ("100644", "z", b"1\n")],
        &[("120000", "a", b"/etc/passwd"), ("100644", "z", b"2\n")],
    )
    .await;
    assert_eq!(denials(&report), [("symlink", "a")]);
}

#[tokio::test]
async fn changes_over_the_bounds_stop_the_push() {
    let config = || PolicyConfig {
        max_files: 2,
        max_added_lines: 10,
        max_file_bytes: 1000,
        ..PolicyConfig::default()
    };
    let base: &[(&str, &str, &[u8])] = &[("100644", "a", b"1\n")];
    let lines = "x\n".repeat(11);
    for (new, subject) in [
        (
            vec![
                ("100644", "b", b"1".as_slice()),
                ("100644", "c", b"2"),
                ("100644", "d", b"3"),
            ],
            "the change",
        ),
        (vec![("100644", "a", lines.as_bytes())], "the change"),
        (vec![("100644", "a", [b'x'; 1001].as_slice())], "a"),
    ] {
        let report = check(config(), base, &new).await;
        assert_eq!(denials(&report), [("size", subject)]);
    }
    let fits = check(config(), base, &[("100644", "a", [b'x'; 1000].as_slice())]).await;
    assert_eq!(fits.denials, []);
}

#[tokio::test]
async fn reviewers_are_told_of_tests_configuration_and_unusual_files() {
    let report = check(
        PolicyConfig::default(),
        &[
            (
                "100644",
                "tests/test_a.py",
                b"def test_a():\n    assert f() == 1\n\ndef test_b():\n    assert f() == 2\n",
            ),
            ("100644", "tests/test_gone.py", b"def test_c():\n    assert 1\n"),
            ("100644", "run.sh", b"#!/bin/sh\n"),
            ("100644", "Cargo.lock", b"1\n"),
        ],
        &[
            (
                "100644",
                "tests/test_a.py",
                b"@pytest.mark.skip\ndef test_a():\n    assert f() == 1\n",
            ),
            ("100755", "run.sh", b"#!/bin/sh\n"),
            ("100644", "Cargo.lock", b"2\n"),
            ("100644", "conftest.py", b"import os\n"),
            ("100644", "logo.png", b"\x89PNG\0\0"),
        ],
    )
    .await;
    assert_eq!(report.denials, []);
    let mut found: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.path.as_str(), finding.kind, finding.message.as_str()))
        .collect();
    found.sort_by_key(|(path, _, message)| (*path, *message));
    assert_eq!(
        found,
        [
            ("Cargo.lock", FindingKind::SensitivePath, "it pins what is installed"),
            (
                "conftest.py",
                FindingKind::ConfigurationTouched,
                "it steers the test runner"
            ),
            ("logo.png", FindingKind::UnusualFile, "a binary file"),
            ("run.sh", FindingKind::UnusualFile, "it became executable"),
            ("tests/test_a.py", FindingKind::TestDeleted, "1 test fewer"),
            (
                "tests/test_a.py",
                FindingKind::TestSkipped,
                "1 test switched off, or all others are"
            ),
            (
                "tests/test_gone.py",
                FindingKind::TestDeleted,
                "a test file was deleted"
            ),
        ]
    );
}
