//! Forks: who a token is, and repositories that are made after the answer.

use serde_json::{Value, json};

use super::answers::{Answer, example};
use super::dispatch::Call;
use super::state::{Repository, State};

/// Looks at a new fork that find nothing.
const LOOKS: u32 = 2;

/// Answers what concerns forks; `None` for other calls.
pub(super) fn route(call: &Call<'_>, state: &mut State, parts: &[&str]) -> Option<Answer> {
    match (call.method, parts) {
        ("GET", ["user"]) => Some(match call.bearer.as_ref().and_then(|token| state.tokens.get(token)) {
            Some(token) if !token.login.is_empty() => {
                Answer::json(200, example("account", json!({ "login": token.login })))
            }
            Some(_) => Answer::error(403, "Resource not accessible by integration"),
            None => Answer::error(401, "Requires authentication"),
        }),
        ("POST", ["repos", owner, name, "forks"]) => Some(make(call, state, &format!("{owner}/{name}"))),
        ("GET", ["repos", owner, name, "branches", _]) => {
            look(call, state, &format!("{owner}/{name}"));
            None
        }
        _ => None,
    }
}

fn make(call: &Call<'_>, state: &mut State, upstream: &str) -> Answer {
    let Some(token) = call.bearer.as_ref().and_then(|token| state.tokens.get(token)).cloned() else {
        return Answer::error(401, "Requires authentication");
    };
    let rights = state.rights(call.bearer.as_ref().unwrap(), upstream);
    let Some(parent) = state
        .repository(upstream)
        .filter(|_| rights.is_some_and(|rights| rights.read))
        .cloned()
    else {
        return Answer::not_found();
    };
    if !token.may_fork {
        return Answer::error(403, "Resource not accessible by personal access token")
            .header("x-accepted-github-permissions", "administration=write,contents=read");
    }
    if !parent.forkable {
        return Answer::error(403, "The repository exists, but forking is disabled.");
    }
    let is_it = |fork: &&Repository| {
        fork.parent.as_deref() == Some(upstream) && fork.full_name.starts_with(&format!("{}/", token.login))
    };
    if let Some(fork) = state.repositories.iter().find(is_it) {
        return Answer::json(202, shown(fork, true));
    }
    let name = upstream.split('/').nth(1).unwrap();
    let names = [name.to_owned(), format!("{name}-1")];
    let mut free = names.iter().map(|name| format!("{}/{name}", token.login));
    let full_name = free.find(|name| state.repository(name).is_none()).unwrap();
    let fork = state.add(&full_name);
    fork.parent = Some(upstream.into());
    fork.private = parent.private;
    fork.looks_until_there = LOOKS;
    Answer::json(202, shown(fork, true))
}

/// Makes the fork on disk once it was looked at often enough.
fn look(call: &Call<'_>, state: &mut State, full_name: &str) {
    let Some(fork) = state
        .repository_mut(full_name)
        .filter(|fork| fork.looks_until_there > 0)
    else {
        return;
    };
    fork.looks_until_there -= 1;
    if fork.looks_until_there == 0 {
        let parent = fork.parent.clone().unwrap();
        let folder = call.shared.root.join(format!("{}.git", fork.full_name));
        std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
        let branch = fork.default_branch.clone();
        let from = call.shared.root.join(format!("{parent}.git"));
        let paths = [from.to_str().unwrap(), folder.to_str().unwrap()];
        let options = ["clone", "-q", "--bare", "--single-branch", "--branch", &branch];
        call.git(&parent, &[&options[..], &paths].concat()).unwrap();
    }
}

/// A repository as the API shows it to a token.
pub(super) fn shown(repository: &Repository, may_push: bool) -> Value {
    let fields = |full_name: &str| {
        let (owner, name) = full_name.split_once('/').unwrap();
        json!({ "name": name, "full_name": full_name, "owner": { "login": owner }, "language": null })
    };
    let mut shown = example("repository", fields(&repository.full_name));
    let permissions = json!({ "admin": false, "maintain": false, "push": may_push, "triage": true, "pull": true });
    shown["id"] = json!(repository.id);
    shown["default_branch"] = json!(repository.default_branch);
    shown["private"] = json!(repository.private);
    shown["archived"] = json!(repository.archived);
    shown["permissions"] = permissions;
    if let Some(parent) = &repository.parent {
        shown["fork"] = json!(true);
        shown["parent"] = example("repository", fields(parent));
        shown["source"] = shown["parent"].clone();
    }
    shown
}
