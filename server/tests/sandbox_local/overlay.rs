//! A cached checkout under the work tree: readable, changeable inside, never changed itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use backspace_server::sandbox::{SandboxProvider as _, SandboxSpec};

use crate::fixture::{Local, output, provider, spec};

#[tokio::test]
async fn a_checkout_is_the_start_of_the_work_tree_and_stays_as_it_was() {
    let local = Local::new();
    let checkout = tempfile::tempdir().unwrap();
    fs::write(checkout.path().join("file"), "old\n").unwrap();
    fs::create_dir(checkout.path().join("folder")).unwrap();
    fs::write(checkout.path().join("folder/gone"), "old\n").unwrap();
    fs::set_permissions(checkout.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let spec = SandboxSpec {
        checkout: Some(checkout.path().into()),
        ..spec()
    };
    let sandbox = local.provider.create(spec.clone()).await.unwrap();
    let work = "cat file && echo new > file && rm -r folder && echo made > fresh && stat -c %u file";
    assert_eq!(output(sandbox.as_ref(), work).await, "old\n1000\n");
    assert_eq!(fs::read_to_string(checkout.path().join("file")).unwrap(), "old\n");
    assert!(checkout.path().join("folder/gone").exists());

    sandbox.detach().await;
    let again = provider(local.state.path()).reattach(spec).await.unwrap().unwrap();
    assert_eq!(
        output(again.as_ref(), "cat file fresh; ls").await,
        "new\nmade\nfile\nfresh\n"
    );
    again.destroy().await.unwrap();
    assert_eq!(local.leftovers(), Vec::<String>::new());
    assert_eq!(fs::read_to_string(checkout.path().join("file")).unwrap(), "old\n");
}

#[tokio::test]
async fn the_layers_cannot_be_reached_beside_the_work_tree() {
    let local = Local::new();
    let checkout = tempfile::tempdir().unwrap();
    fs::set_permissions(checkout.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let spec = SandboxSpec {
        checkout: Some(checkout.path().into()),
        ..spec()
    };
    let sandbox = local.provider.create(spec).await.unwrap();
    assert_eq!(output(sandbox.as_ref(), "ls /.backspace").await, "spill\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_checkout_that_is_not_there_is_an_error_and_leaves_nothing() {
    let local = Local::new();
    let spec = SandboxSpec {
        checkout: Some("/nonexistent".into()),
        ..spec()
    };
    let error = local.provider.create(spec).await.err().unwrap();
    assert!(error.to_string().contains("/nonexistent"), "{error}");
    assert_eq!(local.leftovers(), Vec::<String>::new());
}
