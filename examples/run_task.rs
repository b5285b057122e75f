//! Runs a Task and prints what happens: `cargo run --example run_task -- REPOSITORY INSTRUCTION`.
//!
//! The server is `BACKSPACE_SERVER` (http://127.0.0.1:8000 without it), the token `BACKSPACE_TOKEN`.

use std::process::ExitCode;

use backspace_sdk::v1::task::Outcome;
use backspace_sdk::v1::task_event::Payload;
use backspace_sdk::{Client, Error, Options, Token, v1};

const MAX_PATCH_BYTES: usize = 10_000_000;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [repository, instruction] = arguments.as_slice() else {
        eprintln!("usage: run_task REPOSITORY INSTRUCTION");
        return ExitCode::FAILURE;
    };
    match run(repository, instruction).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the Task succeeded.
async fn run(repository: &str, instruction: &str) -> Result<bool, Error> {
    let address = std::env::var("BACKSPACE_SERVER").unwrap_or_else(|_| "http://127.0.0.1:8000".to_owned());
    let token = std::env::var("BACKSPACE_TOKEN")
        .ok()
        .map(|token| Token::new(&token))
        .transpose()?;
    let client = Client::connect(
        &address,
        Options {
            token,
            ..Options::default()
        },
    )
    .await?;

    let spec = v1::TaskSpec {
        instruction: instruction.to_owned(),
        repository: Some(v1::Repository {
            url: repository.to_owned(),
            revision: None,
        }),
        ..Default::default()
    };
    let mut run = client
        .run_task(spec)
        .on_interruption(|lost| eprintln!("{}; connecting again", lost.error));
    let mut finished = None;
    while let Some(event) = run.next().await {
        let event = event?;
        let sequence = event.sequence;
        match event.payload {
            Some(Payload::StateChanged(change)) => println!("{sequence} {}", change.state().as_str_name()),
            Some(Payload::ToolCallFinished(call)) => println!("{sequence} {} {:?}", call.tool, call.command),
            Some(Payload::TaskFinished(end)) => {
                println!("{sequence} finished");
                finished = end.task;
            }
            // A newer server may send what this program does not know. Live-only events have no sequence.
            _ if sequence > 0 => println!("{sequence} …"),
            _ => {}
        }
    }
    let Some(task) = finished else { return Ok(false) };
    let said = match &task.outcome {
        Some(Outcome::Result(result)) => result.summary.as_str(),
        Some(Outcome::Failure(failure)) => failure.message.as_str(),
        None => "",
    };
    println!("{} {} {said:?}", task.name, task.state().as_str_name());
    let mut patch = client.read_artifact(&format!("{}/artifacts/patch", task.name));
    println!(
        "{}",
        String::from_utf8_lossy(&patch.read_to_end(MAX_PATCH_BYTES).await?)
    );
    Ok(task.state() == v1::task::State::Succeeded)
}
