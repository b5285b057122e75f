//! Where the token may not push: a fork in its own account, one for all, and an answer before work begins.

use backspace_server::forge::github::{Forks, GitHubConfig, GitHubCredentials, GitHubForge};
use backspace_server::forge::{Access, Forge as _, ForgeError, Repository};
use backspace_server::secret::Secret;
use backspace_server::task::id::TaskId;
use backspace_server::task::spec::Revision;

use crate::fake_github::state::git;
use crate::fake_github::{Manner, Rights, Trouble};
use crate::fixture::branch;
use crate::site::Site;

const READER: &str = "ghp_token-of-somebody-who-may-read";

fn forge(site: &Site, forks: Forks) -> GitHubForge {
    site.hub.with(|state| {
        state.token(READER, Rights::READ);
    });
    let config = GitHubConfig {
        forks,
        ..site.config(GitHubCredentials::Token(Secret::new(READER)))
    };
    GitHubForge::open(config).unwrap()
}

async fn look(site: &Site, forge: &GitHubForge) -> Result<Repository, ForgeError> {
    let address = site.address("octo", "hello");
    forge.repository(&address, &Revision::DefaultBranch, Access::Push).await
}

#[tokio::test]
async fn a_change_goes_to_one_fork_and_its_pull_request_to_the_repository() {
    let site = Site::new().await;
    let forge = forge(&site, Forks::WhenNeeded);
    let repository = look(&site, &forge).await.unwrap();
    assert!(repository.can_push);
    assert_eq!(repository.address, site.address("octo", "hello"));
    assert_eq!(repository.push_to, Some(site.address("the-server", "hello")));
    assert_eq!(look(&site, &forge).await.unwrap(), repository);
    assert_eq!(site.hub.count("POST /repos/octo/hello/forks"), 1);

    let read = forge.remote(&repository, Access::Read).await.unwrap();
    let push = forge.remote(&repository, Access::Push).await.unwrap();
    assert!(read.url.ends_with("/octo/hello.git"), "{read:?}");
    assert!(push.url.ends_with("/the-server/hello.git"), "{push:?}");
    assert_eq!(read.mirror_key, push.mirror_key);

    let head = branch("backspace/x");
    assert_eq!(forge.find_pull_request(&repository, &head).await.unwrap(), None);
    let new = site.new_pull_request(TaskId::random());
    let error = forge.open_pull_request(&repository, new.clone()).await.unwrap_err();
    assert!(
        error.to_string().ends_with("head is invalid"),
        "the branch is not pushed: {error}"
    );
    let upstream = site.hub.shared.root.join("octo/hello.git");
    let refspec = "refs/heads/backspace/x:refs/heads/backspace/x";
    let fetch = ["fetch", "-q", upstream.to_str().unwrap(), refspec];
    git(&site.hub.shared.root, "the-server/hello", &fetch).unwrap();
    let opened = forge
        .open_pull_request(&repository, new.clone())
        .await
        .unwrap()
        .pull_request;
    assert_eq!(opened.head_repository.as_deref(), Some("the-server/hello"));
    assert_eq!(opened.head_commit, site.head);
    let again = forge.open_pull_request(&repository, new).await.unwrap().pull_request;
    assert_eq!(again, opened);
    assert_eq!(forge.find_pull_request(&repository, &head).await.unwrap(), Some(opened));
    let pulls = site.hub.pulls("octo/hello");
    assert_eq!(pulls.len(), 1);
    assert_eq!(pulls[0]["head"]["label"], "the-server:backspace/x");
    assert_eq!(pulls[0]["base"]["label"], "octo:main");
}

#[tokio::test]
async fn a_fork_whose_answer_was_lost_is_found_and_not_made_again() {
    let site = Site::new().await;
    let forge = forge(&site, Forks::WhenNeeded);
    site.hub.trouble(Trouble::at("POST", "/forks", Manner::CutAfter));
    let error = look(&site, &forge).await.unwrap_err();
    assert!(matches!(error, ForgeError::Unavailable { .. }), "{error:?}");
    let repository = look(&site, &forge).await.unwrap();
    assert_eq!(repository.push_to, Some(site.address("the-server", "hello")));
    assert_eq!(site.hub.count("POST /repos/octo/hello/forks"), 1);
}

#[tokio::test]
async fn a_fork_has_another_name_where_its_own_is_taken() {
    let site = Site::new().await;
    let forge = forge(&site, Forks::WhenNeeded);
    site.hub.with(|state| {
        state.add("the-server/hello");
    });
    for _ in 0..2 {
        let repository = look(&site, &forge).await.unwrap();
        assert_eq!(repository.push_to, Some(site.address("the-server", "hello-1")));
    }
    assert_eq!(site.hub.with(|state| state.repositories.len()), 3);
}

#[tokio::test]
async fn who_can_push_makes_no_fork() {
    let site = Site::new().await;
    let forge = forge(&site, Forks::WhenNeeded);
    site.hub.with(|state| {
        state.token(READER, Rights::ALL);
    });
    let repository = look(&site, &forge).await.unwrap();
    assert_eq!((repository.can_push, repository.push_to), (true, None));
    assert_eq!(site.hub.count("GET /user"), 0);
}

#[tokio::test]
async fn why_there_can_be_no_fork_is_told_before_work_begins() {
    type Change = fn(&mut crate::fake_github::State);
    let cases: [(Forks, Change, &str); 4] = [
        (Forks::Never, |_| {}, "or ask for a patch"),
        (
            Forks::WhenNeeded,
            |state| state.repository_mut("octo/hello").unwrap().forkable = false,
            "may not push to octo/hello, and may not fork it either: The repository exists, but forking is disabled.",
        ),
        (
            Forks::WhenNeeded,
            |state| state.tokens.get_mut(READER).unwrap().may_fork = false,
            "and may not fork it either: Resource not accessible by personal access token; \
             the credential needs the permission administration=write,contents=read",
        ),
        (
            Forks::WhenNeeded,
            |state| state.repository_mut("octo/hello").unwrap().archived = true,
            "octo/hello is archived; ask for a patch instead",
        ),
    ];
    for (forks, change, words) in cases {
        let site = Site::new().await;
        let forge = forge(&site, forks);
        site.hub.with(change);
        let error = look(&site, &forge).await.unwrap_err();
        assert!(error.to_string().ends_with(words), "{error}");
        assert_eq!(error.retry(), None);
        assert_eq!(site.hub.with(|state| state.repositories.len()), 1);
    }
}
