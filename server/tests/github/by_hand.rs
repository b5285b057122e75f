//! A GitHub for people to try a server with.
//!
//! `cargo test -p backspace-server --test github serve_for_people -- --ignored --nocapture` prints its address and
//! serves until the process is ended.

use backspace_server::task::id::ObjectId;

use crate::fake_github::{Comment, Issue, Rights, Thread};
use crate::site::{Site, TOKEN};

fn said(author: &str, body: &str) -> Comment {
    Comment {
        author: author.into(),
        body: body.into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "serves until it is ended, for people"]
async fn serve_for_people() {
    let site = Site::new().await;
    let tip: ObjectId = site.bare.get_ref("main").unwrap().parse().unwrap();
    let checks = b"[verify]\ncommands = [\"grep -q good out.txt\"]\n";
    let tree = site
        .bare
        .tree(&[("100644", ".backspace.toml", checks), ("100644", "out.txt", b"bad\n")]);
    let commit = site.bare.commit(&tree, &[&tip]);
    site.bare.set_ref("refs/heads/main", &commit);
    site.hub.with(|state| {
        state.token("ghp_reader", Rights::READ);
        let repository = state.repository_mut("octo/hello").unwrap();
        let issue = Issue {
            title: "The output is bad".into(),
            body: Some("It says bad.<!-- hidden -->".into()),
            author: "ada".into(),
            comments: vec![said("grace", "It should say good.")],
        };
        repository.issues.insert(12, issue);
        let thread = |line, body| Thread {
            resolved: false,
            path: "out.txt".into(),
            line: Some(line),
            comments: vec![said("ada", body)],
        };
        // The pull request of the first Task has the number after the issue's.
        let threads = vec![thread(1, "Say it louder."), thread(2, "Why not in French?")];
        repository.threads.insert(13, threads);
    });
    println!("--github-url {}", site.hub.url());
    println!("GITHUB_TOKEN={TOKEN}, or ghp_reader, which may not push");
    println!("repository {}, issue 12", site.hub.address("octo/hello"));
    std::future::pending::<()>().await;
}
