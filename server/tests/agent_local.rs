//! The agent and its tools in a real `local` sandbox: what a model reads of each tool, word for word.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is tests, not only what carries the attribute"
)]

#[path = "agent_local/fixture.rs"]
mod fixture;

use std::time::{Duration, Instant};

use backspace_server::agent::AgentEnd;
use backspace_server::orchestrator::analyse::code_map::Outliner;
use backspace_server::orchestrator::analyse::tree::{SandboxTree, TreeListing};
use backspace_server::orchestrator::analyse::{self, Analysis};
use backspace_server::sandbox::ExecSpec;
use fixture::{Fixture, Script};
use tokio_util::sync::CancellationToken;

fn json(value: serde_json::Value) -> String {
    value.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tool_does_in_the_sandbox_what_it_says() {
    let patch =
        "*** Begin Patch\n*** Update File: src/b.txt\n@@\n one\n-two\n+2\n*** Add File: src/c.txt\n+new\n*** End Patch";
    let bad_patch =
        "*** Begin Patch\n*** Delete File: src/c.txt\n*** Update File: src/b.txt\n-nowhere\n+x\n*** End Patch";
    let calls: Vec<(&str, String, &str)> = vec![
        (
            "bash",
            json(serde_json::json!({"command": "pwd; x=(1 2); echo ${x[1]}; cat; false"})),
            "/workspace\n2\n[exit code 1]",
        ),
        (
            "write_file",
            json(serde_json::json!({"path": "src/b.txt", "content": "one\ntwo\nthree\n"})),
            "created src/b.txt with 3 lines",
        ),
        (
            "read_file",
            json(serde_json::json!({"path": "src/b.txt"})),
            "one\ntwo\nthree\n",
        ),
        (
            "read_file",
            json(serde_json::json!({"path": "src/b.txt", "offset": 2, "limit": 1})),
            "two\n[lines 2 to 2 of 3]",
        ),
        (
            "read_file",
            json(serde_json::json!({"path": "src/b.txt", "offset": 9})),
            "src/b.txt: has only 3 lines",
        ),
        (
            "read_file",
            json(serde_json::json!({"path": "nowhere"})),
            "nowhere: no such file or folder",
        ),
        (
            "edit_file",
            json(serde_json::json!({"path": "src/b.txt", "old": "three", "new": "3"})),
            "changed src/b.txt at line 3",
        ),
        (
            "apply_patch",
            json(serde_json::json!({"patch": patch})),
            "changed src/b.txt\ncreated src/c.txt",
        ),
        (
            "apply_patch",
            json(serde_json::json!({"patch": bad_patch})),
            "apply_patch: src/b.txt: place 1: the file has no line `nowhere`; nothing was changed",
        ),
        (
            "grep",
            json(serde_json::json!({"pattern": "^(2|new)$"})),
            "src/b.txt:2: 2\nsrc/c.txt:1: new",
        ),
        ("grep", json(serde_json::json!({"pattern": "zzz"})), "[no line matches]"),
        (
            "glob",
            json(serde_json::json!({"pattern": "src/*.txt"})),
            "src/b.txt\nsrc/c.txt",
        ),
        (
            "bash",
            json(serde_json::json!({"command": "cat src/b.txt"})),
            "one\n2\n3\n[exit code 0]",
        ),
        (
            "bash",
            json(serde_json::json!({"command": "kill -9 $$"})),
            "[killed by signal 9]",
        ),
    ];
    let fixture = Fixture::new().await;
    let given: Vec<(&str, &str)> = calls
        .iter()
        .map(|(tool, arguments, _)| (*tool, arguments.as_str()))
        .collect();
    let script = Script::new(vec![given.clone(), vec![("finish", r#"{"summary": "done"}"#)]]);
    let end = fixture.run(&script, &CancellationToken::new()).await;
    assert!(
        matches!(&end, AgentEnd::Finished { summary } if summary == "done"),
        "{end:?}"
    );
    let right: Vec<&str> = calls.iter().map(|(_, _, right)| *right).collect();
    assert_eq!(script.results_seen(1), right);
    fixture.sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_output_is_cut_for_the_model_and_whole_where_it_is_told() {
    let fixture = Fixture::new().await;
    let script = Script::new(vec![
        vec![("bash", r#"{"command": "seq 1 20000"}"#)],
        vec![("finish", r#"{"summary": "done"}"#)],
    ]);
    fixture.run(&script, &CancellationToken::new()).await;
    let seen = script.results_seen(1).remove(0);
    assert!(
        seen.len() < 32_000 && seen.starts_with("1\n2\n"),
        "{} bytes",
        seen.len()
    );
    assert!(
        seen.contains("\n19999\n20000\n[exit code 0]\n[the whole output, 108894 bytes, is in "),
        "{}",
        &seen[seen.len() - 300..]
    );
    let (_, path) = seen.rsplit_once(" is in ").unwrap();
    let (path, _) = path.split_once(':').unwrap();
    let count = ExecSpec::shell(&format!("wc -l < {path}"), Duration::from_secs(20));
    let report = fixture.sandbox.exec(count, None).await.unwrap();
    assert_eq!(String::from_utf8(report.output).unwrap().trim(), "20000");
    fixture.sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_limit_and_a_cancel_kill_all_processes() {
    let fixture = Fixture::new().await;
    let left = r#"{"command": "sleep 1000 & sleep 1000", "timeout_seconds": 1}"#;
    let script = Script::new(vec![
        vec![("bash", left)],
        vec![("bash", r#"{"command": "sleep 1000"}"#)],
    ]);
    let cancel = CancellationToken::new();
    let begun = Instant::now();
    let watch = async {
        while script.requests() < 2 || !fixture.journal.has_started("t2.1") {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (end, ()) = tokio::join!(fixture.run(&script, &cancel), watch);
    assert!(matches!(end, AgentEnd::Cancelled), "{end:?}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    let seen = script.results_seen(1).remove(0);
    assert!(seen.starts_with("[killed after 1 s by its time limit"), "{seen}");
    let count = ExecSpec::shell("cat /proc/[0-9]*/comm | grep -cx sleep", Duration::from_secs(20));
    let report = fixture.sandbox.exec(count, None).await.unwrap();
    assert_eq!(String::from_utf8(report.output).unwrap().trim(), "0");
    fixture.sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_analysed_through_the_sandbox() {
    let fixture = Fixture::new().await;
    let make = "mkdir -p .github/workflows a && echo 'Be brief.' > AGENTS.md && echo > a/main.go && echo 'module m' > go.mod \
&& printf '[paths]\\nprotected = [\"a/**\"]\\n' > .backspace.toml";
    let report = fixture
        .sandbox
        .exec(ExecSpec::shell(make, Duration::from_secs(20)), None)
        .await
        .unwrap();
    assert_eq!(report.exit_code, Some(0), "{}", String::from_utf8_lossy(&report.output));
    let tree = SandboxTree(fixture.sandbox.as_ref());
    let listing = TreeListing::new(tree.paths().await.unwrap(), &tree);
    let Analysis {
        languages,
        verification_commands,
        instruction_files,
        settings,
        ..
    } = analyse::analyse(&listing, &Outliner::default()).await.unwrap();
    assert_eq!(languages[0].name, "Go");
    assert_eq!(verification_commands, ["go vet ./...", "go test ./..."]);
    assert_eq!(instruction_files[0].text, "Be brief.\n");
    assert_eq!(settings.protected_paths, ["a/**"]);
    fixture.sandbox.destroy().await.unwrap();
}
