//! Kept checkouts under real sandboxes: git finds them clean, at once, and each Task has its own.

use backspace_server::sandbox::SandboxProvider as _;

use crate::bench::{Bench, sh};

#[tokio::test(flavor = "multi_thread")]
async fn git_finds_a_kept_checkout_clean_without_reading_its_files() {
    let files: Vec<(String, Vec<u8>)> = (0..300)
        .map(|number| (format!("d{}/f{number}", number % 7), format!("{number}\n").into_bytes()))
        .collect();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(path, content)| (path.as_str(), content.as_slice()))
        .collect();
    let bench = Bench::new(&files).await;
    let (sandbox, workspace) = bench.keepable_workspace().await;
    workspace.settle().await.unwrap();
    let kept = bench.provider.keep_checkout(&sandbox, "key", 1).await.unwrap();

    let (one, workspace) = bench.over_checkout(kept.clone()).await;
    // `diff-files` believes the index alone: it would name each file whose times or numbers are others.
    assert_eq!(sh(&one, "git diff-files; find . -type f -newer .git/index").await, "");
    assert_eq!(
        sh(&one, "git status --porcelain; git log --format=%s").await,
        "a commit\n"
    );
    assert_eq!(workspace.save(None, 1).await.unwrap(), None);
    sh(
        &one,
        "echo changed > d1/f1; git config core.fsmonitor true; git commit -qam own",
    )
    .await;
    let saved = workspace.save(None, 1).await.unwrap().unwrap();
    assert_eq!(bench.changed(&saved).await, ["d1/f1"]);

    // The next one has nothing of it, not in its repository either.
    let (two, _) = bench.over_checkout(kept).await;
    assert_eq!(
        sh(
            &two,
            "git status --porcelain; cat d1/f1; git config core.fsmonitor || echo none"
        )
        .await,
        "1\nnone\n"
    );
    let branch = sh(&two, "git rev-parse main").await;
    assert_eq!(branch.trim_end(), bench.mirror.commit.as_str());
    for sandbox in [one, two] {
        sandbox.destroy().await.unwrap();
    }
}
