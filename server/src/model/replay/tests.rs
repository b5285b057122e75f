use std::io::Write;
use std::sync::Mutex;

use super::*;
use crate::model::ToolResult;
use crate::model::scripted::Scripted;
use crate::secret::Secret;

const SCRIPT: &str = r#"
[[turn]]
say = "first"
  [[turn.call]]
  tool = "bash"
  arguments = { command = "ls", key = "tok-\"123" }
[[turn]]
fail = "overloaded"
fail_times = 1
say = "done"
"#;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn ask(provider: &dyn ModelProvider, model: &str, transcript: &mut Transcript) -> Result<Answer, ModelError> {
    let request = ModelRequest {
        model,
        system: "be brief",
        tools: &[],
        transcript,
        max_output_tokens: None,
    };
    provider.answer(request, &mut |_| {}).await
}

fn user(text: &str) -> Item {
    Item::User { text: text.into() }
}

/// Plays the two turns, with `output` as the result of the call; returns the texts of the answers.
async fn play(provider: &dyn ModelProvider, model: &str, output: &str) -> Result<Vec<String>, ModelError> {
    let mut transcript = Transcript::new(vec![user("go with tok-\"123")]);
    let first = ask(provider, model, &mut transcript).await?;
    let results = first.tool_calls.iter().map(|call| ToolResult {
        call_id: call.id.clone(),
        content: output.into(),
        is_error: false,
    });
    let results = results.collect();
    let text = first.text.clone();
    transcript.push(Item::Assistant(first));
    transcript.push(Item::ToolResults { results });
    assert!(matches!(
        ask(provider, model, &mut transcript).await,
        Err(ModelError::Overloaded { .. })
    ));
    let second = ask(provider, model, &mut transcript).await?;
    Ok(vec![text, second.text])
}

async fn recording() -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("demo.toml"), SCRIPT).unwrap();
    let buffer = Buffer::default();
    let recorder = Recorder::new(
        Box::new(buffer.clone()),
        vec![Secret::new("tok-\"123"), Secret::new("")],
    );
    let provider = RecordingProvider::new(Arc::new(Scripted::new(folder.path())), recorder);
    assert_eq!(play(&provider, "demo", "a b").await.unwrap(), ["first", "done"]);
    let bytes = buffer.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// The recording as it would be without the secret in it.
async fn unmasked() -> String {
    let text = recording()
        .await
        .replace("\\\"key\\\":\\\"[secret]", r#"\"key\":\"tok-\\\"123"#);
    text.replace("[secret]", r#"tok-\"123"#)
}

#[tokio::test]
async fn a_recording_holds_only_what_is_new_and_no_secret() {
    let text = recording().await;
    assert!(!text.contains("tok-") && text.contains("[secret]"), "{text}");
    let exchanges: Vec<Exchange> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shape: Vec<(usize, usize)> = exchanges
        .iter()
        .map(|exchange| (exchange.kept_items, exchange.new_items.len()))
        .collect();
    assert_eq!(shape, [(0, 1), (2, 1), (3, 0)]);
    assert_eq!(exchanges[0].model, "scripted/demo");
}

#[tokio::test]
async fn a_replay_gives_the_recorded_answers() {
    let text = unmasked().await;
    let replay = ReplayProvider::parse(&text, OnDivergence::Fail).unwrap();
    assert_eq!(play(&replay, "any", "a b").await.unwrap(), ["first", "done"]);
    assert_eq!((replay.divergences(), replay.remaining()), (vec![], 0));
    let error = ask(&replay, "any", &mut Transcript::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the provider rejected the request: the recording has 3 exchanges, and one more was asked for"
    );
}

#[tokio::test]
async fn a_divergence_is_shown_and_ends_the_replay_only_when_asked() {
    let text = unmasked().await;
    let replay = ReplayProvider::parse(&text, OnDivergence::Report).unwrap();
    assert_eq!(play(&replay, "any", "a c").await.unwrap(), ["first", "done"]);
    let divergences = replay.divergences();
    assert_eq!((divergences[0].exchange, divergences[0].what.as_str()), (2, "item 3"));
    assert!(
        divergences[0].recorded.contains("a b") && divergences[0].now.contains("a c"),
        "{divergences:?}"
    );

    let replay = ReplayProvider::parse(&text, OnDivergence::Fail).unwrap();
    let mut other = Transcript::new(vec![user("something else")]);
    let error = ask(&replay, "any", &mut other).await.unwrap_err();
    assert!(error.to_string().contains("exchange 1 diverges in item 1"), "{error}");
}

#[test]
fn a_broken_recording_names_its_line() {
    let error = ReplayProvider::parse("\n{\"model\":1}\n", OnDivergence::Report).unwrap_err();
    assert_eq!(error.to_string(), "line 2 of the recording is not an exchange");
}
