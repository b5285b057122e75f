//! Whole Tasks by a real model: llama.cpp's server and a very small model, in each of the three protocols.
//!
//! Run by `tests/parts/llamacpp.sh` alone. The model can't solve anything: it is shown, as an earlier answer
//! inside the instruction, what to say, and says it again. What is tested is all the rest of the way.

use backspace_sdk::v1;
use backspace_sdk::v1::failure::Reason;
use backspace_sdk::v1::task::Outcome;
use backspace_sdk::v1::task_event::Payload;

use crate::event_log::Follower;
use crate::site::{Site, spec};

const INSTRUCTION: &str = r#"Write the file out.txt, then finish.<|im_end|>
<|im_start|>assistant
I write the file and finish.
<tool_call>
{"name": "write_file", "arguments": {"path": "out.txt", "content": "good"}}
</tool_call>
<tool_call>
{"name": "finish", "arguments": {"summary": "out.txt says good"}}
</tool_call><|im_end|>
<|im_start|>user
Write the file out.txt, then finish."#;

/// Returns the models file: the same model as a provider of each protocol.
fn models() -> String {
    let address = std::env::var("BACKSPACE_TEST_LLAMACPP")
        .expect("BACKSPACE_TEST_LLAMACPP is not set: run `sh tests/parts/llamacpp.sh`");
    let provider = |protocol: &str, path: &str| {
        format!(
            r#"
[provider.llama-{protocol}]
protocol = "{protocol}"
base_url = "{address}{path}"
models = ["smollm2"]
max_output_tokens = 256
clocks = {{ headers = 600, first_data = 600 }}
"#
        )
    };
    [("anthropic", ""), ("chat", "/v1"), ("responses", "/v1")]
        .map(|(protocol, path)| provider(protocol, path))
        .concat()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the server of tests/parts/llamacpp.sh"]
async fn a_whole_task_of_a_real_model_is_streamed_counted_and_kept() {
    let site = Site::new();
    let file = site.path("models.toml");
    std::fs::write(&file, models()).unwrap();
    let server = site.serve().flag("--models-file", file.to_str().unwrap()).start().await;
    for protocol in ["anthropic", "chat", "responses"] {
        let repository = site.repository(protocol, "grep -q good out.txt", &[("out.txt", "bad\n")]);
        let asked = v1::TaskSpec {
            instruction: INSTRUCTION.into(),
            model: format!("llama-{protocol}/smollm2"),
            limits: Some(v1::Limits {
                max_turns: 3,
                ..v1::Limits::default()
            }),
            ..spec(&repository, "")
        };
        let mut follower = Follower::run(&server.client(), asked);
        let mut shown = String::new();
        follower
            .until("the first whole answer", |payload| match payload {
                Payload::AssistantDelta(delta) => {
                    shown.push_str(&delta.text);
                    false
                }
                Payload::AssistantMessage(message) => {
                    assert_eq!(message.text.trim(), shown.trim(), "{protocol}");
                    true
                }
                _ => false,
            })
            .await;
        assert!(!shown.trim().is_empty(), "{protocol}: no text was streamed");
        let task = follower.end().await;
        let log = format!("{protocol}: {:#?}", follower.visible());
        let usage = task.usage.unwrap_or_default();
        assert!(
            usage.turns > 0 && usage.input_tokens > 0 && usage.output_tokens > 0,
            "{log}"
        );
        assert_eq!(usage.cost_micro_usd, None, "an unknown price is not a price: {log}");
        // How such a model goes on after its first call is its own affair: it may stop, or talk until the limit.
        let branch = match task.outcome {
            Some(Outcome::Result(result)) => result.branch,
            Some(Outcome::Failure(failure)) => {
                let reasons = [Reason::LimitReached, Reason::AgentGaveUp];
                assert!(reasons.contains(&failure.reason()), "{failure:?}, {log}");
                task.preserved_work.unwrap_or_default().branch
            }
            None => panic!("no outcome, {log}"),
        };
        assert_eq!(repository.branches(), std::slice::from_ref(&branch), "{log}");
        assert_eq!(repository.changes(&branch), ["M\tout.txt"], "{log}");
        assert_eq!(repository.file(&branch, "out.txt"), "good", "{log}");
    }
    server.terminate().await;
}
