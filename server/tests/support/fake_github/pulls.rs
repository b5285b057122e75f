//! Pull requests, with GitHub's own refusals.

use serde_json::{Value, json};

use super::answers::{Answer, example, user};
use super::dispatch::Call;
use super::state::{Repository, State};

const RESOURCE: &str = "PullRequest";

/// What a caller may open pull requests from.
pub(super) struct Heads {
    /// Who asks.
    login: String,
    /// Repositories of the network that it may push to.
    writable: Vec<String>,
    /// All of the network.
    all: Vec<String>,
}

impl Heads {
    pub(super) fn of(call: &Call<'_>, state: &State, full_name: &str) -> Self {
        let is_here = |found: &&Repository| found.full_name == full_name || found.parent.as_deref() == Some(full_name);
        let all = state.repositories.iter().filter(is_here);
        let all: Vec<String> = all.map(|found| found.full_name.clone()).collect();
        let may_push = |name: &&String| {
            let bearer = call.bearer.as_deref().unwrap_or_default();
            state.rights(bearer, name).is_some_and(|rights| rights.push)
        };
        let token = call.bearer.as_ref().and_then(|token| state.tokens.get(token));
        Self {
            login: token.map(|token| token.login.clone()).unwrap_or_default(),
            writable: all.iter().filter(may_push).cloned().collect(),
            all,
        }
    }

    /// Without a right to the repository, pull requests from what is one's own may be opened and edited.
    pub(super) fn may(&self, call: &Call<'_>, repository: &Repository, rest: &[&str]) -> bool {
        match (call.method, rest) {
            ("POST", ["pulls"]) => {
                let head = call.body["head"].as_str().and_then(|head| head.split_once(':'));
                head.is_some_and(|(owner, _)| self.find(owner).is_some_and(|name| self.writable.contains(name)))
            }
            ("PATCH", ["pulls", number]) => {
                let mut pulls = repository.pulls.iter();
                pulls.any(|pull| {
                    pull["number"].as_u64() == number.parse().ok() && pull["user"]["login"] == self.login.as_str()
                })
            }
            _ => false,
        }
    }

    fn find(&self, owner: &str) -> Option<&String> {
        let is_it = |name: &&String| name.split('/').next().unwrap().eq_ignore_ascii_case(owner);
        self.all.iter().find(is_it)
    }
}

pub(super) fn route(call: &Call<'_>, repository: &mut Repository, heads: &Heads, rest: &[&str]) -> Answer {
    refresh(call, repository);
    match (call.method, rest) {
        ("GET", ["pulls"]) => list(call, repository),
        ("POST", ["pulls"]) => open(call, repository, heads),
        (method, ["pulls", number, rest @ ..]) => {
            let number: u64 = number.parse().unwrap_or(0);
            let collaborators = repository.collaborators.clone();
            let Some(pull) = repository.pulls.iter_mut().find(|pull| pull["number"] == number) else {
                return Answer::not_found();
            };
            match (method, rest) {
                ("GET", []) => Answer::json(200, pull.clone()),
                ("PATCH", []) => {
                    for field in ["title", "body", "state", "base"] {
                        match (field, &call.body[field]) {
                            (_, Value::Null) => {}
                            ("base", value) => pull["base"]["ref"] = value.clone(),
                            ("body", Value::String(text)) if text.chars().count() > 65_536 => return too_long(),
                            (field, value) => pull[field] = value.clone(),
                        }
                    }
                    Answer::json(200, pull.clone())
                }
                ("POST", ["requested_reviewers"]) => ask_for_reviews(call, pull, &collaborators),
                _ => Answer::not_found(),
            }
        }
        _ => Answer::not_found(),
    }
}

/// The head of an open pull request is where its branch is.
fn refresh(call: &Call<'_>, repository: &mut Repository) {
    for pull in repository.pulls.iter_mut().filter(|pull| pull["state"] == "open") {
        let full_name = pull["head"]["repo"]["full_name"].as_str().unwrap();
        if let Some(sha) = call.tip(full_name, pull["head"]["ref"].as_str().unwrap()) {
            pull["head"]["sha"] = json!(sha);
        }
    }
}

fn list(call: &Call<'_>, repository: &Repository) -> Answer {
    let state = call.query("state").unwrap_or("open");
    let found = repository.pulls.iter().filter(|pull| {
        let is_state = state == "all" || pull["state"] == state;
        // As GitHub does: a filter without an owner is none.
        let is_head = match call.query("head").and_then(|head| head.split_once(':')) {
            Some((user, branch)) => {
                let label = pull["head"]["label"].as_str().unwrap();
                label.eq_ignore_ascii_case(&format!("{user}:{branch}"))
            }
            None => true,
        };
        is_state && is_head
    });
    let mut found: Vec<Value> = found.cloned().collect();
    found.reverse();
    Answer::json(200, Value::Array(found))
}

fn open(call: &Call<'_>, repository: &mut Repository, heads: &Heads) -> Answer {
    let text = |name: &str| call.body[name].as_str().unwrap_or_default().to_owned();
    let (title, head, base, body) = (text("title"), text("head"), text("base"), text("body"));
    let full_name = repository.full_name.clone();
    let owner = full_name.split('/').next().unwrap();
    if title.is_empty() || title.chars().count() > 256 {
        return Answer::custom(RESOURCE, "title is too long (maximum is 256 characters)");
    }
    if body.chars().count() > 65_536 {
        return too_long();
    }
    let (head_owner, branch) = head.split_once(':').unwrap_or((owner, &head));
    let Some(head_name) = heads.find(head_owner) else {
        return Answer::invalid_field(RESOURCE, "head");
    };
    let Some(base_sha) = call.tip(&full_name, &base) else {
        return Answer::invalid_field(RESOURCE, "base");
    };
    let Some(head_sha) = call.tip(head_name, branch) else {
        return Answer::invalid_field(RESOURCE, "head");
    };
    let commits = call.git(head_name, &["rev-list", "--count", &format!("{base_sha}..{head_sha}")]);
    // A fork that lacks the base has commits of its own.
    if commits.as_deref() == Some("0") {
        return Answer::custom(RESOURCE, &format!("No commits between {base} and {branch}"));
    }
    let label = format!("{head_owner}:{branch}");
    let is_same = |pull: &&Value| {
        pull["state"] == "open" && pull["head"]["label"] == label.as_str() && pull["base"]["ref"] == base
    };
    if repository.pulls.iter().any(|pull| is_same(&pull)) {
        return Answer::custom(RESOURCE, &format!("A pull request already exists for {label}."));
    }
    let draft = call.body["draft"] == true;
    if draft && !repository.has_drafts {
        return Answer::error(422, "Draft pull requests are not supported in this repository.");
    }
    // Issues and pull requests share their numbers.
    let last_pull = repository.pulls.iter().filter_map(|pull| pull["number"].as_u64()).max();
    let last_issue = repository.issues.keys().max().copied();
    let number = last_pull.max(last_issue).unwrap_or(0) + 1;
    let url = format!("{}/{full_name}/pull/{number}", call.shared.origin());
    let end = |owner: &str, full_name: &str, name: &str, sha: &str| json!({ "ref": name, "sha": sha, "label": format!("{owner}:{name}"), "repo": here(full_name) });
    let pull = example(
        "pull_request",
        json!({
            "number": number, "html_url": url, "state": "open", "title": title, "draft": draft,
            "body": if call.body["body"].is_string() { json!(body) } else { Value::Null },
            "user": user(&heads.login), "head": end(head_owner, head_name, branch, &head_sha), "base": end(owner, &full_name, &base, &base_sha),
            "labels": [], "assignees": [], "assignee": null, "requested_reviewers": [], "requested_teams": [],
        }),
    );
    repository.pulls.push(pull.clone());
    Answer::json(201, pull)
}

/// The repository of a head or base.
fn here(full_name: &str) -> Value {
    let (owner, name) = full_name.split_once('/').unwrap();
    example(
        "repository",
        json!({ "full_name": full_name, "name": name, "owner": { "login": owner }, "language": null }),
    )
}

fn too_long() -> Answer {
    Answer::custom(RESOURCE, "body is too long (maximum is 65536 characters)")
}

fn ask_for_reviews(call: &Call<'_>, pull: &mut Value, collaborators: &[String]) -> Answer {
    let names = |field: &str| -> Vec<String> {
        let names = call.body[field].as_array().cloned().unwrap_or_default();
        names.iter().filter_map(|name| name.as_str().map(Into::into)).collect()
    };
    for name in names("reviewers") {
        if pull["user"]["login"] == name.as_str() {
            return Answer::error(422, "Review cannot be requested from pull request author.");
        }
        if !collaborators.contains(&name) {
            let message = "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator.";
            return Answer::error(422, message);
        }
        pull["requested_reviewers"].as_array_mut().unwrap().push(user(&name));
    }
    Answer::json(201, pull.clone())
}
