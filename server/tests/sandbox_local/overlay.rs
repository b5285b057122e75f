//! A cached checkout under the work tree: readable, changeable inside, never changed itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::local::{LocalConfig, LocalProvider};
use backspace_server::sandbox::{SandboxProvider as _, SandboxSpec};

use crate::fixture::{Backend, config, provider};
use crate::inside::{output, spec};

#[tokio::test]
async fn a_checkout_is_the_start_of_the_work_tree_and_stays_as_it_was() {
    let backend = Backend::new();
    let checkout = tempfile::tempdir().unwrap();
    fs::write(checkout.path().join("file"), "old\n").unwrap();
    fs::create_dir(checkout.path().join("folder")).unwrap();
    fs::write(checkout.path().join("folder/gone"), "old\n").unwrap();
    fs::set_permissions(checkout.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let spec = SandboxSpec {
        checkout: Some(checkout.path().into()),
        ..spec()
    };
    let sandbox = backend.provider.create(spec.clone()).await.unwrap();
    let work = "cat file && echo new > file && rm -r folder && echo made > fresh && stat -c %u file";
    assert_eq!(output(sandbox.as_ref(), work).await, "old\n1000\n");
    assert_eq!(fs::read_to_string(checkout.path().join("file")).unwrap(), "old\n");
    assert!(checkout.path().join("folder/gone").exists());

    sandbox.detach().await;
    let again = provider(backend.state.path()).reattach(spec).await.unwrap().unwrap();
    assert_eq!(
        output(again.as_ref(), "cat file fresh; ls").await,
        "new\nmade\nfile\nfresh\n"
    );
    again.destroy().await.unwrap();
    assert_eq!(backend.leftovers(), Vec::<String>::new());
    assert_eq!(fs::read_to_string(checkout.path().join("file")).unwrap(), "old\n");
}

#[tokio::test]
async fn the_layers_cannot_be_reached_beside_the_work_tree() {
    let backend = Backend::new();
    let checkout = tempfile::tempdir().unwrap();
    fs::set_permissions(checkout.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let spec = SandboxSpec {
        checkout: Some(checkout.path().into()),
        ..spec()
    };
    let sandbox = backend.provider.create(spec).await.unwrap();
    assert_eq!(output(sandbox.as_ref(), "ls /.backspace").await, "spill\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_checkout_that_is_not_there_is_an_error_and_leaves_nothing() {
    let backend = Backend::new();
    let spec = SandboxSpec {
        checkout: Some("/nonexistent".into()),
        ..spec()
    };
    let error = backend.provider.create(spec).await.err().unwrap();
    assert!(error.to_string().contains("/nonexistent"), "{error}");
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_work_tree_is_kept_for_later_sandboxes_and_none_sees_what_another_wrote() {
    let backend = Backend::new();
    assert_eq!(backend.provider.checkout("key").await, None);
    let sandbox = backend.provider.create_for_checkout(spec()).await.unwrap().unwrap();
    output(
        sandbox.as_ref(),
        "echo old > file; mkdir folder; echo old > folder/file",
    )
    .await;
    let kept = backend
        .provider
        .keep_checkout(&sandbox, "key", 8)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(backend.leftovers(), Vec::<String>::new());
    assert_eq!(backend.provider.checkout("key").await, Some(kept.clone()));

    let over = || SandboxSpec {
        checkout: Some(kept.clone()),
        ..spec()
    };
    let one = backend.provider.create(over()).await.unwrap();
    let two = backend.provider.create(over()).await.unwrap();
    let write =
        "cat file; echo one > file; rm -r folder; echo one > fresh; mkdir -p .git/hooks; echo one > .git/hooks/x";
    assert_eq!(output(one.as_ref(), write).await, "old\n");
    let look = "cat file folder/file; find . | sort | tr '\\n' ' '; stat -c %u file folder";
    let fresh = "old\nold\n. ./file ./folder ./folder/file 1000\n1000\n";
    assert_eq!(output(two.as_ref(), look).await, fresh);
    one.destroy().await.unwrap();
    let three = backend.provider.create(over()).await.unwrap();
    assert_eq!(output(three.as_ref(), look).await, fresh);

    // A restarted server finds it.
    let again = provider(backend.state.path());
    assert_eq!(again.checkout("key").await, Some(kept));
    for sandbox in [two, three] {
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn without_room_no_checkout_is_kept_and_the_sandbox_lives_on() {
    let state = tempfile::tempdir().unwrap();
    let config = LocalConfig {
        checkout_bytes: 0,
        ..config(state.path())
    };
    let provider = LocalProvider::new(config, Jobs::new()).unwrap();
    let sandbox = provider.create(spec()).await.unwrap();
    assert_eq!(provider.keep_checkout(&sandbox, "key", 8).await.unwrap(), None);
    assert_eq!(output(sandbox.as_ref(), "echo here").await, "here\n");
    sandbox.destroy().await.unwrap();
}
