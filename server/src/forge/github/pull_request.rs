//! Pull requests: looked up by their head before each POST, opened at most once, adopted when ours.
//!
//! A pull request is the Task's own when its body has the Task's marker, in whatever state it is: one
//! that a person closed meanwhile is not opened a second time. What people set on it is left alone; the
//! body is written anew only while it is one of the server's. Labels, reviewers and assignees are
//! wishes: one that can't be met is told and fails nothing.

use serde::Deserialize;
use serde_json::json;

use crate::forge::github::api::Ask;
use crate::forge::github::fault::Fault;
use crate::forge::github::{Ends, GitHubForge, Place};
use crate::forge::{ForgeError, MARKER, NewPullRequest, OpenedPullRequest, marker, percent_encode};
use crate::task::branch::BranchName;
use crate::task::result::PullRequest;

/// GitHub's longest body, in characters, with room for the note that it was cut.
const BODY_CHARS: usize = 65_000;

#[derive(Clone, Debug, Deserialize)]
struct Found {
    number: u64,
    html_url: String,
    state: String,
    #[serde(default)]
    draft: bool,
    body: Option<String>,
    head: End,
    base: End,
    #[serde(default)]
    labels: Vec<Label>,
    #[serde(default)]
    requested_reviewers: Vec<User>,
    #[serde(default)]
    requested_teams: Vec<Team>,
    #[serde(default)]
    assignees: Vec<User>,
}

#[derive(Clone, Debug, Deserialize)]
struct End {
    #[serde(rename = "ref")]
    name: String,
    sha: String,
    repo: Option<EndRepository>,
}

#[derive(Clone, Debug, Deserialize)]
struct EndRepository {
    full_name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Label {
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct User {
    login: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Team {
    slug: String,
}

/// An answer of which nothing is read.
#[derive(Debug, Deserialize)]
struct Anything {}

impl Found {
    fn is_open(&self) -> bool {
        self.state == "open"
    }

    fn has_marker(&self, marker: &str) -> bool {
        let body = self.body.as_deref().unwrap_or_default();
        body.lines().any(|line| line.trim_end() == marker)
    }

    /// Returns whether the server wrote it, for this Task or for one before it.
    fn is_of_a_task(&self) -> bool {
        let body = self.body.as_deref().unwrap_or_default();
        body.lines().any(|line| line.starts_with(MARKER))
    }

    fn into_domain(self, fork: Option<String>) -> Option<PullRequest> {
        Some(PullRequest {
            url: self.html_url,
            number: self.number,
            head_branch: self.head.name,
            base_branch: self.base.name,
            head_commit: self.head.sha.parse().ok()?,
            head_repository: fork,
            draft: self.draft,
        })
    }
}

/// Which pull requests are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Any,
}

impl GitHubForge {
    pub(super) async fn find_open(&self, ends: &Ends, head: &BranchName) -> Result<Option<PullRequest>, ForgeError> {
        let found = self.list(ends, head, State::Open).await?;
        found
            .into_iter()
            .next()
            .map(|found| self.domain(ends, found))
            .transpose()
    }

    pub(super) async fn open_or_adopt(
        &self,
        ends: &Ends,
        new: NewPullRequest,
    ) -> Result<OpenedPullRequest, ForgeError> {
        let new = NewPullRequest {
            body: fit(&new.body, &marker(new.task)),
            ..new
        };
        let mut remarks = Vec::new();
        let found = match self.own(ends, &new).await? {
            Some(found) => self.adopt(&ends.base, &new, found, &mut remarks).await?,
            None => match self.post(ends, &new, &mut remarks).await? {
                Some(opened) => opened,
                None => match self.own(ends, &new).await? {
                    Some(found) => self.adopt(&ends.base, &new, found, &mut remarks).await?,
                    None => {
                        let message = format!("a pull request of branch {} exists and is not shown", new.head_branch);
                        return Err(self.rejected(message));
                    }
                },
            },
        };
        if found.is_open() {
            self.settle(&ends.base, &new, &found, &mut remarks).await?;
        }
        Ok(OpenedPullRequest {
            pull_request: self.domain(ends, found)?,
            remarks,
        })
    }

    fn domain(&self, ends: &Ends, found: Found) -> Result<PullRequest, ForgeError> {
        let domain = found.into_domain(ends.is_fork().then(|| ends.head.full_name()));
        domain.ok_or_else(|| self.rejected("it tells a commit id that is none".into()))
    }

    /// Returns the pull request of the head that is open, or else the one that this Task had opened.
    async fn own(&self, ends: &Ends, new: &NewPullRequest) -> Result<Option<Found>, ForgeError> {
        let all = self.list(ends, &new.head_branch, State::Any).await?;
        let base = new.base_branch.as_str();
        let open = || all.iter().filter(|found| found.is_open());
        let marker = marker(new.task);
        let ours = open()
            .find(|found| found.base.name == base)
            // A person may have turned it to another base.
            .or_else(|| open().find(|found| found.is_of_a_task()))
            .or_else(|| all.iter().find(|found| found.has_marker(&marker)));
        Ok(ours.cloned())
    }

    async fn list(&self, ends: &Ends, head: &BranchName, state: State) -> Result<Vec<Found>, ForgeError> {
        let state = match state {
            State::Open => "open",
            State::Any => "all",
        };
        let place = &ends.base;
        let head_filter = percent_encode(&format!("{}:{head}", ends.head.owner));
        let path = format!("/repos/{place}/pulls?state={state}&head={head_filter}&per_page=100");
        let found: Vec<Found> = self
            .call(place, Ask::get(path))
            .await
            .map_err(|fault| self.told(fault, || format!("repository {place}")))?;
        // A filter that GitHub does not understand is no filter.
        let is_here = |found: &Found| {
            let repository = found.head.repo.as_ref().map(|repository| repository.full_name.as_str());
            found.head.name == head.as_str()
                && repository.is_some_and(|name| name.eq_ignore_ascii_case(&ends.head.full_name()))
        };
        Ok(found.into_iter().filter(is_here).collect())
    }

    /// Opens it; `None` when there is one.
    async fn post(
        &self,
        ends: &Ends,
        new: &NewPullRequest,
        remarks: &mut Vec<String>,
    ) -> Result<Option<Found>, ForgeError> {
        let place = &ends.base;
        let mut draft = new.draft;
        loop {
            let body = json!({
                "title": new.title,
                "head": ends.head(&new.head_branch),
                "base": new.base_branch.as_str(),
                "body": new.body,
                "draft": draft,
                "maintainer_can_modify": true,
            });
            match self.call(place, Ask::post(format!("/repos/{place}/pulls"), body)).await {
                Ok(found) => return Ok(Some(found)),
                Err(Fault::Invalid(refusal)) if refusal.says_exists() => return Ok(None),
                Err(Fault::Invalid(refusal)) if draft && refusal.says_no_drafts() => {
                    remarks.push("the repository can't have drafts, so the pull request is none".into());
                    draft = false;
                }
                Err(fault) => return Err(self.told(fault, || format!("repository {place}"))),
            }
        }
    }

    /// Takes one that is there; its body becomes the new one if the server wrote it.
    async fn adopt(
        &self,
        place: &Place,
        new: &NewPullRequest,
        found: Found,
        remarks: &mut Vec<String>,
    ) -> Result<Found, ForgeError> {
        if !found.is_open() {
            remarks.push(format!(
                "pull request {} was closed meanwhile and is left so",
                found.number
            ));
            return Ok(found);
        }
        if !found.is_of_a_task() {
            remarks.push(format!(
                "somebody had opened pull request {} of this branch; its words are left as they are",
                found.number
            ));
            return Ok(found);
        }
        if found.body.as_deref().is_some_and(|body| same_text(body, &new.body)) {
            return Ok(found);
        }
        let path = format!("/repos/{place}/pulls/{}", found.number);
        self.call(place, Ask::patch(path, json!({ "body": new.body })))
            .await
            .map_err(|fault| self.told(fault, || format!("pull request {}", found.number)))
    }

    /// Adds what is asked for and not there yet.
    async fn settle(
        &self,
        place: &Place,
        new: &NewPullRequest,
        found: &Found,
        remarks: &mut Vec<String>,
    ) -> Result<(), ForgeError> {
        let labels = missing(&new.labels, found.labels.iter().map(|label| &label.name));
        let assignees = missing(&new.assignees, found.assignees.iter().map(|user| &user.login));
        let (teams, people): (Vec<_>, Vec<_>) = new.reviewers.iter().cloned().partition(|name| name.contains('/'));
        let people = missing(&people, found.requested_reviewers.iter().map(|user| &user.login));
        let teams: Vec<String> = teams
            .iter()
            .filter_map(|team| team.split('/').nth(1))
            .map(Into::into)
            .collect();
        let teams = missing(&teams, found.requested_teams.iter().map(|team| &team.slug));
        let issue = format!("/repos/{place}/issues/{}", found.number);
        let mut wishes = Vec::new();
        if !labels.is_empty() {
            wishes.push((
                "labels",
                Ask::post(format!("{issue}/labels"), json!({ "labels": labels })),
            ));
        }
        if !assignees.is_empty() {
            let body = json!({ "assignees": assignees });
            wishes.push(("assignees", Ask::post(format!("{issue}/assignees"), body)));
        }
        if !people.is_empty() || !teams.is_empty() {
            let path = format!("/repos/{place}/pulls/{}/requested_reviewers", found.number);
            let body = json!({ "reviewers": people, "team_reviewers": teams });
            wishes.push(("reviewers", Ask::post(path, body)));
        }
        for (what, ask) in wishes {
            let answer = if what == "labels" {
                self.call::<Vec<Label>>(place, ask).await.map(drop)
            } else {
                self.call::<Anything>(place, ask).await.map(drop)
            };
            let Err(fault) = answer else { continue };
            let error = self.told(fault, || format!("pull request {}", found.number));
            // A wait is kept; anything else is not worth the Task.
            if matches!(error, ForgeError::RateLimited { .. }) {
                return Err(error);
            }
            remarks.push(format!("the {what} of the pull request could not be set: {error}"));
        }
        Ok(())
    }
}

/// Returns the names asked for that are not there, without regard to case, as GitHub compares them.
fn missing<'a>(wanted: &[String], there: impl Iterator<Item = &'a String>) -> Vec<String> {
    let there: Vec<String> = there.map(|name| name.to_lowercase()).collect();
    let is_missing = |name: &&String| !there.contains(&name.to_lowercase());
    wanted.iter().filter(is_missing).cloned().collect()
}

/// Returns a body that GitHub takes, whose last line is the marker.
fn fit(body: &str, marker: &str) -> String {
    let body = body.trim_end();
    let body = body.strip_suffix(marker).unwrap_or(body).trim_end();
    let room = BODY_CHARS - marker.len();
    match body.char_indices().nth(room) {
        None => format!("{body}\n{marker}\n"),
        Some((end, _)) => {
            let kept = body.get(..end).unwrap_or_default();
            let kept = kept.rsplit_once('\n').map_or(kept, |(kept, _)| kept);
            format!("{kept}\n\n(The rest did not fit here.)\n\n{marker}\n")
        }
    }
}

fn same_text(one: &str, other: &str) -> bool {
    one.replace("\r\n", "\n").trim_end() == other.trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_fits_and_ends_with_the_marker() {
        assert_eq!(fit("a\n\nM: t\n", "M: t"), "a\nM: t\n");
        assert_eq!(fit("a", "M: t"), "a\nM: t\n");
        let long = fit(&"é line\n".repeat(20_000), "M: t");
        assert!(long.chars().count() < 65_536 && long.ends_with("line\n\n(The rest did not fit here.)\n\nM: t\n"));
    }

    #[test]
    fn only_what_is_missing_is_asked_for() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            missing(&names(&["Bug", "new"]), names(&["bug"]).iter()),
            names(&["new"])
        );
    }
}
