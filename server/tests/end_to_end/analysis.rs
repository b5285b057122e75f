//! What the first prompt says of a repository, as the model sees it.

use serde_json::json;

use crate::event_log::Follower;
use crate::script::finish;
use crate::site::{Site, spec};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_prompt_maps_the_code_in_every_language_and_survives_hostile_files() {
    let site = Site::new();
    let deep = "(".repeat(100_000);
    let files = [
        ("out.txt", "good\n"),
        ("AGENTS.md", "Use tabs.\n"),
        (
            "src/server.rs",
            "pub struct Server;\nimpl Server { pub fn start(&self) {} }\nfn main() {}\n",
        ),
        ("src/tool.py", "class Tool:\n    def run(self): pass\n"),
        ("src/page.ts", "export interface Page { a: number }\n"),
        ("src/app.js", "export function app() {}\n"),
        ("src/main.go", "package main\nfunc Main() {}\n"),
        ("src/A.java", "class A { void run() {} }\n"),
        ("src/deep.rs", deep.as_str()),
    ];
    let repository = site.repository("project", "grep -q good out.txt", &files);
    let expected = [
        "Use tabs.",
        "<untrusted origin=\"map of the code\">",
        "src/server.rs: struct Server, fn main, Server.start",
        "src/tool.py: class Tool, Tool.run",
        "src/page.ts: interface Page",
        "src/app.js: function app",
        "src/main.go: func Main",
        "src/A.java: class A, A.run",
    ];
    site.script("look", json!([{ "expect": expected, "call": [finish("Seen.")] }]));
    let server = site.serve().start().await;
    // The second finds the analysis of the first.
    for _ in 0..2 {
        let mut follower = Follower::run(&server.client(), spec(&repository, "look"));
        assert_eq!(follower.success().await.summary, "Seen.");
    }
    server.terminate().await;
}
