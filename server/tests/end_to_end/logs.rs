//! What the server logs of a Task: each line names it, and says in which turn and call.

use serde_json::{Value, json};

use crate::event_log::Follower;
use crate::script::good;
use crate::site::{Site, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_a_tool_call_names_its_run_turn_and_call() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    let launch = site.serve().flag("--log-format", "json").flag("--log-level", "debug");
    let mut server = launch.start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.success().await;
    server.log_line("task succeeded").await;

    let id = follower.task().trim_start_matches("tasks/").to_owned();
    let lines: Vec<Value> = server
        .log()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let spans = |message: &str| -> Vec<Value> {
        let said = lines.iter().filter(|line| line["message"] == message);
        said.map(|line| {
            let spans = line["spans"].as_array().unwrap().iter();
            let known = spans.filter(|span| ["run", "turn", "tool"].contains(&span["name"].as_str().unwrap()));
            known.cloned().collect()
        })
        .collect()
    };
    let run = json!({ "name": "run", "task.id": id, "run.id": 1, "principal.id": "default" });
    let turn = |number: u32| json!({ "name": "turn", "turn.number": number });
    assert_eq!(spans("turn finished"), [json!([run, turn(1)]), json!([run, turn(2)])]);
    let tool = |name: &str, call: &str| json!({ "name": "tool", "tool.name": name, "call.id": call });
    assert_eq!(
        spans("tool call ended"),
        [
            json!([run, turn(1), tool("write_file", "t1.1")]),
            json!([run, turn(2), tool("finish", "t2.1")]),
        ]
    );
    assert_eq!(spans("task succeeded"), [json!([run])]);
}
