//! The replaced service's endpoint, and the event stream that a browser resumes.

use serde_json::{Value, json};

use super::http::{Answer, Http};
use crate::script::good;
use crate::site::Site;

/// What a stream of server-sent events said: the id, if it had one, and the data.
fn events(body: &str) -> Vec<(Option<u64>, Value)> {
    let blocks = body.split("\n\n").filter(|block| block.contains("data:"));
    blocks
        .map(|block| {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let id = field("id:").map(|id| id.parse().unwrap());
            (id, serde_json::from_str(field("data:").unwrap()).unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replaced_request_runs_a_task_and_says_what_the_replaced_service_said() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    let server = site.serve().flag("--model", "scripted/fix").start().await;
    let http = Http::of(&server);
    let body = json!({"repo_url": repository.url(), "prompt": "Make the output good", "branch_name": "mine"});
    let Answer { status, headers, body } = http.post("/api/v1/code", &body).await;
    assert_eq!(status, 200, "{body}");
    assert!(headers["content-type"].starts_with("text/event-stream"), "{headers:?}");
    let said = events(&body);
    let path = headers["location"].as_str();
    let first = &said.first().unwrap().1;
    assert_eq!(
        (&first["type"], &first["events"]),
        (&json!("Task"), &json!(format!("{path}/events")))
    );
    let types: Vec<_> = said
        .iter()
        .map(|(_, object)| object["type"].as_str().unwrap())
        .collect();
    for expected in ["AI Message", "Tool: Write File", "Success"] {
        assert!(types.contains(&expected), "{expected}: {types:?}");
    }
    assert!(
        said.iter().all(|(_, object)| object["timestamp"].is_string()),
        "{said:?}"
    );
    let (id, last) = said.last().unwrap();
    assert_eq!(last["type"], "Success");
    assert!(last["pull_request_url"].is_string() && id.is_some(), "{last}");
    assert_eq!(repository.only_branch(), "mine");
    let ids: Vec<u64> = said.iter().filter_map(|(id, _)| *id).collect();
    assert!(ids.is_sorted_by(|one, other| one < other), "{ids:?}");

    // A browser comes back with the last id that it had, and is told to stop when it has had the last one.
    let all = http.get(&format!("{path}/events"), &[]).await;
    let all: Vec<_> = events(&all.body).into_iter().filter_map(|(id, _)| id).collect();
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
    let end = *all.last().unwrap();
    assert_eq!(*id, Some(end));
    let resumed = http.get(&format!("{path}/events"), &[("last-event-id", "3")]).await;
    let resumed: Vec<_> = events(&resumed.body).into_iter().filter_map(|(id, _)| id).collect();
    assert_eq!(resumed, (4..=end).collect::<Vec<_>>());
    let over = http
        .get(&format!("{path}/events"), &[("last-event-id", &end.to_string())])
        .await;
    assert_eq!((over.status, over.body.as_str()), (204, ""));
    let beyond = http.get(&format!("{path}/events?after={}", end + 1), &[]).await;
    assert!(beyond.body.contains("SEQUENCE_OUT_OF_RANGE"), "{}", beyond.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_ends_in_an_error_object() {
    let site = Site::new();
    site.script("fix", good());
    let repository = site.red_repository();
    let server = site.serve().flag("--model", "scripted/fix").start().await;
    let url = format!("{}x", repository.url());
    let answer = Http::of(&server)
        .post("/api/v1/code", &json!({"repoUrl": url, "prompt": "p"}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let said = events(&answer.body);
    assert_eq!(said.last().unwrap().1["type"], "Error", "{said:?}");
}
