//! Opening pull requests: one for a branch, whatever fails and whoever was there before.

use backspace_server::forge::{Forge as _, ForgeError, NewPullRequest, marker};
use backspace_server::task::id::TaskId;

use crate::fake_github::{Answer, Manner, Trouble};
use crate::fixture::branch;
use crate::site::Site;

const POST: &str = "POST /repos/octo/hello/pulls";

#[tokio::test]
async fn a_post_that_was_cut_off_is_looked_for_and_not_repeated() {
    for (manner, posts) in [
        (Manner::CutAfter, 1),
        (Manner::CutBefore, 2),
        (Manner::Answer(Answer::page(502)), 2),
        (Manner::Answer(Answer::page(201)), 2),
    ] {
        let site = Site::new().await;
        let forge = site.forge();
        let repository = site.repository(&forge).await;
        let new = site.new_pull_request(TaskId::random());
        site.hub.trouble(Trouble::at("POST", "/pulls", manner.clone()));
        let error = forge.open_pull_request(&repository, new.clone()).await.unwrap_err();
        assert!(matches!(error, ForgeError::Unavailable { .. }), "{manner:?}: {error:?}");
        let opened = forge.open_pull_request(&repository, new).await.unwrap();
        assert_eq!(opened.remarks, Vec::<String>::new());
        assert_eq!(site.hub.pulls("octo/hello").len(), 1, "{manner:?}");
        assert_eq!(site.hub.count(POST), posts, "{manner:?}");
    }
}

#[tokio::test]
async fn a_pull_request_that_the_list_did_not_show_yet_is_adopted_after_the_refusal() {
    let site = Site::new().await;
    let forge = site.forge();
    let repository = site.repository(&forge).await;
    let new = site.new_pull_request(TaskId::random());
    let first = forge.open_pull_request(&repository, new.clone()).await.unwrap();
    let empty = Answer::json(200, serde_json::json!([]));
    site.hub.trouble(Trouble::at("GET", "/pulls?", Manner::Answer(empty)));
    let again = forge.open_pull_request(&repository, new).await.unwrap();
    assert_eq!(again, first);
    assert_eq!((site.hub.count(POST), site.hub.pulls("octo/hello").len()), (2, 1));
}

#[tokio::test]
async fn the_words_of_a_persons_pull_request_are_left_alone() {
    let site = Site::new().await;
    let forge = site.forge();
    let repository = site.repository(&forge).await;
    let new = site.new_pull_request(TaskId::random());
    forge.open_pull_request(&repository, new.clone()).await.unwrap();
    site.hub
        .with(|state| state.repository_mut("octo/hello").unwrap().pulls[0]["body"] = "A person's words".into());
    let adopted = forge.open_pull_request(&repository, new).await.unwrap();
    assert_eq!(
        adopted.remarks,
        ["somebody had opened pull request 1 of this branch; its words are left as they are"]
    );
    assert_eq!(site.hub.pulls("octo/hello")[0]["body"], "A person's words");
}

#[tokio::test]
async fn a_pull_request_that_was_closed_meanwhile_is_not_opened_again() {
    let site = Site::new().await;
    let forge = site.forge();
    let repository = site.repository(&forge).await;
    let new = site.new_pull_request(TaskId::random());
    forge.open_pull_request(&repository, new.clone()).await.unwrap();
    site.hub
        .with(|state| state.repository_mut("octo/hello").unwrap().pulls[0]["state"] = "closed".into());
    let again = forge.open_pull_request(&repository, new).await.unwrap();
    assert_eq!(again.pull_request.number, 1);
    assert_eq!(again.remarks, ["pull request 1 was closed meanwhile and is left so"]);

    // Another Task on the same branch opens its own.
    let next = forge
        .open_pull_request(&repository, site.new_pull_request(TaskId::random()))
        .await
        .unwrap();
    assert_eq!((next.pull_request.number, next.remarks), (2, Vec::new()));
}

#[tokio::test]
async fn a_following_task_writes_the_body_of_its_branchs_pull_request_anew() {
    let site = Site::new().await;
    let forge = site.forge();
    let repository = site.repository(&forge).await;
    forge
        .open_pull_request(&repository, site.new_pull_request(TaskId::random()))
        .await
        .unwrap();
    let next = TaskId::random();
    let new = NewPullRequest {
        body: format!("What came after\n{}\n", marker(next)),
        ..site.new_pull_request(next)
    };
    let updated = forge.open_pull_request(&repository, new.clone()).await.unwrap();
    assert_eq!(updated.pull_request.number, 1);
    assert_eq!(site.hub.pulls("octo/hello")[0]["body"], new.body.as_str());
    // What is there already is not written again.
    forge.open_pull_request(&repository, new).await.unwrap();
    assert_eq!(site.hub.count("PATCH /repos/octo/hello/pulls/1"), 1);
}

#[tokio::test]
async fn a_pull_request_that_a_person_turned_to_another_base_stays_the_one() {
    let site = Site::new().await;
    let tip = site.bare.get_ref("main").unwrap().parse().unwrap();
    site.bare.set_ref("refs/heads/next", &tip);
    let forge = site.forge();
    let repository = site.repository(&forge).await;
    let new = site.new_pull_request(TaskId::random());
    forge.open_pull_request(&repository, new.clone()).await.unwrap();
    site.hub
        .with(|state| state.repository_mut("octo/hello").unwrap().pulls[0]["base"]["ref"] = "next".into());
    let again = forge.open_pull_request(&repository, new).await.unwrap();
    assert_eq!(
        (again.pull_request.number, again.pull_request.base_branch.as_str()),
        (1, "next")
    );
    assert_eq!(site.hub.pulls("octo/hello").len(), 1);
}

#[tokio::test]
async fn where_drafts_are_not_to_be_had_it_is_opened_without_and_told() {
    let site = Site::new().await;
    site.hub
        .with(|state| state.repository_mut("octo/hello").unwrap().has_drafts = false);
    let forge = site.forge();
    let repository = site.repository(&forge).await;
    let opened = forge
        .open_pull_request(&repository, site.new_pull_request(TaskId::random()))
        .await
        .unwrap();
    assert!(!opened.pull_request.draft);
    assert_eq!(
        opened.remarks,
        ["the repository can't have drafts, so the pull request is none"]
    );
}

#[tokio::test]
async fn refusals_keep_githubs_words_and_are_final() {
    let site = Site::new().await;
    let forge = site.forge();
    let repository = site.repository(&forge).await;
    let new = site.new_pull_request(TaskId::random());
    let tip = site.bare.get_ref("main").unwrap().parse().unwrap();
    site.bare.set_ref("refs/heads/empty", &tip);
    let cases = [
        ("empty", "main", "Validation Failed: No commits between main and empty"),
        ("backspace/x", "gone", "Validation Failed: base is invalid"),
        ("gone", "main", "Validation Failed: head is invalid"),
    ];
    for (head, base, words) in cases {
        let new = NewPullRequest {
            head_branch: branch(head),
            base_branch: branch(base),
            ..new.clone()
        };
        let error = forge.open_pull_request(&repository, new).await.unwrap_err();
        assert_eq!(error.to_string(), format!("127.0.0.1 refused the request: {words}"));
        assert_eq!(error.retry(), None);
    }
    assert_eq!(site.hub.count(POST), 3);
}

#[tokio::test]
async fn wishes_are_met_once_and_those_that_cannot_be_met_fail_nothing() {
    let site = Site::new().await;
    let forge = site.forge();
    let repository = site.repository(&forge).await;
    let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let new = NewPullRequest {
        labels: strings(&["bug", "from an agent"]),
        reviewers: strings(&["ada"]),
        assignees: strings(&["grace"]),
        ..site.new_pull_request(TaskId::random())
    };
    for _ in 0..2 {
        let opened = forge.open_pull_request(&repository, new.clone()).await.unwrap();
        assert_eq!(opened.remarks, Vec::<String>::new());
    }
    let pull = &site.hub.pulls("octo/hello")[0];
    assert_eq!(pull["labels"].as_array().unwrap().len(), 2);
    assert_eq!(pull["requested_reviewers"][0]["login"], "ada");
    assert_eq!(pull["assignees"][0]["login"], "grace");
    for what in ["issues/1/labels", "issues/1/assignees", "pulls/1/requested_reviewers"] {
        assert_eq!(site.hub.count(&format!("POST /repos/octo/hello/{what}")), 1, "{what}");
    }

    let stranger = NewPullRequest {
        reviewers: strings(&["ada", "mallory"]),
        ..new
    };
    let opened = forge.open_pull_request(&repository, stranger).await.unwrap();
    assert_eq!(opened.remarks.len(), 1);
    assert!(
        opened.remarks[0].starts_with("the reviewers of the pull request could not be set: "),
        "{opened:?}"
    );
}

#[tokio::test]
async fn a_long_body_is_cut_and_keeps_its_marker() {
    let site = Site::new().await;
    let forge = site.forge();
    let repository = site.repository(&forge).await;
    let task = TaskId::random();
    let new = NewPullRequest {
        body: format!("{}\n{}\n", "a long line\n".repeat(10_000), marker(task)),
        ..site.new_pull_request(task)
    };
    forge.open_pull_request(&repository, new).await.unwrap();
    let body = site.hub.pulls("octo/hello")[0]["body"].as_str().unwrap().to_owned();
    assert!(body.ends_with(&format!("(The rest did not fit here.)\n\n{}\n", marker(task))));
}
