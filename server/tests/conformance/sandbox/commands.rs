//! Commands: how they start, and that nothing of them is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backspace_server::sandbox::{ExecSpec, FileRequest, Sandbox, SandboxError};
use tokio::sync::mpsc;

use super::{MINUTE, file, run, text};

/// Starts a process that leaves the session and all its parents, and shows for ever that it lives.
const DAEMON: &str = "setsid sh -c '(while :; do echo x >> beat; sleep 0.01; done) &' \
    && until [ -s beat ]; do sleep 0.01; done";

/// Succeeds when the daemon is seen to live within a moment.
const IS_BEATING: &str = "a=$(wc -c < beat); for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.05; \
    [ \"$a\" = \"$(wc -c < beat)\" ] || exit 0; done; exit 1";

pub async fn exit_codes_and_signals_are_told(sandbox: &Arc<dyn Sandbox>) {
    let report = run(sandbox, "exit 7").await;
    assert_eq!(
        (report.exit_code, report.signal, report.timed_out),
        (Some(7), None, false)
    );
    let report = run(sandbox, "kill -TERM $$").await;
    assert_eq!(
        (report.exit_code, report.signal, report.timed_out),
        (None, Some(15), false)
    );
    assert!(!report.out_of_memory);
}

pub async fn a_command_that_can_not_start_says_why(sandbox: &Arc<dyn Sandbox>) {
    let refusal = |argv: &[&str], folder: Option<&str>| {
        let spec = ExecSpec {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            folder: folder.map(str::to_owned),
            ..ExecSpec::shell("", MINUTE)
        };
        async move {
            match sandbox.exec(spec, None).await {
                Err(SandboxError::Start { message }) => message,
                other => panic!("{other:?}"),
            }
        }
    };
    let message = refusal(&["no-such-program"], None).await;
    assert!(
        message.contains("no-such-program") && message.contains("No such file"),
        "{message}"
    );
    let message = refusal(&["/bin/true"], Some("/no/such/folder")).await;
    assert!(message.contains("/no/such/folder"), "{message}");
    let message = refusal(&["/etc/hosts"], None).await;
    assert!(message.contains("Permission denied"), "{message}");
    refusal(&[], None).await;
    refusal(&["true", "a\0b"], None).await;
}

pub async fn the_environment_is_as_given_and_the_call_wins(sandbox: &Arc<dyn Sandbox>) {
    let spec = ExecSpec {
        environment: vec![("GIVEN".into(), "a b\nc=d".into()), ("HOME".into(), "/tmp".into())],
        ..ExecSpec::shell("printf '%s|%s|%s' \"$GIVEN\" \"$HOME\" \"$NOT_GIVEN\"", MINUTE)
    };
    let report = sandbox.exec(spec, None).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&report.output), "a b\nc=d|/tmp|");
    assert_eq!(text(sandbox, "printf %s \"$GIVEN$HOME\"").await, "/home/agent");
}

pub async fn the_working_folder_is_the_work_tree_or_as_given(sandbox: &Arc<dyn Sandbox>) {
    assert_eq!(text(sandbox, "pwd; mkdir sub").await, "/workspace\n");
    for (folder, expected) in [("sub", "/workspace/sub\n"), ("/tmp", "/tmp\n")] {
        let spec = ExecSpec {
            folder: Some(folder.into()),
            ..ExecSpec::shell("pwd", MINUTE)
        };
        let report = sandbox.exec(spec, None).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&report.output), expected);
    }
}

pub async fn stdin_is_at_its_end(sandbox: &Arc<dyn Sandbox>) {
    assert_eq!(text(sandbox, "cat; read line || echo ended").await, "ended\n");
}

pub async fn a_daemon_that_holds_stdout_does_not_hold_the_call_and_dies_with_it(sandbox: &Arc<dyn Sandbox>) {
    // The control: within its own command the daemon lives.
    text(sandbox, &format!("{DAEMON}; {IS_BEATING}")).await;
    let begun = Instant::now();
    assert_eq!(
        text(sandbox, &format!("rm beat; {DAEMON}; sleep 1000 & echo over")).await,
        "over\n"
    );
    assert!(begun.elapsed() < MINUTE);
    assert_eq!(run(sandbox, IS_BEATING).await.exit_code, Some(1));
}

pub async fn a_time_limit_kills_what_has_left_the_session(sandbox: &Arc<dyn Sandbox>) {
    let limit = Duration::from_secs(2);
    let command = format!("trap '' TERM HUP INT; {DAEMON}; ({IS_BEATING}) && echo beats; while :; do sleep 100; done");
    let spec = ExecSpec::shell(&command, limit);
    let report = sandbox.exec(spec, None).await.unwrap();
    assert_eq!(
        (report.exit_code, report.signal, report.timed_out),
        (None, Some(9), true)
    );
    assert_eq!(report.output, b"beats\n");
    assert!(report.duration >= limit, "{:?}", report.duration);
    assert_eq!(run(sandbox, "test -s beat").await.exit_code, Some(0));
    assert_eq!(run(sandbox, IS_BEATING).await.exit_code, Some(1));
}

pub async fn a_dropped_call_kills_its_command(sandbox: &Arc<dyn Sandbox>) {
    let (chunks, mut received) = mpsc::channel(4);
    let call = sandbox.exec(
        ExecSpec::shell(&format!("{DAEMON}; echo lives; sleep 1000"), Duration::from_secs(1000)),
        Some(chunks),
    );
    tokio::select! {
        report = call => panic!("{report:?}"),
        chunk = received.recv() => assert_eq!(&*chunk.unwrap().data, b"lives\n"),
    }
    // The kill is on its way; a later command is started after it.
    let mut beats = Some(0);
    for _ in 0..20 {
        beats = run(sandbox, IS_BEATING).await.exit_code;
        if beats == Some(1) {
            break;
        }
    }
    assert_eq!(beats, Some(1));
}

pub async fn commands_run_side_by_side(sandbox: &Arc<dyn Sandbox>) {
    // None can end before all have begun, and each gets its own output.
    let wait = "until [ $(ls here | wc -l) = 8 ]; do sleep 0.01; done";
    text(sandbox, "mkdir here").await;
    let outputs = futures_util::future::join_all((0..8).map(|number| {
        let command = format!("touch here/{number}; {wait}; echo {number}");
        async move { text(sandbox, &command).await }
    }));
    let listing = file(
        sandbox,
        FileRequest::List {
            path: ".".into(),
            limit: 10,
        },
    );
    let (outputs, listing) = tokio::join!(outputs, listing);
    assert_eq!(outputs, (0..8).map(|number| format!("{number}\n")).collect::<Vec<_>>());
    listing.unwrap();
}
