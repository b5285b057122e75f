//! Issues and reviews: what people wrote, as text that nobody has to trust.
//!
//! What a person does not see when reading the page (HTML comments, invisible characters) is taken out,
//! so that the model reads what the person who passed the issue on has read. The rest stays as written;
//! nothing that follows depends on the model not obeying it.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::json;

use crate::forge::github::api::Ask;
use crate::forge::github::fault::Fault;
use crate::forge::github::{GitHubForge, Place};
use crate::forge::visible::visible_text;
use crate::forge::{ForgeError, UntrustedText, percent_encode};
use crate::task::text_cut::head_and_tail;

/// Comments of an issue that are read; the first and, so that a long discussion keeps its end, the last.
const PAGE: u32 = 100;

/// Most characters of one comment.
const COMMENT_CHARS: usize = 16_000;

/// Most characters of an issue with its comments; of a longer one the beginning and the end are read.
const ISSUE_CHARS: usize = 64_000;

/// Unresolved threads, oldest first. REST does not tell which are resolved.
const THREADS: &str = "query($owner: String!, $name: String!, $number: Int!) { repository(owner: $owner, name: $name) { \
    pullRequest(number: $number) { \
    reviewThreads(first: 100) { nodes { isResolved isOutdated path line comments(first: 50) { nodes { author { login } body url } } } } \
    reviews(last: 50, states: [CHANGES_REQUESTED, COMMENTED]) { nodes { author { login } body url } } } } }";

#[derive(Debug, Deserialize)]
struct Issue {
    title: String,
    body: Option<String>,
    user: Option<User>,
    #[serde(default)]
    comments: u32,
}

#[derive(Debug, Deserialize)]
struct Comment {
    body: Option<String>,
    user: Option<User>,
}

#[derive(Debug, Deserialize)]
struct User {
    login: String,
}

#[derive(Debug, Deserialize)]
struct Answer {
    data: Option<Data>,
    #[serde(default)]
    errors: Vec<QueryError>,
}

#[derive(Debug, Deserialize)]
struct QueryError {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Data {
    repository: Option<ReviewedRepository>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReviewedRepository {
    pull_request: Option<Reviewed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reviewed {
    review_threads: Nodes<Thread>,
    reviews: Nodes<Said>,
}

#[derive(Debug, Deserialize)]
struct Nodes<T> {
    nodes: Vec<T>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thread {
    is_resolved: bool,
    is_outdated: bool,
    path: String,
    line: Option<u64>,
    comments: Nodes<Said>,
}

#[derive(Debug, Deserialize)]
struct Said {
    author: Option<User>,
    body: String,
    url: String,
}

impl GitHubForge {
    pub(super) async fn read_issue(&self, place: &Place, number: &str) -> Result<UntrustedText, ForgeError> {
        let what = || format!("issue {number} of {place}");
        let path = format!("/repos/{place}/issues/{}", percent_encode(number));
        let issue: Issue = self
            .call(place, Ask::get(path.clone()))
            .await
            .map_err(|fault| self.told(fault, what))?;
        let mut text = format!(
            "{}\n\n{}\n",
            line(&issue.title),
            said(issue.user.as_ref(), issue.body.as_deref())
        );
        let last_page = issue.comments.div_ceil(PAGE).max(1);
        let mut pages = vec![1, last_page];
        pages.dedup();
        for page in pages.into_iter().filter(|_| issue.comments > 0) {
            if page > 2 {
                text.push_str("\n(Comments in between are left out.)\n");
            }
            let ask = Ask::get(format!("{path}/comments?per_page={PAGE}&page={page}"));
            let comments: Vec<Comment> = self.call(place, ask).await.map_err(|fault| self.told(fault, what))?;
            for comment in comments {
                let _ = write!(text, "\n{}\n", said(comment.user.as_ref(), comment.body.as_deref()));
            }
        }
        Ok(UntrustedText {
            origin: format!("issue {number}"),
            text: head_and_tail(&text, ISSUE_CHARS),
        })
    }

    pub(super) async fn read_reviews(&self, place: &Place, number: u64) -> Result<Vec<UntrustedText>, ForgeError> {
        let what = || format!("pull request {number} of {place}");
        let variables = json!({ "owner": place.owner, "name": place.name, "number": number });
        let answer: Answer = self
            .call(place, Ask::query(THREADS, variables))
            .await
            .map_err(|fault| self.told(fault, what))?;
        if let Some(error) = answer.errors.first().filter(|error| error.kind != "NOT_FOUND") {
            return Err(self.rejected(line(&error.message)));
        }
        let found = answer.data.and_then(|data| data.repository);
        let Some(reviewed) = found.and_then(|repository| repository.pull_request) else {
            return Err(self.told(Fault::NotFound, what));
        };
        let mut texts = Vec::new();
        for review in reviewed
            .reviews
            .nodes
            .iter()
            .filter(|review| !review.body.trim().is_empty())
        {
            texts.push(UntrustedText {
                origin: format!("review {}", line(&review.url)),
                text: said(review.author.as_ref(), Some(&review.body)),
            });
        }
        for thread in reviewed
            .review_threads
            .nodes
            .iter()
            .filter(|thread| !thread.is_resolved)
        {
            let at = thread.line.map(|number| format!(":{number}")).unwrap_or_default();
            let age = if thread.is_outdated {
                " (the lines have changed since)"
            } else {
                ""
            };
            let url = thread
                .comments
                .nodes
                .first()
                .map(|said| said.url.as_str())
                .unwrap_or_default();
            let said = thread
                .comments
                .nodes
                .iter()
                .map(|comment| said(comment.author.as_ref(), Some(&comment.body)));
            texts.push(UntrustedText {
                origin: format!("review comment on {}{at}{age} {}", line(&thread.path), line(url)),
                text: said.collect::<Vec<_>>().join("\n\n"),
            });
        }
        Ok(texts)
    }
}

/// Says who wrote a text, and the text.
fn said(user: Option<&User>, body: Option<&str>) -> String {
    let who = user.map_or("somebody", |user| user.login.as_str());
    let body = cut(&visible_text(body.unwrap_or_default()), COMMENT_CHARS);
    format!("{} wrote:\n{}", line(who), body.trim())
}

fn line(text: &str) -> String {
    visible_text(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…\n(The rest is left out.)", text.get(..end).unwrap_or_default()),
    }
}
