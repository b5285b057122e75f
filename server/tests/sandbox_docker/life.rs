//! How a container comes to be, is left, attached to again, and ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::docker::DockerProvider;
use backspace_server::sandbox::{
    ExecSpec, OutputMode, Sandbox, SandboxError, SandboxLimits, SandboxProvider as _, SandboxSpec,
};
use tokio::sync::mpsc;

use crate::fixture::{Backend, are_paths_shared, config, docker, provider};
use crate::inside::{MINUTE, output, spec};

fn container(sandbox: &dyn Sandbox) -> String {
    format!("backspace-{}", sandbox.id())
}

#[tokio::test]
async fn a_destroyed_sandbox_leaves_nothing_and_may_be_destroyed_again() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    assert_eq!(backend.leftovers(), [container(sandbox.as_ref())]);
    sandbox.destroy().await.unwrap();
    assert_eq!(backend.leftovers(), Vec::<String>::new());
    sandbox.destroy().await.unwrap();
    let lost = sandbox.exec(ExecSpec::shell("true", MINUTE), None).await;
    assert!(matches!(lost, Err(SandboxError::Lost { .. })), "{lost:?}");
}

#[tokio::test]
async fn what_a_container_wrote_goes_with_it() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let format = "{{range .Mounts}}{{.Name}} {{.Destination}}\n{{end}}";
    let mounts = docker(&["inspect", "--format", format, &container(sandbox.as_ref())]);
    let own = ["/workspace", "/.backspace/spill"];
    let volumes: Vec<_> = mounts
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, place)| !name.is_empty() && own.contains(place))
        .map(|(name, _)| name)
        .collect();
    let exist = || {
        let all = docker(&["volume", "ls", "--quiet"]);
        volumes
            .iter()
            .filter(|name| all.lines().any(|line| line == **name))
            .count()
    };
    assert_eq!(exist(), 2, "the control: {mounts}");
    sandbox.destroy().await.unwrap();
    assert_eq!(exist(), 0);
}

#[tokio::test]
async fn a_restarted_server_attaches_to_the_container_again() {
    let backend = Backend::new();
    let spec = spec();
    let sandbox = backend.provider.create(spec.clone()).await.unwrap();
    output(sandbox.as_ref(), "echo kept > file; echo also > /tmp/file").await;
    sandbox.detach().await;
    drop(sandbox);

    let restarted = provider(backend.state.path());
    let again = restarted.reattach(spec.clone()).await.unwrap().unwrap();
    assert_eq!(
        output(again.as_ref(), "cat file /tmp/file; id -u").await,
        "kept\nalso\n1000\n"
    );
    again.destroy().await.unwrap();
    assert!(restarted.reattach(spec).await.unwrap().is_none());
}

/// The first server is cut off in the middle of a flood, as by a crash; what the second one gets is exact.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_in_the_middle_of_output_nothing_is_lost_or_doubled() {
    let backend = Backend::new();
    let spec = spec();
    let sandbox = backend.provider.create(spec.clone()).await.unwrap();
    for round in 0..3 {
        let (chunks, mut received) = mpsc::channel(4);
        let running = Jobs::new().spawn("flood", {
            let sandbox = Arc::clone(&sandbox);
            let flood = ExecSpec {
                output: OutputMode::Streamed,
                ..ExecSpec::shell("echo x > beat; yes backspace-flood", MINUTE)
            };
            async move { sandbox.exec(flood, Some(chunks)).await }
        });
        for _ in 0..50 + round {
            received.recv().await.unwrap();
        }
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
    }
    // Nobody says goodbye.
    drop(sandbox);

    let again = provider(backend.state.path()).reattach(spec).await.unwrap().unwrap();
    assert_eq!(output(again.as_ref(), "cat beat; pgrep -c yes || true").await, "x\n0\n");
    let (chunks, mut received) = mpsc::channel(4);
    let counting = ExecSpec {
        output: OutputMode::Streamed,
        ..ExecSpec::shell("seq 1 200000", MINUTE)
    };
    let (report, text) = tokio::join!(again.exec(counting, Some(chunks)), async {
        let mut text = Vec::new();
        while let Some(chunk) = received.recv().await {
            assert_eq!(chunk.offset, text.len() as u64);
            text.extend_from_slice(&chunk.data);
        }
        String::from_utf8(text).unwrap()
    });
    assert_eq!(report.unwrap().exit_code, Some(0));
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert!(text == expected, "{} bytes of {}", text.len(), expected.len());
    again.destroy().await.unwrap();
}

#[tokio::test]
async fn an_older_run_does_not_take_a_container_back() {
    let backend = Backend::new();
    let newer = SandboxSpec {
        epoch: backspace_server::task::id::Epoch(7),
        ..spec()
    };
    let sandbox = backend.provider.create(newer.clone()).await.unwrap();
    let older = SandboxSpec {
        epoch: backspace_server::task::id::Epoch(6),
        ..newer
    };
    let refused = provider(backend.state.path()).reattach(older).await.err().unwrap();
    assert!(matches!(refused, SandboxError::Lost { .. }), "{refused}");
    assert_eq!(output(sandbox.as_ref(), "echo alive").await, "alive\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_container_ends_at_its_deadline_without_any_server() {
    let backend = Backend::new();
    let spec = SandboxSpec {
        deadline: Duration::from_secs(2),
        ..spec()
    };
    let sandbox = backend.provider.create(spec).await.unwrap();
    sandbox.detach().await;
    drop(sandbox);
    let begun = Instant::now();
    while !backend.leftovers().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}

#[tokio::test]
async fn a_killed_container_is_lost_at_once_and_leaves_nothing() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let begun = Instant::now();
    let (ended, _) = tokio::join!(sandbox.exec(ExecSpec::shell("sleep 1000", MINUTE), None), async {
        docker(&["kill", &container(sandbox.as_ref())])
    });
    assert!(matches!(ended, Err(SandboxError::Lost { .. })), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    sandbox.destroy().await.unwrap();
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_running_command_is_ended_by_destruction_within_five_seconds() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let stubborn = ExecSpec::shell("trap '' TERM INT; while :; do sleep 100; done", MINUTE);
    let (ended, took) = tokio::join!(sandbox.exec(stubborn, None), async {
        let begun = Instant::now();
        sandbox.destroy().await.unwrap();
        begun.elapsed()
    });
    assert!(matches!(ended, Err(SandboxError::Lost { .. })), "{ended:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_sweep_removes_what_is_not_kept_not_alive_and_not_another_servers() {
    let (backend, other) = (Backend::new(), Backend::new());
    let foreign = other.sandbox().await;
    let (left, kept) = (backend.sandbox().await, backend.sandbox().await);
    left.detach().await;
    kept.detach().await;
    let restarted = provider(backend.state.path());
    let alive = restarted.create(spec()).await.unwrap();
    assert_eq!(restarted.sweep(&[kept.id()]).await.unwrap(), 1);
    let mut expected = [container(kept.as_ref()), container(alive.as_ref())];
    expected.sort();
    let mut found = backend.leftovers();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(output(alive.as_ref(), "echo alive").await, "alive\n");
    assert_eq!(output(foreign.as_ref(), "echo alive").await, "alive\n");
    // One that nobody holds any more, though this process made it.
    drop(alive);
    assert_eq!(restarted.sweep(&[]).await.unwrap(), 2);
    assert_eq!(backend.leftovers(), Vec::<String>::new());
    foreign.destroy().await.unwrap();
}

#[tokio::test]
async fn a_supervisor_that_vanished_is_there_again_for_the_next_container() {
    let backend = Backend::new();
    backend.sandbox().await.destroy().await.unwrap();
    for entry in std::fs::read_dir(backend.state.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.to_str().unwrap().contains("/supervisor-") {
            std::fs::remove_file(path).unwrap();
        }
    }
    // Where no path is shared the engine has it in a volume, and misses no file.
    let next = backend.provider.create(spec()).await;
    assert_eq!(next.is_err(), are_paths_shared());
    if let Ok(sandbox) = next {
        sandbox.destroy().await.unwrap();
    }
    backend.sandbox().await.destroy().await.unwrap();
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_sandbox_is_not_made_over_another_of_the_same_id() {
    let backend = Backend::new();
    let spec = spec();
    let first = backend.provider.create(spec.clone()).await.unwrap();
    output(first.as_ref(), "echo mine > file").await;
    let refused = backend.provider.create(spec).await.err().unwrap();
    assert!(matches!(refused, SandboxError::Unavailable { .. }), "{refused}");
    assert_eq!(output(first.as_ref(), "cat file").await, "mine\n");
    first.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_nobody_waits_for_leaves_nothing() {
    let backend = Backend::new();
    // The ground is known, so that what is given up is the making of the container.
    backend.sandbox().await.destroy().await.unwrap();
    for delay_ms in [0, 20, 60, 150, 300] {
        let given_up = tokio::time::timeout(Duration::from_millis(delay_ms), backend.provider.create(spec())).await;
        drop(given_up);
    }
    let begun = Instant::now();
    while !backend.leftovers().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", backend.leftovers());
        backend.provider.sweep(&[]).await.unwrap();
    }
}

#[tokio::test]
async fn what_can_not_be_made_says_why_and_leaves_nothing() {
    let backend = Backend::new();
    let state = backend.state.path();
    let refused = |change: fn(&mut backspace_server::sandbox::docker::DockerConfig)| {
        let mut config = config(state);
        change(&mut config);
        let provider = DockerProvider::new(config, Jobs::new());
        async move { provider?.create(spec()).await.map(drop) }
    };
    let image = refused(|config| config.images.default = "backspace-no-such-image:1".into()).await;
    assert!(
        matches!(&image, Err(SandboxError::Image { message }) if message.contains("backspace-no-such-image:1")),
        "{image:?}"
    );
    let runtime = refused(|config| config.runtime = Some("no-such-runtime".into())).await;
    assert!(
        matches!(&runtime, Err(SandboxError::Unsupported { message }) if message.contains("no-such-runtime")),
        "{runtime:?}"
    );
    let supervisor = refused(|config| config.supervisor = "/etc/hostname".into()).await;
    assert!(supervisor.is_err());
    let engine = refused(|config| {
        config.engine = backspace_server::sandbox::docker::EngineAddress::Socket("/nonexistent/docker.sock".into());
    })
    .await;
    assert!(
        matches!(&engine, Err(SandboxError::Unsupported { message }) if message.contains("/nonexistent/docker.sock")),
        "{engine:?}"
    );
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn an_engine_that_hangs_or_is_gone_is_told_in_time() {
    let state = tempfile::tempdir().unwrap();
    let socket = state.path().join("engine.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut config = config(state.path());
    config.engine = backspace_server::sandbox::docker::EngineAddress::Socket(socket.clone());
    config.answer_deadline = Duration::from_secs(1);
    let provider = DockerProvider::new(config, Jobs::new()).unwrap();
    let begun = Instant::now();
    for what in ["did not answer within 1 s", "does not answer"] {
        let refused = [
            provider.create(spec()).await.err().unwrap(),
            provider.reattach(spec()).await.err().unwrap(),
            provider.sweep(&[]).await.err().unwrap(),
            provider.self_test().await.err().unwrap(),
        ];
        for error in refused {
            let is_told = matches!(&error, SandboxError::Unavailable { message } if message.contains(what));
            assert!(is_told, "{what}: {error:?}");
        }
        // The second time there is nobody any more.
        drop(std::fs::remove_file(&socket));
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    drop(listener);
}

#[tokio::test]
async fn the_supervisor_comes_by_a_path_only_where_paths_are_shared() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let format = "{{range .Mounts}}{{.Destination}} {{.Type}}\n{{end}}";
    let mounts = docker(&["inspect", "--format", format, &container(sandbox.as_ref())]);
    let expected = if are_paths_shared() {
        "/.backspace/bin/backspace-supervisor bind"
    } else {
        "/.backspace/bin volume"
    };
    assert!(mounts.lines().any(|line| line == expected), "{expected}: {mounts}");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn limits_are_those_of_the_spec_and_the_self_test_says_what_holds() {
    let backend = Backend::new();
    let found = backend.provider.self_test().await.unwrap();
    for layer in [
        "namespaces",
        "mount-tree",
        "network",
        "capabilities",
        "no-new-privileges",
        "seccomp",
        "memory",
        "pids",
        "cpu",
    ] {
        assert!(found.enforced.iter().any(|name| name == layer), "{layer}: {found:?}");
    }
    assert!(
        found.not_enforced.iter().any(|line| line.contains("user namespaces")),
        "{found:?}"
    );
    assert_eq!(backend.leftovers(), Vec::<String>::new());

    let spec = SandboxSpec {
        limits: SandboxLimits {
            memory_bytes: 300 << 20,
            cpu_millis: 500,
            pids: 77,
            ..SandboxLimits::default()
        },
        ..spec()
    };
    let sandbox = backend.provider.create(spec).await.unwrap();
    let format = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}";
    let limits = docker(&["inspect", "--format", format, &container(sandbox.as_ref())]);
    assert_eq!(limits.trim(), "314572800 314572800 500000000 141");
    sandbox.destroy().await.unwrap();
}
