//! Pull requests, with GitHub's own refusals.

use serde_json::{Value, json};

use super::answers::{Answer, example, user};
use super::dispatch::Call;
use super::state::Repository;

const RESOURCE: &str = "PullRequest";

pub(super) fn route(call: &Call<'_>, repository: &mut Repository, rest: &[&str]) -> Answer {
    refresh(call, repository);
    match (call.method, rest) {
        ("GET", ["pulls"]) => list(call, repository),
        ("POST", ["pulls"]) => open(call, repository),
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
    let full_name = repository.full_name.clone();
    for pull in repository.pulls.iter_mut().filter(|pull| pull["state"] == "open") {
        if let Some(sha) = call.tip(&full_name, pull["head"]["ref"].as_str().unwrap()) {
            pull["head"]["sha"] = json!(sha);
        }
    }
}

fn list(call: &Call<'_>, repository: &Repository) -> Answer {
    let state = call.query("state").unwrap_or("open");
    let owner = repository.full_name.split('/').next().unwrap();
    let found = repository.pulls.iter().filter(|pull| {
        let is_state = state == "all" || pull["state"] == state;
        // As GitHub does: a filter without an owner is none.
        let is_head = match call.query("head").and_then(|head| head.split_once(':')) {
            Some((user, branch)) => user.eq_ignore_ascii_case(owner) && pull["head"]["ref"] == branch,
            None => true,
        };
        is_state && is_head
    });
    let mut found: Vec<Value> = found.cloned().collect();
    found.reverse();
    Answer::json(200, Value::Array(found))
}

fn open(call: &Call<'_>, repository: &mut Repository) -> Answer {
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
    let branch = head.split_once(':').map_or(head.as_str(), |(_, branch)| branch);
    let Some(base_sha) = call.tip(&full_name, &base) else {
        return Answer::invalid_field(RESOURCE, "base");
    };
    let Some(head_sha) = call.tip(&full_name, branch) else {
        return Answer::invalid_field(RESOURCE, "head");
    };
    let commits = call.git(&full_name, &["rev-list", "--count", &format!("{base_sha}..{head_sha}")]);
    if commits.as_deref() == Some("0") {
        return Answer::custom(RESOURCE, &format!("No commits between {base} and {branch}"));
    }
    let is_same =
        |pull: &&Value| pull["state"] == "open" && pull["head"]["ref"] == branch && pull["base"]["ref"] == base;
    if repository.pulls.iter().any(|pull| is_same(&pull)) {
        return Answer::custom(
            RESOURCE,
            &format!("A pull request already exists for {owner}:{branch}."),
        );
    }
    let draft = call.body["draft"] == true;
    if draft && !repository.has_drafts {
        return Answer::error(422, "Draft pull requests are not supported in this repository.");
    }
    // Issues and pull requests share their numbers.
    let last_pull = repository.pulls.iter().filter_map(|pull| pull["number"].as_u64()).max();
    let last_issue = repository.issues.keys().max().copied();
    let number = last_pull.max(last_issue).unwrap_or(0) + 1;
    let url = format!("http://127.0.0.1:{}/{full_name}/pull/{number}", call.shared.port);
    let end = |name: &str, sha: &str| json!({ "ref": name, "sha": sha, "label": format!("{owner}:{name}"), "repo": here(&full_name) });
    let pull = example(
        "pull_request",
        json!({
            "number": number, "html_url": url, "state": "open", "title": title, "draft": draft,
            "body": if call.body["body"].is_string() { json!(body) } else { Value::Null },
            "user": user("the-server"), "head": end(branch, &head_sha), "base": end(&base, &base_sha),
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
