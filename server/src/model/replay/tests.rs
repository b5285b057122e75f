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

const SECRET: &str = "tok-\"123";

#[derive(Default)]
struct Lines(Mutex<Vec<u8>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// How many items each exchange kept, and how many it added.
    fn shape(&self) -> Vec<(usize, usize)> {
        let exchanges = self.text();
        let exchanges = exchanges
            .lines()
            .map(|line| serde_json::from_str::<Exchange>(line).unwrap());
        exchanges
            .map(|exchange| (exchange.kept_items, exchange.new_items.len()))
            .collect()
    }
}

impl RecordingSink for Lines {
    fn take(&self, line: Vec<u8>) {
        self.0.lock().unwrap().extend(line);
    }
}

fn redactor() -> Arc<Redactor> {
    Arc::new(Redactor::new([Secret::new(SECRET)]))
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

/// Adds an answer and a result for each of its calls.
fn go_on(transcript: &mut Transcript, answer: Answer, output: &str) {
    let results = answer.tool_calls.iter().map(|call| ToolResult {
        call_id: call.id.clone(),
        content: output.into(),
        is_error: false,
    });
    let results = results.collect();
    transcript.push(Item::Assistant(answer));
    transcript.push(Item::ToolResults { results });
}

/// Plays the two turns, with `output` as the result of the call; returns the texts of the answers.
async fn play(provider: &dyn ModelProvider, model: &str, output: &str) -> Result<Vec<String>, ModelError> {
    let mut transcript = Transcript::new(vec![user(&format!("go with {SECRET}"))]);
    let first = ask(provider, model, &mut transcript).await?;
    let text = first.text.clone();
    go_on(&mut transcript, first, output);
    let second = match ask(provider, model, &mut transcript).await {
        Err(ModelError::Overloaded { .. }) => ask(provider, model, &mut transcript).await?,
        other => other?,
    };
    Ok(vec![text, second.text])
}

fn scripted(script: &str, lines: &Arc<Lines>) -> (tempfile::TempDir, RecordingProvider) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("demo.toml"), script).unwrap();
    let recorder = Recorder::new(lines.clone(), redactor());
    let provider = RecordingProvider::new(Arc::new(Scripted::new(folder.path())), recorder);
    (folder, provider)
}

async fn recording() -> Arc<Lines> {
    let lines = Arc::new(Lines::default());
    let (_folder, provider) = scripted(SCRIPT, &lines);
    assert_eq!(play(&provider, "demo", "a b").await.unwrap(), ["first", "done"]);
    lines
}

fn replay(text: &str, on_divergence: OnDivergence) -> ReplayProvider {
    ReplayProvider::parse(text, on_divergence)
        .unwrap()
        .masked_by(redactor())
}

#[tokio::test]
async fn a_recording_holds_only_what_is_new_and_no_secret() {
    let lines = recording().await;
    let text = lines.text();
    assert!(!text.contains("tok-") && text.contains("go with [redacted]"), "{text}");
    assert_eq!(lines.shape(), [(0, 1), (2, 1), (3, 0)]);
    let first: Exchange = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first.model, "scripted/demo");
}

#[tokio::test]
async fn a_conversation_that_was_replaced_is_written_anew_also_when_it_is_as_long() {
    let lines = Arc::new(Lines::default());
    let (_folder, provider) = scripted("[[turn]]\nsay = 'a'\n[[turn]]\nsay = 'b'\n", &lines);
    let mut asked = Transcript::new(vec![user("the task"), user("now summarise")]);
    ask(&provider, "demo", &mut asked).await.unwrap();
    let mut compacted = Transcript::new(vec![user("the task"), user("the summary")]);
    ask(&provider, "demo", &mut compacted).await.unwrap();
    assert_eq!(lines.shape(), [(0, 2), (0, 2)]);
}

#[tokio::test]
async fn a_replay_gives_the_recorded_answers_and_goes_past_failures() {
    let text = recording().await.text();
    let provider = replay(&text, OnDivergence::Fail);
    assert_eq!(provider.recorded_model().as_deref(), Some("scripted/demo"));
    assert_eq!(provider.remaining(), 2);
    assert_eq!(play(&provider, "any", "a b").await.unwrap(), ["first", "done"]);
    assert_eq!((provider.divergences(), provider.remaining()), (vec![], 0));
    let error = ask(&provider, "any", &mut Transcript::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the provider rejected the request: the recording has 3 exchanges, and one more was asked for"
    );
}

#[tokio::test]
async fn a_replay_goes_on_in_the_middle_as_if_it_had_begun_before() {
    let text = recording().await.text();
    let whole = replay(&text, OnDivergence::Fail);
    let mut transcript = Transcript::new(vec![user(&format!("go with {SECRET}"))]);
    let first = ask(&whole, "any", &mut transcript).await.unwrap();
    go_on(&mut transcript, first, "a b");
    let later = replay(&text, OnDivergence::Fail).after(1);
    assert_eq!(ask(&later, "any", &mut transcript).await.unwrap().text, "done");
    assert_eq!((later.divergences(), later.remaining()), (vec![], 0));
}

#[tokio::test]
async fn a_divergence_is_shown_and_ends_the_replay_only_when_asked() {
    let text = recording().await.text();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let provider = replay(&text, OnDivergence::Report).telling(move |divergence| {
        heard
            .lock()
            .unwrap()
            .push((divergence.exchange, divergence.what.clone()))
    });
    assert_eq!(play(&provider, "any", "a c").await.unwrap(), ["first", "done"]);
    let divergences = provider.divergences();
    assert_eq!(divergences.len(), 1);
    assert!(
        divergences[0].recorded.contains("a b") && divergences[0].now.contains("a c"),
        "{divergences:?}"
    );
    assert_eq!(*told.lock().unwrap(), [(3, "item 3".to_owned())]);

    let provider = replay(&text, OnDivergence::Fail);
    let mut other = Transcript::new(vec![user("something else")]);
    let error = ask(&provider, "any", &mut other).await.unwrap_err();
    assert!(error.to_string().contains("exchange 1 diverges in item 1"), "{error}");
}

#[test]
fn a_broken_recording_names_its_line() {
    let error = ReplayProvider::parse("\n{\"model\":1}\n", OnDivergence::Report)
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.to_string(), "line 2 of the recording is not an exchange");
}
