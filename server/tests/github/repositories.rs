//! Looking a repository up: what exists, where it is now, and who may push, before any money is spent.

use backspace_server::forge::github::{GitHubCredentials, GitHubForge};
use backspace_server::forge::{Access, Forge as _, ForgeError};
use backspace_server::task::spec::Revision;

use crate::conformance::{Subject, conforms};
use crate::fake_github::{Answer, Manner, Rights, Trouble};
use crate::fixture::{branch, main_branch};
use crate::site::{Site, TOKEN};

#[tokio::test]
async fn the_github_forge_conforms() {
    let site = Site::new().await;
    let subject = Subject {
        address: site.address("octo", "hello"),
        missing: site.address("octo", "missing"),
        default_branch: main_branch(),
        tip: site.bare.get_ref("main").unwrap().parse().unwrap(),
        head_branch: branch("backspace/x"),
        head_commit: site.head.clone(),
    };
    conforms(&site.forge(), &subject).await;
    let pulls = site.hub.pulls("octo/hello");
    assert_eq!(pulls.len(), 1);
    assert!(
        pulls[0]["body"]
            .as_str()
            .unwrap()
            .starts_with("Another body\nBackspace-Task: ")
    );
    assert_eq!(pulls[0]["labels"][0]["name"], "a label");
}

#[tokio::test]
async fn a_renamed_repository_is_found_under_its_new_name() {
    let site = Site::new().await;
    site.hub.with(|state| {
        let repository = state.repository_mut("octo/hello").unwrap();
        repository.former_names.push("octo/old-name".into());
    });
    let forge = site.forge();
    let address = site.address("octo", "old-name");
    let repository = forge
        .repository(&address, &Revision::DefaultBranch, Access::Push)
        .await
        .unwrap();
    assert_eq!(repository.address, site.address("octo", "hello"));
    let remote = forge.remote(&repository, Access::Push).await.unwrap();
    assert!(remote.url.ends_with("/octo/hello.git"), "{remote:?}");
    let fetched = site.fixture.store.fetch_mirror(&remote, &main_branch(), None).await;
    assert!(fetched.is_ok());
}

#[tokio::test]
async fn a_missing_right_to_push_is_told_before_work_begins() {
    let person_may_not = Rights {
        owner_push: false,
        ..Rights::ALL
    };
    // The API tells what the token's owner may do, and git alone what the token may.
    let token_may_not = Rights {
        push: false,
        ..Rights::ALL
    };
    for rights in [person_may_not, token_may_not, Rights::READ] {
        let site = Site::new().await;
        site.hub.with(|state| {
            state.token("another-token", rights);
        });
        let forge = site.forge_of("another-token");
        let address = site.address("octo", "hello");
        let look = async |access| forge.repository(&address, &Revision::DefaultBranch, access).await;
        let error = look(Access::Push).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "127.0.0.1 does not allow this: the server's credential may not push to octo/hello; \
             give it contents and pull requests (write), or ask for a patch"
        );
        assert_eq!(error.retry(), None);
        assert!(!look(Access::Read).await.unwrap().can_push);
    }
    let site = Site::new().await;
    assert!(site.repository(&site.forge()).await.can_push, "the control");
}

#[tokio::test]
async fn git_is_asked_for_the_right_to_push_only_where_a_push_is_meant() {
    let site = Site::new().await;
    let forge = site.forge();
    let address = site.address("octo", "hello");
    for (access, asked) in [(Access::Read, 0), (Access::Push, 1)] {
        let found = forge.repository(&address, &Revision::DefaultBranch, access).await;
        assert_eq!(found.unwrap().can_push, access == Access::Push);
        assert_eq!(site.hub.shared.git_authorizations.lock().unwrap().len(), asked);
    }
    let agent = concat!("backspace/", env!("CARGO_PKG_VERSION")).to_owned();
    let agents = site.hub.shared.user_agents.lock().unwrap().clone();
    assert_eq!(agents, vec![Some(agent); 3], "two of the API, one of git");
}

#[tokio::test]
async fn a_git_that_cannot_answer_now_refuses_nothing_for_good() {
    let site = Site::new().await;
    let forge = site.forge();
    let address = site.address("octo", "hello");
    for status in [408, 429, 503] {
        site.hub.trouble(Trouble::at(
            "GIT",
            "git-receive-pack",
            Manner::Answer(Answer::page(status)),
        ));
        let found = forge.repository(&address, &Revision::DefaultBranch, Access::Push).await;
        let error = found.unwrap_err();
        assert!(matches!(error, ForgeError::Unavailable { .. }), "{status}: {error:?}");
    }
    assert!(site.repository(&forge).await.can_push, "the control");
}

#[tokio::test]
async fn an_archived_repository_can_be_read() {
    let site = Site::new().await;
    site.hub
        .with(|state| state.repository_mut("octo/hello").unwrap().archived = true);
    let forge = site.forge();
    let address = site.address("octo", "hello");
    let look = async |access| forge.repository(&address, &Revision::DefaultBranch, access).await;
    let error = look(Access::Push).await.unwrap_err().to_string();
    assert!(
        error.ends_with("octo/hello is archived; ask for a patch instead"),
        "{error}"
    );
    assert!(look(Access::Read).await.is_ok());
}

#[tokio::test]
async fn without_a_credential_public_repositories_can_be_read_and_private_ones_do_not_exist() {
    let site = Site::new().await;
    let forge = GitHubForge::open(site.config(GitHubCredentials::None)).unwrap();
    let repository = site.repository(&forge).await;
    assert!(!repository.can_push);
    let remote = forge.remote(&repository, Access::Read).await.unwrap();
    assert!(remote.credential.is_none());
    assert!(
        site.fixture
            .store
            .fetch_mirror(&remote, &main_branch(), None)
            .await
            .is_ok()
    );

    site.hub
        .with(|state| state.repository_mut("octo/hello").unwrap().private = true);
    let address = site.address("octo", "hello");
    let look = async |forge: &GitHubForge| forge.repository(&address, &Revision::DefaultBranch, Access::Read).await;
    let error = look(&forge).await.unwrap_err();
    assert!(matches!(error, ForgeError::NotFound { .. }), "{error:?}");
    assert!(look(&site.forge()).await.is_ok(), "the control");
}

#[tokio::test]
async fn a_wrong_token_is_told_as_one() {
    let site = Site::new().await;
    let address = site.address("octo", "hello");
    let forge = site.forge_of("github_pat_revoked");
    let found = forge.repository(&address, &Revision::DefaultBranch, Access::Read).await;
    let error = found.unwrap_err();
    assert!(matches!(error, ForgeError::Unauthenticated { .. }), "{error:?}");
}

#[tokio::test]
async fn the_token_follows_no_redirect_to_another_host() {
    let (site, other) = (Site::new().await, Site::new().await);
    let forge = site.forge();
    let address = site.address("octo", "hello");
    let look = async || forge.repository(&address, &Revision::DefaultBranch, Access::Push).await;
    for method in ["GET", "GIT"] {
        site.hub
            .trouble(Trouble::at(method, "", Manner::RedirectTo(other.hub.url())));
        let error = look().await;
        // Git's own service is only asked for the right, which a redirect does not give.
        let error = error.map(|repository| repository.can_push);
        assert!(
            matches!(
                error,
                Err(ForgeError::Rejected { .. }) | Err(ForgeError::Forbidden { .. })
            ),
            "{method}: {error:?}"
        );
    }
    let repository = look().await.unwrap();
    let remote = forge.remote(&repository, Access::Read).await.unwrap();
    site.hub
        .trouble(Trouble::at("GIT", "", Manner::RedirectTo(other.hub.url())).times(5));
    assert!(
        site.fixture
            .store
            .fetch_mirror(&remote, &main_branch(), None)
            .await
            .is_err()
    );
    assert_eq!(other.hub.exchanges().len(), 0);
    assert_eq!(other.hub.shared.git_authorizations.lock().unwrap().len(), 0);
    // The control: the same call arrives where it is meant to.
    assert!(
        site.hub
            .exchanges()
            .iter()
            .any(|exchange| { exchange.authorization.as_deref() == Some(&format!("Bearer {TOKEN}")) })
    );
}

#[tokio::test]
async fn failures_of_the_api_are_told_apart() {
    let site = Site::new().await;
    let forge = site.forge();
    let address = site.address("octo", "hello");
    let look = async || forge.repository(&address, &Revision::DefaultBranch, Access::Read).await;
    for (manner, retryable) in [
        (Manner::Answer(Answer::page(502)), true),
        (Manner::Answer(Answer::page(200)), true),
        (Manner::CutBefore, true),
        (Manner::Answer(Answer::error(451, "Repository access blocked")), false),
        (
            Manner::Answer(Answer::error(
                403,
                "Resource protected by organization SAML enforcement",
            )),
            false,
        ),
    ] {
        site.hub
            .trouble(Trouble::at("GET", "/repos/octo/hello", manner.clone()));
        let error = look().await.unwrap_err();
        assert_eq!(error.retry().is_some(), retryable, "{manner:?}: {error}");
        assert!(!error.to_string().contains("html"), "{error}");
    }
    // One request each: the adapter repeats nothing.
    assert_eq!(site.hub.count("GET /repos/octo/hello"), 5);
    assert!(look().await.is_ok());
}
