//! What every forge promises, whatever it talks to. An adapter adds a test that calls `conforms`.

use backspace_server::forge::{Access, Forge, ForgeError, NewPullRequest};
use backspace_server::task::address::RepositoryAddress;
use backspace_server::task::branch::BranchName;
use backspace_server::task::id::{ObjectId, TaskId};
use backspace_server::task::spec::Revision;

/// A repository that the forge has, with a pushed branch.
pub(crate) struct Subject {
    pub(crate) address: RepositoryAddress,
    pub(crate) missing: RepositoryAddress,
    pub(crate) default_branch: BranchName,
    pub(crate) tip: ObjectId,
    /// Pushed, with this commit, and without a pull request.
    pub(crate) head_branch: BranchName,
    pub(crate) head_commit: ObjectId,
}

/// Checks the promises of the port.
pub(crate) async fn conforms(forge: &dyn Forge, subject: &Subject) {
    repositories_and_revisions_are_checked(forge, subject).await;
    a_pull_request_is_opened_once_for_a_branch(forge, subject).await;
}

async fn repositories_and_revisions_are_checked(forge: &dyn Forge, subject: &Subject) {
    let repository = async |revision| forge.repository(&subject.address, &revision, Access::Push).await;
    let default = repository(Revision::DefaultBranch).await.unwrap();
    assert_eq!(default.base_branch, subject.default_branch);
    assert_eq!((default.commit, default.can_push), (None, true));

    let named = repository(Revision::Branch(subject.head_branch.clone())).await.unwrap();
    assert_eq!(named.base_branch, subject.head_branch);

    let commit = repository(Revision::Commit(subject.tip.clone())).await.unwrap();
    assert_eq!(commit.commit.as_ref(), Some(&subject.tip));
    assert_eq!(commit.base_branch, subject.default_branch);

    let no_branch = Revision::Branch(BranchName::parse("no/such/branch").unwrap());
    let no_commit = Revision::Commit("0123456789012345678901234567890123456789".parse().unwrap());
    for revision in [no_branch, no_commit] {
        let error = repository(revision).await.unwrap_err();
        assert!(matches!(error, ForgeError::NotFound { .. }), "{error:?}");
        assert_eq!(error.retry(), None);
    }
    let missing = forge
        .repository(&subject.missing, &Revision::DefaultBranch, Access::Read)
        .await;
    assert!(matches!(missing, Err(ForgeError::NotFound { .. })), "{missing:?}");
}

async fn a_pull_request_is_opened_once_for_a_branch(forge: &dyn Forge, subject: &Subject) {
    let repository = forge
        .repository(&subject.address, &Revision::DefaultBranch, Access::Push)
        .await
        .unwrap();
    let find = async || {
        forge
            .find_pull_request(&repository, &subject.head_branch)
            .await
            .unwrap()
    };
    assert_eq!(find().await, None);
    let new = NewPullRequest {
        task: TaskId::random(),
        title: "A title".into(),
        body: "A body".into(),
        head_branch: subject.head_branch.clone(),
        head_commit: subject.head_commit.clone(),
        base_branch: subject.default_branch.clone(),
        draft: true,
        labels: vec!["a label".into()],
        reviewers: Vec::new(),
        assignees: Vec::new(),
    };
    let open = async |new| forge.open_pull_request(&repository, new).await.unwrap().pull_request;
    let opened = open(new.clone()).await;
    assert_eq!(opened.head_branch, subject.head_branch.as_str());
    assert_eq!(opened.base_branch, subject.default_branch.as_str());
    assert_eq!(opened.head_commit, subject.head_commit);
    assert!(opened.draft);
    assert_eq!(find().await.as_ref(), Some(&opened));

    // Repeated, as after a crash, and with another body, as for a continuation.
    assert_eq!(open(new.clone()).await, opened);
    let updated = NewPullRequest {
        body: "Another body".into(),
        ..new
    };
    let updated = open(updated).await;
    assert_eq!((updated.number, &updated.url), (opened.number, &opened.url));
}
