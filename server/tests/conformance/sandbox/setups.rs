//! What set-up commands left: kept under a key, under the folders of later sandboxes, changed by none of them.

use std::sync::Arc;

use backspace_server::sandbox::{KeptSetup, Sandbox, SandboxProvider, SandboxSpec};
use backspace_server::task::id::SandboxId;

use super::{Fixture, text};

/// Leaves files in both folders, among them what must be harmless where it is kept.
const SET_UP: &str = "mkdir -p deps/deep && echo kept >deps/deep/file && ln -s /etc/passwd deps/link && mkfifo deps/pipe \
     && truncate -s 9G deps/hole && ln -s / outside && mkdir -p ~/.cache && echo kept >~/.cache/file \
     && cp /bin/true deps/program && chmod 4755 deps/program && echo kept >config";

/// What a later sandbox sees of that.
const LOOK: &str = "cat deps/deep/file ~/.cache/file; find . | sort | tr '\\n' ' '; find ~ -mindepth 1 | sort | tr '\\n' ' '; \
     stat -c %u deps/deep/file ~/.cache/file . ~";
const SEEN: &str = "kept\nkept\n. ./config ./deps ./deps/deep ./deps/deep/file ./deps/hole ./deps/link ./deps/pipe \
     ./deps/program ./outside /home/agent/.cache /home/agent/.cache/file 1000\n1000\n1000\n1000\n";

fn new(spec: &SandboxSpec) -> SandboxSpec {
    SandboxSpec {
        id: SandboxId::random(),
        ..spec.clone()
    }
}

fn over(spec: &SandboxSpec, kept: &KeptSetup) -> SandboxSpec {
    SandboxSpec {
        setup: Some(kept.clone()),
        ..new(spec)
    }
}

async fn keep(provider: &Arc<dyn SandboxProvider>, spec: &SandboxSpec, key: &str) -> KeptSetup {
    let sandbox = provider.create_for_setup(new(spec)).await.unwrap().unwrap();
    text(&sandbox, SET_UP).await;
    let kept = provider.keep_setup(&sandbox, key, "of today", 100).await.unwrap();
    kept.unwrap()
}

pub async fn a_kept_set_up_is_under_later_sandboxes_and_none_changes_it(fixture: &Fixture) {
    let (provider, spec) = (&fixture.provider, &fixture.spec);
    assert_eq!(provider.setup("key").await, None);
    let kept = keep(provider, spec, "key").await;
    assert_eq!(kept.note, "of today");
    assert_eq!(provider.setup("key").await.as_ref(), Some(&kept));
    assert_eq!(provider.setup("other").await, None);

    let first = provider.create(over(spec, &kept)).await.unwrap();
    assert_eq!(text(&first, LOOK).await, SEEN);
    let change = "echo changed >deps/deep/file; echo changed >~/.cache/file; rm -r ~/.cache deps/link; \
        mkdir ~/.cache; echo new >~/.cache/new; echo new >deps/new; chmod 700 deps; cat deps/deep/file; ls ~/.cache deps";
    assert_eq!(
        text(&first, change).await,
        "changed\n/home/agent/.cache:\nnew\n\ndeps:\ndeep\nhole\nnew\npipe\nprogram\n"
    );
    // Beside the first, and after it.
    let second = provider.create(over(spec, &kept)).await.unwrap();
    assert_eq!(text(&second, LOOK).await, SEEN);
    first.destroy().await.unwrap();
    second.destroy().await.unwrap();
    let third = provider.create(over(spec, &kept)).await.unwrap();
    assert_eq!(text(&third, LOOK).await, SEEN);
    third.destroy().await.unwrap();

    let stranger = provider.create(new(spec)).await.unwrap();
    assert_eq!(text(&stranger, "ls -A . ~").await, ".:\n\n/home/agent:\n");
    stranger.destroy().await.unwrap();
}

pub async fn a_kept_set_up_lies_under_the_checkout_and_survives_being_left(fixture: &Fixture) {
    let (provider, spec) = (&fixture.provider, &fixture.spec);
    let kept = keep(provider, spec, "key").await;
    let sandbox = provider.create_for_checkout(new(spec)).await.unwrap().unwrap();
    text(&sandbox, "echo base >config; mkdir deps; echo base >deps/tracked").await;
    let checkout = provider.keep_checkout(&sandbox, "checkout", 10).await.unwrap();
    let spec = SandboxSpec {
        checkout,
        ..over(spec, &kept)
    };
    let sandbox = provider.create(spec.clone()).await.unwrap();
    let look = "cat config deps/tracked deps/deep/file ~/.cache/file";
    assert_eq!(text(&sandbox, look).await, "base\nbase\nkept\nkept\n");
    text(&sandbox, "echo mine >deps/deep/file; echo mine >~/.cache/file").await;
    sandbox.detach().await;
    drop(sandbox);
    let again = provider.reattach(spec).await.unwrap().unwrap();
    assert_eq!(text(&again, look).await, "base\nbase\nmine\nmine\n");
    again.destroy().await.unwrap();
}

pub async fn the_first_that_is_kept_under_a_key_stays(fixture: &Fixture) {
    let (provider, spec) = (&fixture.provider, &fixture.spec);
    let kept = keep(provider, spec, "key").await;
    let late = provider.create_for_setup(new(spec)).await.unwrap().unwrap();
    text(&late, "echo late >late").await;
    let found = provider.keep_setup(&late, "key", "of tomorrow", 100).await.unwrap();
    assert_eq!(found.as_ref(), Some(&kept));
    let ordinary = provider.create(new(spec)).await.unwrap();
    assert_eq!(provider.keep_setup(&ordinary, "ordinary", "", 1).await.unwrap(), None);
    text(&ordinary, "true").await;
    ordinary.destroy().await.unwrap();
    let large = provider.create_for_setup(new(spec)).await.unwrap().unwrap();
    assert_eq!(provider.keep_setup(&large, "large", "", 1 << 50).await.unwrap(), None);
    text(&large, "true").await;
    large.destroy().await.unwrap();
    assert_eq!(
        (provider.setup("ordinary").await, provider.setup("large").await),
        (None, None)
    );
    let sandbox: Arc<dyn Sandbox> = provider.create(over(spec, &kept)).await.unwrap();
    assert_eq!(
        text(&sandbox, "ls; cat ~/.cache/file").await,
        "config\ndeps\noutside\nkept\n"
    );
    sandbox.destroy().await.unwrap();
}
