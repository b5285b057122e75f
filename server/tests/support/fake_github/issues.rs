//! Issues, labels, assignees and the threads of reviews.

use serde_json::{Value, json};

use super::answers::{Answer, example, user};
use super::dispatch::Call;
use super::state::{Comment, Repository};

/// Returns the repository that a query names.
pub(super) fn graphql_repository(call: &Call<'_>) -> String {
    let variable = |name: &str| call.body["variables"][name].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", variable("owner"), variable("name"))
}

pub(super) fn route(call: &Call<'_>, repository: &mut Repository, rest: &[&str]) -> Answer {
    if rest == ["graphql"] {
        return threads(call, repository);
    }
    let ["issues", number, rest @ ..] = rest else {
        return Answer::not_found();
    };
    let number: u64 = number.parse().unwrap_or(0);
    match (call.method, rest) {
        ("GET", []) => match repository.issues.get(&number) {
            Some(issue) => {
                let fields = json!({
                    "number": number, "title": issue.title, "body": issue.body, "user": user(&issue.author),
                    "comments": issue.comments.len(),
                });
                Answer::json(200, example("issue", fields))
            }
            None => Answer::not_found(),
        },
        ("GET", ["comments"]) => match repository.issues.get(&number) {
            Some(issue) => {
                let number =
                    |name: &str, default: usize| call.query(name).map_or(default, |text| text.parse().unwrap());
                let (size, page) = (number("per_page", 30).min(100), number("page", 1));
                let shown = issue.comments.iter().skip(size * (page - 1)).take(size);
                Answer::json(200, shown.map(comment).collect())
            }
            None => Answer::not_found(),
        },
        ("POST", ["labels"]) => {
            let Some(pull) = repository.pulls.iter_mut().find(|pull| pull["number"] == number) else {
                return Answer::not_found();
            };
            let labels = pull["labels"].as_array_mut().unwrap();
            for name in call.body["labels"].as_array().cloned().unwrap_or_default() {
                if !labels.iter().any(|label| label["name"] == name) {
                    labels.push(example("label", json!({ "name": name })));
                }
            }
            Answer::json(200, Value::Array(labels.clone()))
        }
        ("POST", ["assignees"]) => {
            let collaborators = repository.collaborators.clone();
            let Some(pull) = repository.pulls.iter_mut().find(|pull| pull["number"] == number) else {
                return Answer::not_found();
            };
            // Those who can't be assigned are passed over in silence.
            let names = call.body["assignees"].as_array().cloned().unwrap_or_default();
            let known = names
                .iter()
                .filter_map(Value::as_str)
                .filter(|name| collaborators.iter().any(|known| known == name));
            let assignees: Vec<Value> = known.map(user).collect();
            pull["assignees"] = Value::Array(assignees.clone());
            Answer::json(
                201,
                example("issue", json!({ "number": number, "assignees": assignees })),
            )
        }
        _ => Answer::not_found(),
    }
}

fn comment(comment: &Comment) -> Value {
    example(
        "comment",
        json!({ "body": comment.body, "user": user(&comment.author) }),
    )
}

fn threads(call: &Call<'_>, repository: &Repository) -> Answer {
    let number = call.body["variables"]["number"].as_u64().unwrap_or(0);
    if !repository.pulls.iter().any(|pull| pull["number"] == number) {
        let message = format!("Could not resolve to a PullRequest with the number of {number}.");
        let error = json!({ "type": "NOT_FOUND", "path": ["repository", "pullRequest"], "message": message });
        return Answer::json(
            200,
            json!({ "data": { "repository": { "pullRequest": null } }, "errors": [error] }),
        );
    }
    let said = |comment: &Comment| json!({ "author": { "login": comment.author }, "body": comment.body, "url": "http://127.0.0.1/discussion" });
    let threads = repository.threads.get(&number).cloned().unwrap_or_default();
    let nodes: Vec<Value> = threads
        .iter()
        .map(|thread| {
            let comments: Vec<Value> = thread.comments.iter().map(said).collect();
            json!({
                "isResolved": thread.resolved, "isOutdated": false, "path": thread.path, "line": thread.line,
                "comments": { "nodes": comments },
            })
        })
        .collect();
    let pull = json!({ "reviewThreads": { "nodes": nodes }, "reviews": { "nodes": [] } });
    Answer::json(200, json!({ "data": { "repository": { "pullRequest": pull } } }))
}
