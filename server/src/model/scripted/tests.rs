use super::*;
use crate::model::ToolResult;
use crate::model::transcript::Transcript;

const SCRIPT: &str = r#"
[[turn]]
say = "I look at the file, größer als sechzehn Zeichen."
expect = "fix the bug"

  [[turn.call]]
  tool = "bash"
  arguments = { command = "cat a", timeout_seconds = 5 }

  [[turn.call]]
  tool = "bash"
  raw_arguments = '{"command":'

[[turn]]
repeat = 3
expect = "out"

  [[turn.call]]
  tool = "bash"
  arguments = { command = "echo {n}", list = ["{n}"] }

[[turn]]
say = "Done after a while."
fail = "rate_limited"
fail_times = 2
retry_after_ms = 1500
usage = { input_uncached = 10, output = 2 }
"#;

struct Fixture {
    _folder: tempfile::TempDir,
    provider: Scripted,
}

fn fixture(script: &str) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("demo.toml"), script).unwrap();
    std::fs::write(folder.path().join("other.toml"), "[[turn]]\nsay = 'hi'\n").unwrap();
    std::fs::write(folder.path().join("notes.md"), "").unwrap();
    let provider = Scripted::new(folder.path());
    Fixture {
        _folder: folder,
        provider,
    }
}

async fn ask(
    provider: &Scripted,
    model: &str,
    transcript: &mut Transcript,
) -> Result<(Answer, Vec<Delta>), ModelError> {
    let request = ModelRequest {
        model,
        system: "be brief",
        tools: &[],
        transcript,
        max_output_tokens: None,
    };
    let mut deltas = Vec::new();
    let answer = provider.answer(request, &mut |delta| deltas.push(delta)).await?;
    Ok((answer, deltas))
}

fn user(text: &str) -> Item {
    Item::User { text: text.into() }
}

fn results(answer: &Answer, content: &str) -> Item {
    let results = answer.tool_calls.iter().map(|call| ToolResult {
        call_id: call.id.clone(),
        content: content.into(),
        is_error: false,
    });
    Item::ToolResults {
        results: results.collect(),
    }
}

fn rejection<T: std::fmt::Debug>(result: Result<T, ModelError>) -> String {
    match result.unwrap_err() {
        ModelError::Rejected { message } => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_is_played_turn_by_turn_also_after_a_restart() {
    let fixture = fixture(SCRIPT);
    let mut transcript = Transcript::new(vec![user("please fix the bug")]);
    let (answer, deltas) = ask(&fixture.provider, "demo", &mut transcript).await.unwrap();
    let calls: Vec<(&str, &str)> = answer
        .tool_calls
        .iter()
        .map(|call| (call.name.as_str(), call.arguments.as_str()))
        .collect();
    assert_eq!(
        calls,
        [
            ("bash", r#"{"command":"cat a","timeout_seconds":5}"#),
            ("bash", r#"{"command":"#)
        ]
    );
    assert_eq!(
        (answer.stop, answer.model.as_str()),
        (StopReason::ToolUse, "scripted/demo")
    );
    let shown: Vec<String> = deltas
        .into_iter()
        .map(|delta| match delta {
            Delta::Text(text) => text,
            Delta::Reasoning(_) => panic!("no reasoning"),
        })
        .collect();
    assert_eq!(shown.len(), 3);
    assert_eq!(shown.concat(), answer.text);

    let (first, second) = (results(&answer, "no"), results(&answer, "the out"));
    transcript.push(Item::Assistant(answer));
    transcript.push(first);
    assert_eq!(
        rejection(ask(&fixture.provider, "demo", &mut transcript).await),
        "script `demo`, turn 2: expected `out` in what the model was last shown, which was: no\nno"
    );
    transcript.push(second);
    let resumed = Scripted::new(fixture.provider.path.clone());
    for n in 1..=3 {
        let mut restored = Transcript::new(transcript.items().to_vec());
        let (answer, _) = ask(&resumed, "demo", &mut restored).await.unwrap();
        assert_eq!(
            answer.tool_calls[0].arguments,
            format!(r#"{{"command":"echo {n}","list":["{n}"]}}"#)
        );
        let result = results(&answer, "out");
        transcript.push(Item::Assistant(answer));
        transcript.push(result);
    }
    for _ in 0..2 {
        let error = ask(&fixture.provider, "demo", &mut transcript).await.unwrap_err();
        let wait = Some(Duration::from_millis(1500));
        assert!(
            matches!(error, ModelError::RateLimited { retry_after } if retry_after == wait),
            "{error:?}"
        );
    }
    let (answer, _) = ask(&fixture.provider, "demo", &mut transcript).await.unwrap();
    assert_eq!(
        (answer.stop, answer.usage.input_uncached, answer.usage.output),
        (StopReason::EndTurn, 10, 2)
    );
    transcript.push(Item::Assistant(answer));
    assert_eq!(
        rejection(ask(&fixture.provider, "demo", &mut transcript).await),
        "script `demo` has 5 turns, and one more was asked for"
    );
}

#[tokio::test]
async fn a_compacted_conversation_tells_the_turn() {
    let fixture = fixture(SCRIPT);
    let mut transcript = Transcript::new(vec![user("summary, with the out [scripted turn 2]")]);
    let (answer, _) = ask(&fixture.provider, "demo", &mut transcript).await.unwrap();
    assert_eq!(answer.tool_calls[0].arguments, r#"{"command":"echo 2","list":["2"]}"#);
}

#[tokio::test]
async fn every_failure_can_be_scripted_and_lasts_without_an_answer() {
    for (name, expected) in [
        ("overloaded", "Overloaded"),
        ("context", "ContextTooLong"),
        ("truncated", "Truncated"),
        ("auth", "Authentication"),
        ("refused", "Refused"),
        ("spending", "SpendingCap"),
        ("rejected", "Rejected"),
        ("protocol", "Protocol"),
        ("transport", "Transport"),
    ] {
        let fixture = fixture(&format!("[[turn]]\nfail = '{name}'\n"));
        let mut transcript = Transcript::new(vec![user("go")]);
        for _ in 0..3 {
            let error = ask(&fixture.provider, "demo", &mut transcript).await.unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_changed_script_is_read_again_and_names_are_listed() {
    let fixture = fixture("[[turn]]\nsay = 'one'\n");
    assert_eq!(fixture.provider.names(), ["demo", "other"]);
    let mut transcript = Transcript::new(vec![user("go")]);
    assert_eq!(
        ask(&fixture.provider, "demo", &mut transcript).await.unwrap().0.text,
        "one"
    );
    let file = fixture.provider.path.join("demo.toml");
    std::fs::write(&file, "[[turn]]\nsay = 'two'\n").unwrap();
    let later = SystemTime::now() + Duration::from_secs(10);
    std::fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(later)
        .unwrap();
    assert_eq!(
        ask(&fixture.provider, "demo", &mut transcript).await.unwrap().0.text,
        "two"
    );
    let single = Scripted::new(file);
    assert_eq!(single.names(), ["demo"]);
    assert_eq!(ask(&single, "demo", &mut transcript).await.unwrap().0.text, "two");
}

#[tokio::test]
async fn a_name_can_not_leave_the_folder_and_faults_are_told() {
    let fixture = fixture("[[turn]]\n");
    let mut transcript = Transcript::new(vec![user("go")]);
    for name in ["../demo", "", ".hidden", "a/b", "a\0"] {
        let message = rejection(ask(&fixture.provider, name, &mut transcript).await);
        assert_eq!(message, format!("`{name}` is not the name of a script"));
    }
    let message = rejection(ask(&fixture.provider, "demo", &mut transcript).await);
    assert_eq!(message, "script `demo`: turn 1: a turn must `say`, `call` or `fail`");
    assert!(
        rejection(ask(&fixture.provider, "absent", &mut transcript).await).starts_with("there is no script `absent`")
    );
    for (script, fault) in [
        ("[[turn]]\nsay='x'\nrepeat=0\n", "turn 1: `repeat` must be 1 or more"),
        (
            "[[turn]]\nsay='x'\nfail_times=1\n",
            "turn 1: `fail_times` and `retry_after_ms` need `fail`",
        ),
        (
            "[[turn]]\n[[turn.call]]\ntool='t'\narguments=[1]\n",
            "turn 1: `arguments` must be a table; for anything else there is `raw_arguments`",
        ),
    ] {
        assert_eq!(Script::parse(script).unwrap_err(), ScriptFault(fault.into()));
    }
}
