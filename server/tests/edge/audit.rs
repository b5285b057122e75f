//! The line of a call that changes something, as an auditor finds it.

use backspace_sdk::v1;
use serde_json::{Value, json};

use super::{http::Http, principals};
use crate::event_log::Follower;
use crate::script::good;
use crate::site::{Site, spec};

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_changes_something_has_one_line_and_no_line_has_a_secret() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    let tokens = principals::write(&site, &["ada-token", "bob"], &repository);
    let launch = site.serve().flag("--tokens-file", tokens.to_str().unwrap());
    // The audit is there although all other lines are not.
    let mut server = launch.flag("--log-format", "json").start().await;
    let ada = server.client_of("ada-token");
    let name = Follower::run(&ada, spec(&repository, "fix")).end().await.name;
    let id = name.trim_start_matches("tasks/").to_owned();
    ada.get_task(&name).await.unwrap();
    ada.cancel_task(&name, "because of hunter2").await.unwrap();
    let bob = Http::with_token(&server, "bob");
    assert_eq!(
        bob.send("POST", &format!("/api/v1/{name}:cancel"), &[], "")
            .await
            .status,
        404
    );
    let invalid = json!({"repo_url": "https://evil.test/hunter2/b", "prompt": ""});
    assert_eq!(bob.post("/api/v1/code", &invalid).await.status, 400);
    assert_eq!(bob.send("DELETE", "/api/v1/tasks/hunter2", &[], "").await.status, 400);
    let stranger = server.client_of("hunter2");
    stranger.create_task(v1::TaskSpec::default()).await.unwrap_err();
    ada.delete_task(&name).await.unwrap();
    server
        .log_line("\"action\":\"DeleteTask\",\"principal.id\":\"ada-token\"")
        .await;

    let lines = server.log();
    assert!(!lines.iter().any(|line| line.contains("hunter2")), "{lines:#?}");
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let audit: Vec<_> = lines.filter(|line| line["target"] == "audit").collect();
    assert!(audit.iter().all(|line| {
        line["client"]
            .as_str()
            .is_some_and(|client| client.starts_with("127.0.0.1:"))
    }));
    let said: Vec<_> = audit
        .iter()
        .map(|line| ["action", "principal.id", "task.id", "outcome"].map(|field| line[field].clone()))
        .collect();
    let line =
        |action: &str, principal: Value, task: Value, outcome: &str| [json!(action), principal, task, json!(outcome)];
    let (ada, bob) = (json!("ada-token"), json!("bob"));
    assert_eq!(
        said,
        [
            line("RunTask", ada.clone(), json!(id), "Ok"),
            line("CancelTask", ada.clone(), json!(id), "Ok"),
            line("CancelTask", bob.clone(), json!(id), "NotFound"),
            line("RunTask", bob.clone(), Value::Null, "InvalidArgument"),
            line("DeleteTask", bob, Value::Null, "InvalidArgument"),
            line("CreateTask", Value::Null, Value::Null, "Unauthenticated"),
            line("DeleteTask", ada, json!(id), "Ok"),
        ]
    );
}
