//! The private server's life: started for the call with what the call needs, joined by others, stopped
//! with the call. A stand-in program takes the server's place; what it is told and how it is stopped is
//! what matters here.

use std::path::Path;

use backspace_sdk::v1;
use backspace_sdk::v1::task::State;
use backspace_sdk::v1::task_event::Payload;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::fake::{Fake, Plan, TASK, Then};
use crate::home::{Home, Ran, make_repository};

fn plan(then: Then) -> Plan {
    let end = v1::Task {
        state: State::Succeeded.into(),
        ..Default::default()
    };
    let events = vec![Payload::StateChanged(v1::StateChanged {
        state: State::Running.into(),
    })];
    Plan {
        events,
        end,
        then,
        ..Plan::default()
    }
}

async fn run(home: &Home, address: &str, arguments: &[&str]) -> Ran {
    home.privately(Some(address), arguments).output().await.unwrap().into()
}

#[tokio::test]
async fn it_is_started_with_the_repository_allowed_and_stopped_in_order() {
    let (home, fake) = (Home::new(), Fake::new(plan(Then::Finish)));
    let address = fake.serve().await;
    let repository = home.path().join("project");
    make_repository(&repository);
    std::fs::create_dir(repository.join("deep")).unwrap();

    let ran = run(&home, &address, &["run", "project/deep", "fix it"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (data, root) = (home.data().display().to_string(), repository.display().to_string());
    let expected = [
        "--listen",
        "127.0.0.1:0",
        "--data-folder",
        &data,
        "--ready-file",
        &format!("{data}/private.address"),
        "--exit-with-parent",
        "--allow-local",
        &root,
    ];
    assert_eq!(home.read("arguments").lines().collect::<Vec<_>>(), expected);
    assert_eq!(home.read("stopped"), "stopped\n");
    assert_eq!(
        home.read(".local/share/backspace/server.log"),
        "the server says hello\n"
    );
    let spec = fake.specs().remove(0);
    assert_eq!(spec.repository.unwrap().url, root);

    // Another call does not name the repository, but the server may have work left in it.
    let ran = run(&home, &address, &["list"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(home.read("arguments").lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn its_folder_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (home, fake) = (Home::new(), Fake::new(plan(Then::Finish)));
    let address = fake.serve().await;
    assert_eq!(run(&home, &address, &["list"]).await.code, Some(0));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&home.data()), mode(&home.data().join("server.log"))),
        (0o700, 0o600)
    );
}

#[tokio::test]
async fn a_server_that_does_not_start_is_told_with_what_it_said() {
    let home = Home::new();
    let ran: Ran = home.privately(None, &["list"]).output().await.unwrap().into();
    assert_eq!(ran.code, Some(7), "{ran:?}");
    for part in ["ended at its start", "| no git \\x1b[2J found", "server.log"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    let mut command = home.command(&["list"]);
    let ran: Ran = command
        .env("BACKSPACE_SERVER_BIN", "/nonexistent")
        .output()
        .await
        .unwrap()
        .into();
    assert!(
        ran.code == Some(7) && ran.err.contains("BACKSPACE_SERVER_BIN"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn detach_says_why_it_cannot() {
    let (home, fake) = (Home::new(), Fake::new(plan(Then::Finish)));
    let address = fake.serve().await;
    let ran = run(&home, &address, &["run", "https://github.com/o/r", "x", "--detach"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("private server stops with the command") && ran.err.contains("next:"),
        "{ran:?}"
    );
    assert_eq!(home.read("arguments"), "", "nothing was started");
}

#[tokio::test]
async fn ctrl_c_cancels_the_task_and_others_can_join_until_then() {
    let (home, fake) = (Home::new(), Fake::new(plan(Then::WaitForCancel)));
    let address = fake.serve().await;
    let mut command = home.privately(Some(&address), &["run", "https://github.com/o/r", "x", "-o", "json"]);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        lines.next_line().await.unwrap().unwrap();
    }

    std::fs::remove_file(home.path().join("arguments")).unwrap();
    let joined = run(&home, &address, &["get", TASK, "-o", "json"]).await;
    assert_eq!(joined.code, Some(0), "{joined:?}");
    assert_eq!(home.read("arguments"), "", "no second server");
    let second = run(&home, &address, &["run", "https://github.com/o/r", "y"]).await;
    assert!(
        second.code == Some(7) && second.err.contains("BACKSPACE_SERVER=http"),
        "{second:?}"
    );

    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut last = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        last = line;
    }
    let ran: Ran = child.wait_with_output().await.unwrap().into();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(
        last.contains("STATE_CANCELLED") && fake.calls().contains(&"CancelTask".to_owned()),
        "{last}"
    );
    assert_eq!(home.read("stopped"), "stopped\n");
}

#[tokio::test]
async fn it_ends_when_the_command_is_killed() {
    let (home, fake) = (Home::new(), Fake::new(plan(Then::WaitForCancel)));
    let fifo = home.path().join("stopped");
    let address = fake.serve().await;
    // The stand-in's last act is to write into this pipe: reading it waits for that, and for nothing else.
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let mut child = home
        .privately(Some(&address), &["run", "https://github.com/o/r", "x", "-o", "json"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next_line().await.unwrap().unwrap();
    child.kill().await.unwrap();
    let said = tokio::fs::read_to_string(&fifo).await.unwrap();
    assert_eq!(said, "stopped\n");
}
