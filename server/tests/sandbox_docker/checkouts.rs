//! A kept checkout under a work tree: there at once, changeable inside, never changed itself. All of it is the engine's,
//! so it works where no path is shared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::docker::DockerProvider;
use backspace_server::sandbox::{Sandbox, SandboxProvider as _, SandboxSpec};

use crate::fixture::{Backend, config, docker, provider};
use crate::inside::{output, spec};

/// Makes a sandbox whose work tree can be kept, and fills it.
async fn filled(provider: &DockerProvider) -> Arc<dyn Sandbox> {
    let sandbox = provider.create_for_checkout(spec()).await.unwrap().unwrap();
    let fill = "echo old > file && mkdir folder && echo old > folder/gone && ln -s file link";
    output(sandbox.as_ref(), fill).await;
    sandbox
}

/// Fills a work tree and keeps it under a key.
async fn keep(provider: &DockerProvider, key: &str) {
    let sandbox = filled(provider).await;
    assert!(provider.keep_checkout(&sandbox, key, 100).await.unwrap().is_some());
}

async fn over(provider: &DockerProvider, key: &str) -> (SandboxSpec, Arc<dyn Sandbox>) {
    let spec = SandboxSpec {
        checkout: provider.checkout(key).await,
        ..spec()
    };
    assert!(spec.checkout.is_some());
    let sandbox = provider.create(spec.clone()).await.unwrap();
    (spec, sandbox)
}

fn remove_kept(backend: &Backend) {
    for name in backend.leftovers() {
        docker(&["volume", "rm", &name]);
    }
}

#[tokio::test]
async fn a_checkout_is_the_start_of_the_work_tree_and_stays_as_it_was() {
    let backend = Backend::new();
    keep(&backend.provider, "key").await;
    assert_eq!(backend.provider.checkout("other").await, None);
    let (spec, sandbox) = over(&backend.provider, "key").await;
    let work = "cat file && echo new > file && rm -r folder && echo made > fresh && stat -c %u . file link";
    assert_eq!(output(sandbox.as_ref(), work).await, "old\n1000\n1000\n1000\n");
    sandbox.detach().await;
    drop(sandbox);
    let restarted = provider(backend.state.path());
    let again = restarted.reattach(spec).await.unwrap().unwrap();
    assert_eq!(
        output(again.as_ref(), "cat file fresh; ls").await,
        "new\nmade\nfile\nfresh\nlink\n"
    );

    // A second one beside it sees nothing of that, and a restarted server still has the checkout.
    let (_, second) = over(&restarted, "key").await;
    assert_eq!(
        output(second.as_ref(), "cat file folder/gone; ls").await,
        "old\nold\nfile\nfolder\nlink\n"
    );
    second.destroy().await.unwrap();
    again.destroy().await.unwrap();
    let left = backend.leftovers();
    assert!(matches!(left.as_slice(), [tree] if tree.ends_with("-tree")), "{left:?}");
    remove_kept(&backend);
}

#[tokio::test]
async fn a_sweep_keeps_checkouts_and_removes_what_was_not_kept() {
    let backend = Backend::new();
    keep(&backend.provider, "key").await;
    let given_up = backend.provider.create_for_checkout(spec()).await.unwrap().unwrap();
    given_up.destroy().await.unwrap();
    let (_, crashed) = over(&backend.provider, "key").await;
    drop(crashed);
    assert_eq!(backend.leftovers().len(), 5, "{:?}", backend.leftovers());
    assert_eq!(provider(backend.state.path()).sweep(&[]).await.unwrap(), 1);
    let left = backend.leftovers();
    assert!(matches!(left.as_slice(), [tree] if tree.ends_with("-tree")), "{left:?}");
    remove_kept(&backend);
    assert_eq!(
        backend.provider.checkout("key").await,
        None,
        "what is gone at the engine is not offered"
    );
}

#[tokio::test]
async fn of_two_that_keep_the_same_checkout_the_first_stays_under_its_work_trees() {
    let backend = Backend::new();
    let provider = &backend.provider;
    let (first, second) = (filled(provider).await, filled(provider).await);
    let kept = provider.keep_checkout(&first, "key", 100).await.unwrap();
    let (_, over_it) = over(provider, "key").await;
    assert_eq!(provider.keep_checkout(&second, "key", 100).await.unwrap(), kept);
    assert_eq!(provider.checkout("key").await, kept);
    provider.sweep(&[]).await.unwrap();
    assert_eq!(output(over_it.as_ref(), "cat file folder/gone").await, "old\nold\n");
    over_it.destroy().await.unwrap();
    let kept = kept.unwrap().to_str().unwrap().to_owned();
    assert_eq!(backend.leftovers(), [kept]);
    remove_kept(&backend);
}

#[tokio::test]
async fn what_lies_under_a_work_tree_is_not_swept_though_no_note_names_it() {
    let backend = Backend::new();
    keep(&backend.provider, "key").await;
    let (_, sandbox) = over(&backend.provider, "key").await;
    std::fs::remove_file(backend.state.path().join("checkouts/key")).unwrap();
    backend.provider.sweep(&[]).await.unwrap();
    assert_eq!(output(sandbox.as_ref(), "cat file folder/gone").await, "old\nold\n");
    sandbox.destroy().await.unwrap();
    backend.provider.sweep(&[]).await.unwrap();
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_checkout_is_kept_to_the_end_though_nobody_waits() {
    let backend = Backend::new();
    let sandbox = filled(&backend.provider).await;
    let given_up = tokio::time::timeout(Duration::ZERO, backend.provider.keep_checkout(&sandbox, "key", 100)).await;
    assert!(given_up.is_err(), "{given_up:?}");
    drop(sandbox);
    let begun = Instant::now();
    while backend.provider.checkout("key").await.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let left = backend.leftovers();
    assert!(matches!(left.as_slice(), [tree] if tree.ends_with("-tree")), "{left:?}");
    remove_kept(&backend);
}

#[tokio::test]
async fn what_a_crash_left_half_kept_is_swept() {
    let backend = Backend::new();
    let sandbox = filled(&backend.provider).await;
    let note = backend.state.path().join("checkouts/key.making");
    std::fs::write(&note, format!("backspace-{}-tree 100\n", sandbox.id())).unwrap();
    drop(sandbox);
    assert_eq!(provider(backend.state.path()).sweep(&[]).await.unwrap(), 1);
    assert!(!note.exists());
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn an_ordinary_sandbox_can_not_be_kept_and_none_is_where_none_is_wanted() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    assert_eq!(backend.provider.keep_checkout(&sandbox, "key", 1).await.unwrap(), None);
    output(sandbox.as_ref(), "true").await;
    sandbox.destroy().await.unwrap();
    let mut config = config(backend.state.path());
    config.checkout_bytes = 0;
    let without = DockerProvider::new(config, Jobs::new()).unwrap();
    assert!(without.create_for_checkout(spec()).await.unwrap().is_none());
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}
