//! Starts a Task, finds it, cancels it and watches its end: `cargo run --example manage_tasks -- REPOSITORY`.

use std::process::ExitCode;

use backspace_sdk::{Client, Error, Options, Token, v1};

#[tokio::main]
async fn main() -> ExitCode {
    let Some(repository) = std::env::args().nth(1) else {
        eprintln!("usage: manage_tasks REPOSITORY");
        return ExitCode::FAILURE;
    };
    match manage(&repository).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn manage(repository: &str) -> Result<(), Error> {
    let address = std::env::var("BACKSPACE_SERVER").unwrap_or_else(|_| "http://127.0.0.1:8000".to_owned());
    let token = std::env::var("BACKSPACE_TOKEN").ok();
    let options = Options {
        token: token.map(|token| Token::new(&token)).transpose()?,
        ..Options::default()
    };
    let client = Client::connect(&address, options).await?;

    // An error has the server's code and reason, and every field that was refused.
    if let Err(error) = client.create_task(spec("no address", "")).await {
        let call = error.call().ok_or(Error::Contract {
            reason: error.to_string(),
        })?;
        println!("{:?} {}", call.code, call.reason);
        for violation in &call.violations {
            println!("  {}", violation.field);
        }
    }

    // The same request id joins the same Task: repeat a call whose answer was lost.
    let request = v1::CreateTaskRequest {
        spec: Some(spec(repository, "Take your time")),
        request_id: uuid::Uuid::new_v4().to_string(),
    };
    let task = client.raw().create_task(request.clone()).await?.into_inner().task;
    let again = client.raw().create_task(request).await?.into_inner().task;
    let name = task.unwrap_or_default().name;
    println!("joined: {}", again.unwrap_or_default().name == name);
    let page = client.list_tasks(v1::ListTasksRequest::default()).await?;
    println!("listed: {}", page.tasks.iter().any(|task| task.name == name));

    client.cancel_task(&name, "an example needs no more").await?;
    // Event 1 says that the Task was queued; go on after it.
    let mut run = client.watch(&name, 1).durable_only();
    while let Some(event) = run.next().await {
        let event = event?;
        let finished = matches!(event.payload, Some(v1::task_event::Payload::TaskFinished(_)));
        println!("{} {}", event.sequence, if finished { "task finished" } else { "…" });
    }
    println!("{}", client.get_task(&name).await?.state().as_str_name());
    client.delete_task(&name).await
}

fn spec(repository: &str, instruction: &str) -> v1::TaskSpec {
    v1::TaskSpec {
        instruction: instruction.to_owned(),
        repository: Some(v1::Repository {
            url: repository.to_owned(),
            revision: None,
        }),
        model: std::env::var("BACKSPACE_MODEL").unwrap_or_default(),
        ..Default::default()
    }
}
