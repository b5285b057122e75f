//! Mirrors over time: within their size, in few packs, and never touched under somebody.

use std::time::{Duration, SystemTime};

use backspace_server::forge::git::{GitLimits, Mirror, Tidied};
use backspace_server::task::id::TaskId;

use crate::fixture::{Bare, Fixture, main_branch, noise};

/// When what is used now has not been used for long.
fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3600)
}

fn packs(mirror: &Mirror) -> usize {
    let entries = std::fs::read_dir(mirror.objects.join("pack")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".pack")).count()
}

#[tokio::test]
async fn the_mirror_not_used_for_longest_goes_first_and_none_that_is_in_use() {
    let fixture = Fixture::with_limits(GitLimits {
        mirrors_bytes: 250_000,
        ..GitLimits::default()
    })
    .await;
    let mut mirrors = Vec::new();
    for name in ["used.git", "old.git", "new.git"] {
        let bare = fixture.bare(name, &[("noise", &noise(100_000))]);
        mirrors.push(fixture.mirror(&bare).await);
    }
    fixture.store.quarantine(TaskId::random(), &mirrors[0]).unwrap();
    // A moment is all that lies between their uses: `old` is asked for before `new` once more.
    let now = fixture.store.tidy_mirrors(SystemTime::now()).await.unwrap();
    assert_eq!((now.mirrors, now.evicted), (3, 0), "what was just asked for stays");
    let tidied = fixture.store.tidy_mirrors(later()).await.unwrap();
    assert_eq!((tidied.mirrors, tidied.evicted), (2, 1));
    let left: Vec<bool> = mirrors.iter().map(|mirror| mirror.folder.exists()).collect();
    assert_eq!(left, [true, false, true]);
    assert!(tidied.bytes <= 250_000, "{tidied:?}");

    // What went comes again by a fetch.
    let old = Bare {
        path: fixture.path("old.git"),
    };
    assert_eq!(fixture.mirror(&old).await, mirrors[1]);
}

#[tokio::test]
async fn many_packs_become_one_while_nobody_looks_and_no_commit_is_lost() {
    let fixture = Fixture::with_limits(GitLimits {
        mirror_packs: 2,
        ..GitLimits::default()
    })
    .await;
    let bare = fixture.bare("a.git", &[("a", b"0\n")]);
    let first = fixture.mirror(&bare).await;
    for content in ["1", "2"] {
        // Each time without the history before: the first commit is reachable by nothing then.
        let commit = bare.commit(&bare.tree(&[("100644", "a", content.as_bytes())]), &[]);
        bare.set_ref("refs/heads/main", &commit);
        fixture.mirror(&bare).await;
    }
    assert_eq!(packs(&first), 3);
    let task = TaskId::random();
    let quarantine = fixture.store.quarantine(task, &first).unwrap();
    assert_eq!(
        fixture.store.tidy_mirrors(later()).await.unwrap().repacked,
        0,
        "it is in use"
    );
    fixture.store.remove_quarantine(task).await.unwrap();

    let temporary = first.objects.join("pack/tmp_pack_cut");
    std::fs::write(&temporary, "half").unwrap();
    let tidied = fixture.store.tidy_mirrors(later()).await.unwrap();
    let expected = Tidied {
        mirrors: 1,
        repacked: 1,
        ..tidied
    };
    assert_eq!((tidied, packs(&first)), (expected, 1));
    assert!(!temporary.exists());
    let again = fixture
        .store
        .fetch_mirror(&bare.remote(), &main_branch(), Some(&first.commit))
        .await;
    assert_eq!(again.unwrap(), first);
    let quarantine_again = fixture.store.quarantine(task, &first).unwrap();
    assert_eq!(quarantine_again.base(), quarantine.base());
    assert_eq!(quarantine_again.tree_of(&first.commit).await.unwrap(), first.tree);
}
