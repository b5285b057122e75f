//! What a command may use up. After each attack the sandbox goes on.

use std::time::Duration;

use backspace_server::sandbox::{ExecSpec, Sandbox, SandboxLimits, SandboxProvider as _, SandboxSpec};

use crate::fixture::Backend;
use crate::inside::{outcome, output, report, spec};

async fn sandbox_with(backend: &Backend, limits: SandboxLimits) -> std::sync::Arc<dyn Sandbox> {
    let spec = SandboxSpec { limits, ..spec() };
    backend.provider.create(spec).await.unwrap()
}

#[tokio::test]
async fn a_fork_bomb_ends_with_its_time_and_leaves_the_sandbox_usable() {
    let backend = Backend::new();
    let limits = SandboxLimits {
        pids: 100,
        ..SandboxLimits::default()
    };
    let sandbox = sandbox_with(&backend, limits).await;
    let bomb = ExecSpec::shell("bomb() { bomb | bomb & }; bomb; sleep 30", Duration::from_secs(2));
    let bombed = sandbox.exec(bomb, None).await.unwrap();
    assert!(bombed.duration < Duration::from_secs(15), "{:?}", bombed.duration);
    assert_eq!(output(sandbox.as_ref(), "echo usable").await, "usable\n");

    let fork_many = "perl -e 'for (1..1000) { my $p = fork; defined $p or print($_) , exit; $p or sleep 60 }'";
    let count: u32 = output(sandbox.as_ref(), fork_many).await.parse().unwrap();
    assert!((50..=170).contains(&count), "{count}");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_hog_of_memory_is_ended_and_said_to_be() {
    let backend = Backend::new();
    let limits = SandboxLimits {
        memory_bytes: 256 << 20,
        ..SandboxLimits::default()
    };
    let sandbox = sandbox_with(&backend, limits).await;
    let hogged = report(sandbox.as_ref(), "perl -e '$x = \"a\" x (1<<30); print length $x'").await;
    assert_ne!(hogged.exit_code, Some(0));
    let aggregate = backend
        .provider
        .self_test()
        .await
        .unwrap()
        .enforced
        .iter()
        .any(|name| name == "memory");
    assert_eq!(hogged.out_of_memory, aggregate, "{hogged:?}");
    // The control: less than the limit is given.
    assert_eq!(
        output(sandbox.as_ref(), "perl -e '$x = \"a\" x (32<<20); print length $x'").await,
        "33554432"
    );
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn memory_file_systems_are_full_at_their_size() {
    let backend = Backend::new();
    let limits = SandboxLimits {
        tmp_bytes: 8 << 20,
        ..SandboxLimits::default()
    };
    let sandbox = sandbox_with(&backend, limits).await;
    for (folder, megabytes) in [("/tmp", 8), ("/home/agent", 8), ("/dev/shm", 64), ("/run", 16)] {
        output(
            sandbox.as_ref(),
            &format!("head -c 1000000 /dev/zero > {folder}/little"),
        )
        .await;
        let (status, text) = outcome(
            sandbox.as_ref(),
            &format!("head -c {}000000 /dev/zero > {folder}/much", megabytes * 2),
        )
        .await;
        assert_ne!(status, Some(0), "{folder}");
        assert!(text.contains("No space left"), "{folder}: {text}");
        output(sandbox.as_ref(), &format!("rm {folder}/much {folder}/little")).await;
    }
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_single_file_stays_below_the_disk_limit() {
    let backend = Backend::new();
    let limits = SandboxLimits {
        disk_bytes: 4 << 20,
        ..SandboxLimits::default()
    };
    let sandbox = sandbox_with(&backend, limits).await;
    output(sandbox.as_ref(), "head -c 3000000 /dev/zero > less").await;
    assert_ne!(
        outcome(sandbox.as_ref(), "head -c 9000000 /dev/zero > more").await.0,
        Some(0)
    );
    let size: u64 = output(sandbox.as_ref(), "stat -c %s more")
        .await
        .trim()
        .parse()
        .unwrap();
    assert!(size <= 4 << 20, "{size}");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_daemon_that_hides_is_dead_when_its_command_ends() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let daemon = "(setsid sh -c 'trap \"\" HUP TERM INT; while :; do date +%s%N > /workspace/beat; done' &) & \
                  while ! test -s /workspace/beat; do :; done";
    output(sandbox.as_ref(), daemon).await;
    // Two reads with work in between: a living daemon would have written anew.
    let first = output(sandbox.as_ref(), "cat beat").await;
    output(
        sandbox.as_ref(),
        "i=0; while test $i -lt 50; do date > /dev/null; i=$((i+1)); done",
    )
    .await;
    assert_eq!(output(sandbox.as_ref(), "cat beat").await, first);
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_command_past_its_time_is_ended_with_all_it_started() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let spec = ExecSpec::shell("trap '' TERM; sleep 600 & sleep 600", Duration::from_millis(300));
    let ended = sandbox.exec(spec, None).await.unwrap();
    assert!(ended.timed_out);
    assert!(ended.duration < Duration::from_secs(20));
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_command_is_a_better_victim_than_the_supervisor() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    assert_eq!(output(sandbox.as_ref(), "cat /proc/self/oom_score_adj").await, "1000\n");
    sandbox.destroy().await.unwrap();
}
