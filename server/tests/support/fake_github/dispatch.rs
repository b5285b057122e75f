//! One call of the API: checked, performed, kept.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use serde_json::{Value, json};

use super::answers::{Answer, example};
use super::state::{Rights, State, git};
use super::trouble::{Manner, take};
use super::{Exchange, Reply, Shared, apps, forks, issues, pulls};

/// A call, taken apart.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) method: &'a str,
    /// Decoded parts of the path below the API's root.
    pub(super) parts: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: &'a Value,
    /// The token, or an App's own signature.
    pub(super) bearer: Option<String>,
}

impl Call<'_> {
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the commit of a branch, if there is one.
    pub(super) fn tip(&self, full_name: &str, branch: &str) -> Option<String> {
        let name = format!("refs/heads/{branch}");
        self.git(full_name, &["rev-parse", "--verify", "-q", &name])
    }

    pub(super) fn git(&self, full_name: &str, arguments: &[&str]) -> Option<String> {
        git(&self.shared.root, full_name, arguments)
    }
}

impl Shared {
    pub(super) async fn api(&self, head: &http::request::Parts, body: &[u8]) -> Reply {
        let method = head.method.as_str();
        let uri = head.uri.to_string();
        let path = uri.strip_prefix("/api/v3").unwrap_or(&uri).to_owned();
        let authorization = head
            .headers
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned());
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let manner = take(&self.troubles, method, &uri);
        let perform = || {
            self.check_headers(head)
                .unwrap_or_else(|| self.perform(method, &path, authorization.as_deref(), &body))
        };
        let answer = match &manner {
            None => perform(),
            Some(Manner::Answer(answer)) => answer.clone(),
            Some(Manner::RedirectTo(to)) => Answer::error(if method == "GET" { 301 } else { 307 }, "Moved")
                .header("location", &format!("{to}{uri}")),
            Some(Manner::CutAfter) => perform(),
            Some(Manner::CutBefore | Manner::Hang) => Answer::error(0, "not performed"),
        };
        self.exchanges.lock().unwrap().push(Exchange {
            method: method.into(),
            path,
            authorization,
            body,
            status: answer.status,
            answer: answer.body.clone(),
            at: std::time::Instant::now(),
        });
        self.count.send_modify(|count| *count += 1);
        match manner {
            Some(Manner::CutBefore | Manner::CutAfter) => Err(std::io::Error::other("cut")),
            Some(Manner::Hang) => std::future::pending().await,
            _ => Ok(dated(answer.response())),
        }
    }

    /// GitHub refuses calls without a user agent, and versions that it does not know.
    fn check_headers(&self, head: &http::request::Parts) -> Option<Answer> {
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        if header("user-agent").is_none() {
            return Some(Answer::error(
                403,
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
            ));
        }
        if header("x-github-api-version") != Some("2022-11-28")
            || !header("accept").is_some_and(|accept| accept.starts_with("application/vnd.github+json"))
        {
            return Some(Answer::error(
                400,
                "The media type or the version of the API is not one that is known",
            ));
        }
        None
    }

    fn perform(&self, method: &str, path: &str, authorization: Option<&str>, body: &Value) -> Answer {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query = query.split('&').filter_map(|pair| pair.split_once('='));
        let call = Call {
            shared: self,
            method,
            parts: path.trim_start_matches('/').split('/').map(decode).collect(),
            query: query.map(|(name, value)| (decode(name), decode(value))).collect(),
            body,
            bearer: authorization
                .and_then(|header| header.strip_prefix("Bearer "))
                .map(Into::into),
        };
        route(&call, &mut self.state.lock().unwrap())
    }
}

fn route(call: &Call<'_>, state: &mut State) -> Answer {
    let parts: Vec<&str> = call.parts.iter().map(String::as_str).collect();
    if let Some(answer) = apps::route(call, state, &parts) {
        return answer;
    }
    if let Some(answer) = forks::route(call, state, &parts) {
        return answer;
    }
    let (full_name, rest) = match parts.as_slice() {
        ["repos", owner, name, rest @ ..] => (format!("{owner}/{name}"), rest),
        ["repositories", id, rest @ ..] => {
            let mut all = state.repositories.iter();
            match all.find(|repository| repository.id.to_string() == *id) {
                Some(repository) => (repository.full_name.clone(), rest),
                None => return Answer::not_found(),
            }
        }
        ["api", "graphql"] => (issues::graphql_repository(call), &["graphql"][..]),
        _ => return Answer::not_found(),
    };
    let former = |name: &String| name.eq_ignore_ascii_case(&full_name);
    if let Some(now) = state
        .repositories
        .iter()
        .find(|repository| repository.former_names.iter().any(former))
    {
        let mut to = format!("http://127.0.0.1:{}/api/v3/repositories/{}", call.shared.port, now.id);
        for part in rest {
            to.push_str(&format!("/{part}"));
        }
        let status = if call.method == "GET" { 301 } else { 307 };
        return Answer::error(status, "Moved Permanently").header("location", &to);
    }
    let rights = match &call.bearer {
        Some(token) => match state.rights(token, &full_name) {
            Some(rights) => rights,
            None => return Answer::error(401, "Bad credentials"),
        },
        None => Rights {
            read: state
                .repository(&full_name)
                .is_some_and(|repository| !repository.private),
            ..Rights::READ
        },
    };
    let heads = pulls::Heads::of(call, state, &full_name);
    let Some(repository) = state.repository_mut(&full_name).filter(|_| rights.read) else {
        return Answer::not_found();
    };
    if call.method != "GET" && rest != ["graphql"] && !rights.pulls && !heads.may(call, repository, rest) {
        return Answer::error(403, "Resource not accessible by personal access token")
            .header("x-accepted-github-permissions", "pull_requests=write");
    }
    match (call.method, rest) {
        ("GET", []) => Answer::json(200, forks::shown(repository, rights.owner_push)),
        ("GET", ["branches", branch]) => match call.tip(&repository.full_name, branch) {
            Some(sha) => Answer::json(
                200,
                example("branch", json!({ "name": branch, "commit": { "sha": sha } })),
            ),
            None => Answer::error(404, "Branch not found"),
        },
        ("GET", ["git", "commits", sha]) => {
            match call.git(&repository.full_name, &["cat-file", "-e", &format!("{sha}^{{commit}}")]) {
                Some(_) => Answer::json(200, example("git_commit", json!({ "sha": sha }))),
                None => Answer::not_found(),
            }
        }
        (_, ["pulls", ..]) => pulls::route(call, repository, &heads, rest),
        (_, ["issues", ..] | ["graphql"]) => issues::route(call, repository, rest),
        _ => Answer::not_found(),
    }
}

fn dated(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let format = time::format_description::well_known::Rfc2822;
    let now = time::OffsetDateTime::now_utc().format(&format).unwrap();
    let now = now.replace("+0000", "GMT").parse().unwrap();
    response.headers_mut().insert("date", now);
    response
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap()
}
