//! Containers that are kept ready.

use std::time::{Duration, Instant};

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::docker::DockerProvider;
use backspace_server::sandbox::{PoolNumbers, SandboxLimits, SandboxProvider as _, SandboxSpec};

use crate::fixture::{Backend, config};
use crate::inside::{output, spec};

fn numbers(provider: &DockerProvider) -> PoolNumbers {
    provider.pool().unwrap()
}

fn pooled(backend: &Backend, jobs: &Jobs) -> DockerProvider {
    let mut config = config(backend.state.path());
    config.pool_size = 1;
    DockerProvider::new(config, jobs.clone()).unwrap()
}

/// Waits for the job beside, which tells nobody when it has a container ready.
async fn filled(provider: &DockerProvider) {
    let begun = Instant::now();
    while numbers(provider).ready == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no container became ready");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_container_becomes_the_sandbox_that_is_asked_for() {
    let (backend, jobs) = (Backend::new(), Jobs::new());
    let provider = pooled(&backend, &jobs);
    provider.self_test().await.unwrap();
    filled(&provider).await;
    let before = numbers(&provider);
    let spec = SandboxSpec {
        environment: vec![("GIVEN".into(), "late".into())],
        ..spec()
    };
    let sandbox = provider.create(spec.clone()).await.unwrap();
    assert_eq!(numbers(&provider).hits, before.hits + 1);
    assert_eq!(sandbox.id(), spec.id);
    assert_eq!(
        output(sandbox.as_ref(), "echo $GIVEN; echo kept > file; id -u").await,
        "late\n1000\n"
    );
    // It is found again by the id that it was given, and swept by no other.
    sandbox.detach().await;
    drop(sandbox);
    let restarted = crate::fixture::provider(backend.state.path());
    let again = restarted.reattach(spec).await.unwrap().unwrap();
    assert_eq!(output(again.as_ref(), "cat file").await, "kept\n");
    again.destroy().await.unwrap();
    // With the server those go that nobody has asked for.
    filled(&provider).await;
    assert_eq!(backend.leftovers().len(), 1);
    assert!(jobs.shutdown(Duration::from_secs(20)).await);
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_ready_container_can_not_become_is_made_anew() {
    let (backend, jobs) = (Backend::new(), Jobs::new());
    let provider = pooled(&backend, &jobs);
    provider.self_test().await.unwrap();
    filled(&provider).await;
    let PoolNumbers { hits, misses, .. } = numbers(&provider);
    let other_limits = SandboxSpec {
        limits: SandboxLimits {
            pids: 99,
            ..SandboxLimits::default()
        },
        ..spec()
    };
    let large = SandboxSpec {
        base_bytes: 100 << 20,
        ..spec()
    };
    for spec in [large, other_limits] {
        let sandbox = provider.create(spec).await.unwrap();
        output(sandbox.as_ref(), "true").await;
        sandbox.destroy().await.unwrap();
    }
    let found = numbers(&provider);
    // The large one is none that could have been made of a ready one.
    assert_eq!((found.size, found.hits, found.misses - misses), (1, hits, 1));
    assert!(jobs.shutdown(Duration::from_secs(20)).await);
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_container_that_died_costs_nothing_but_time() {
    let (backend, jobs) = (Backend::new(), Jobs::new());
    let provider = pooled(&backend, &jobs);
    provider.self_test().await.unwrap();
    filled(&provider).await;
    for name in backend.leftovers() {
        crate::fixture::docker(&["rm", "--force", &name]);
    }
    let sandbox = provider.create(spec()).await.unwrap();
    output(sandbox.as_ref(), "true").await;
    sandbox.destroy().await.unwrap();
    assert!(jobs.shutdown(Duration::from_secs(20)).await);
    // Whoever removed it has left its volumes.
    assert_eq!(provider.sweep(&[]).await.unwrap(), 0);
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}
