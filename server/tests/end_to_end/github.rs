//! Whole Tasks at GitHub: one branch and one pull request, whatever fails, and nothing without the right.

use backspace_sdk::v1;
use backspace_sdk::v1::task::State;
use backspace_sdk::v1::task_event::Payload;

use crate::event_log::Follower;
use crate::fake_github::{Answer, Manner, Rights, Trouble};
use crate::hub::{Hub, NAME, TOKEN};
use crate::script::good;
use crate::site::Site;

const POST: &str = "POST /repos/octo/hello/pulls";

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_from_the_wire_to_a_pull_request_at_github() {
    let site = Site::new();
    let hub = Hub::start(&site).await;
    site.script("fix", good());
    let server = hub.serve(&site).await;
    let spec = v1::TaskSpec {
        publication: Some(v1::Publication {
            labels: vec!["agent".into()],
            reviewers: vec!["ada".into(), "mallory".into()],
            ..v1::Publication::default()
        }),
        ..hub.spec("fix")
    };
    let mut follower = Follower::run(&server.client(), spec);
    let result = follower.success().await;

    let pull = hub.only_pull();
    let opened = result.pull_request.unwrap();
    assert_eq!(pull["title"], "Make the output good");
    assert_eq!((&pull["draft"], &pull["base"]["ref"]), (&true.into(), &"main".into()));
    assert_eq!(
        (opened.number, opened.url.as_str()),
        (1, pull["html_url"].as_str().unwrap())
    );
    assert_eq!(opened.head_commit, hub.repository.git(&["rev-parse", &result.branch]));
    assert_eq!(pull["labels"][0]["name"], "agent");
    assert_eq!(
        follower.count("warning the reviewers of the pull request could not be set"),
        1
    );
    let body = pull["body"].as_str().unwrap();
    for part in [
        "It is good now.",
        "`grep -q good out.txt` | exit 1 | exit 0 |",
        "Backspace-Task: ",
    ] {
        assert!(body.contains(part), "{part} is missing in {body}");
    }
    assert_eq!(hub.repository.changes(&result.branch), ["M\tout.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_leaves_one_pull_request() {
    let site = Site::new();
    let hub = Hub::start(&site).await;
    site.script("fix", good());
    hub.hub.trouble(Trouble::at("POST", "/pulls", Manner::CutAfter));
    hub.hub
        .trouble(Trouble::at("GET", "/pulls?", Manner::Answer(Answer::page(502))));
    let server = hub.serve(&site).await;
    let mut follower = Follower::run(&server.client(), hub.spec("fix"));
    follower.success().await;
    hub.only_pull();
    assert_eq!((follower.count("retry forge"), hub.hub.count(POST)), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_whose_answer_was_lost_is_not_made_again() {
    let site = Site::new();
    let hub = Hub::start(&site).await;
    site.script("fix", good());
    // The first request for a push is the look-up's, the second is git's own.
    let server = hub.serve(&site).await;
    let mut follower = Follower::run(&server.client(), hub.spec("fix"));
    follower.until_state(State::Running).await;
    hub.hub
        .trouble(Trouble::at("GIT", "/git-receive-pack", Manner::CutAfter));
    let result = follower.success().await;
    assert_eq!(hub.only_pull()["head"]["ref"], result.branch.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_pull_request_is_opened() {
    for manner in [Manner::CutAfter, Manner::Hang] {
        let site = Site::new();
        let hub = Hub::start(&site).await;
        site.script("fix", good());
        hub.hub.trouble(Trouble::at("POST", "/pulls", manner));
        let server = hub.serve(&site).await;
        let mut follower = Follower::run(&server.client(), hub.spec("fix"));
        follower.until_state(State::Publishing).await;
        hub.hub.called(POST, 1).await;
        server.kill9().await;
        let server = hub.serve(&site).await;
        let mut follower = follower.go_on(&server.client());
        let result = follower.success().await;
        let pull = hub.only_pull();
        assert_eq!(pull["number"], result.pull_request.unwrap().number);
        assert_eq!(follower.count("pull request"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demanded_wait_is_shown_and_outlives_the_server() {
    let site = Site::new();
    let hub = Hub::start(&site).await;
    site.script("fix", good());
    let limited = Answer::error(429, "Slow down").header("retry-after", "6");
    hub.hub.trouble(Trouble::at("POST", "/pulls", Manner::Answer(limited)));
    let server = hub.serve(&site).await;
    let mut follower = Follower::run(&server.client(), hub.spec("fix"));
    follower
        .until("the wait", |payload| {
            matches!(payload, Payload::RetryScheduled(retry) if retry.component == "forge" && retry.delay.unwrap().seconds >= 5)
        })
        .await;
    let told = std::time::Instant::now();
    let calls = hub.hub.exchanges().len();
    server.kill9().await;
    let server = hub.serve(&site).await;
    let mut follower = follower.go_on(&server.client());
    follower.success().await;
    hub.only_pull();
    let first = hub.hub.exchanges()[calls].at;
    assert!(
        first - told > std::time::Duration::from_millis(4500),
        "called after {:?}",
        first - told
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_push_no_model_is_asked() {
    let site = Site::new();
    let hub = Hub::start(&site).await;
    site.script("fix", good());
    hub.hub.with(|state| {
        state.token(TOKEN, Rights::READ);
    });
    let server = hub.serve(&site).await;
    let mut follower = Follower::run(&server.client(), hub.spec("fix"));
    let task = follower.end().await;
    let Some(v1::task::Outcome::Failure(failure)) = task.outcome else {
        panic!("{task:?}")
    };
    assert_eq!(failure.reason(), v1::failure::Reason::RepositoryUnavailable);
    assert!(failure.message.contains("may not push to octo/hello"), "{failure:?}");
    assert!(!failure.retryable);
    assert_eq!(task.usage.unwrap_or_default().turns, 0);

    // A patch needs no such right.
    let patch = v1::TaskSpec {
        publication: Some(v1::Publication {
            mode: v1::publication::Mode::PatchOnly.into(),
            ..v1::Publication::default()
        }),
        ..hub.spec("fix")
    };
    let result = Follower::run(&server.client(), patch).success().await;
    assert_eq!(result.kind(), v1::task_result::Kind::Patch);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_credential_the_change_is_kept_as_a_patch() {
    let site = Site::new();
    let hub = Hub::start(&site).await;
    site.script("fix", good());
    let launch = site.serve().flag("--github-url", &hub.hub.url());
    let server = launch.start().await;
    let result = Follower::run(&server.client(), hub.spec("fix")).success().await;
    assert_eq!(result.kind(), v1::task_result::Kind::Patch);
    assert!(result.patch.contains("+good"), "{result:?}");
    assert_eq!((hub.hub.pulls(NAME).len(), hub.repository.branches().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_pull_request_leaves_the_work_on_its_branch() {
    let site = Site::new();
    let hub = Hub::start(&site).await;
    site.script("fix", good());
    let refusal = Answer::custom("PullRequest", "Pull requests are switched off");
    hub.hub.trouble(Trouble::at("POST", "/pulls", Manner::Answer(refusal)));
    let server = hub.serve(&site).await;
    let mut follower = Follower::run(&server.client(), hub.spec("fix"));
    let (failure, preserved) = follower.failure().await;
    assert_eq!(failure.reason(), v1::failure::Reason::PublicationFailed);
    assert!(
        failure
            .message
            .ends_with("Validation Failed: Pull requests are switched off"),
        "{failure:?}"
    );
    assert_eq!(preserved.branch, hub.repository.only_branch());
}
