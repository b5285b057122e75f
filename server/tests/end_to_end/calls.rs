//! What callers are told: joining, refusing, and not telling of what is somebody else's.

use backspace_sdk::{CallError, Error, FieldViolation, v1};
use tonic::Code;
use uuid::Uuid;

use crate::edge::principals::entry;
use crate::event_log::Follower;
use crate::script::good;
use crate::site::{Site, spec};

fn call_error<T>(result: Result<T, Error>) -> CallError {
    match result {
        Err(Error::Call(error)) => *error,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("the call was answered"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_joins_its_task_and_another_spec_is_refused() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    let server = site.serve().start().await;
    let client = server.client();
    let request_id = Uuid::new_v4();
    let mut first = Follower::of(client.run_task_as(spec(&repository, "fix"), request_id));
    let mut second = Follower::of(client.run_task_as(spec(&repository, "fix"), request_id));
    let (one, other) = (first.end().await, second.end().await);
    assert_eq!((&one.name, &first.events), (&other.name, &second.events));
    assert_eq!(
        client
            .list_tasks(v1::ListTasksRequest::default())
            .await
            .unwrap()
            .tasks
            .len(),
        1
    );
    repository.only_branch();

    let different = v1::TaskSpec {
        instruction: "Something else".into(),
        ..spec(&repository, "fix")
    };
    let error = call_error(client.run_task_as(different, request_id).next().await.unwrap());
    assert_eq!(error.code, Code::AlreadyExists, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_task_is_not_found_by_any_call() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    let url = repository.url();
    let all = entry("ada", &[&url]) + &entry("bob", &[]) + &entry("eve", &[&url]);
    let tokens = site.path("tokens.toml");
    std::fs::write(&tokens, all).unwrap();
    let server = site
        .serve()
        .flag("--tokens-file", tokens.to_str().unwrap())
        .start()
        .await;
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| server.client_of(name));
    let mut follower = Follower::run(&ada, spec(&repository, "fix"));
    let name = follower.end().await.name;
    assert_eq!(ada.get_task(&name).await.unwrap().requester, "ada");

    let send = v1::SendMessageRequest {
        name: name.clone(),
        text: "hello".into(),
        ..v1::SendMessageRequest::default()
    };
    let codes = [
        call_error(bob.get_task(&name).await).code,
        call_error(bob.cancel_task(&name, "").await).code,
        call_error(bob.send_message(send).await).code,
        call_error(bob.watch(&name, 0).next().await.unwrap()).code,
        call_error(
            bob.read_artifact(&format!("{name}/artifacts/patch"))
                .next()
                .await
                .unwrap(),
        )
        .code,
    ];
    assert_eq!(codes, [Code::NotFound; 5]);
    assert_eq!(bob.list_tasks(v1::ListTasksRequest::default()).await.unwrap().tasks, []);
    // A delete of what is not there is a success, and changes nothing.
    bob.delete_task(&name).await.unwrap();
    assert_eq!(
        ada.list_tasks(v1::ListTasksRequest::default())
            .await
            .unwrap()
            .tasks
            .len(),
        1
    );
    let denied = call_error(bob.create_task(spec(&repository, "fix")).await);
    assert_eq!(denied.code, Code::PermissionDenied, "{denied:?}");
    // A replay would show what was answered in it.
    let replay = v1::TaskSpec {
        model: name.replace("tasks/", "replay/"),
        ..spec(&repository, "fix")
    };
    let fallback = v1::TaskSpec {
        fallback_models: vec![replay.model.clone()],
        ..spec(&repository, "fix")
    };
    for foreign in [replay, fallback] {
        let refused = call_error(eve.create_task(foreign).await);
        assert!(refused.message.contains("there is no task"), "{refused:?}");
    }
    assert_eq!(
        call_error(server.client().get_task(&name).await).code,
        Code::Unauthenticated
    );

    ada.delete_task(&name).await.unwrap();
    assert_eq!(call_error(ada.get_task(&name).await).code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_is_told_at_once_with_its_path() {
    let site = Site::new();
    site.script("fix", good());
    let server = site.serve().start().await;
    let wrong = v1::TaskSpec {
        repository: Some(v1::Repository {
            url: "https://user:secret@github.com/a/b".into(),
            revision: Some(v1::repository::Revision::Commit("main".into())),
        }),
        model: "nobody/nothing".into(),
        publication: Some(v1::Publication {
            head_branch: "a..b".into(),
            ..v1::Publication::default()
        }),
        issue: "the one about the colour".into(),
        ..v1::TaskSpec::default()
    };
    let request = v1::CreateTaskRequest {
        spec: Some(wrong),
        request_id: "not a uuid".into(),
    };
    let error = server.client().raw().create_task(request).await.map(drop);
    let error = call_error(error.map_err(Error::from));
    assert_eq!(
        (error.code, error.reason.as_str()),
        (Code::InvalidArgument, "INVALID_ARGUMENT")
    );
    let mut fields: Vec<_> = error
        .violations
        .iter()
        .map(|FieldViolation { field, .. }| field.as_str())
        .collect();
    fields.sort_unstable();
    let expected = [
        "request_id",
        "spec.instruction",
        "spec.issue",
        "spec.model",
        "spec.publication.head_branch",
        "spec.repository.commit",
        "spec.repository.url",
    ];
    assert_eq!(fields, expected);
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    let tasks = server
        .client()
        .list_tasks(v1::ListTasksRequest::default())
        .await
        .unwrap()
        .tasks;
    assert_eq!(tasks, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_past_the_end_is_out_of_range() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    let server = site.serve().start().await;
    let client = server.client();
    let task = Follower::run(&client, spec(&repository, "fix")).end().await;
    let watch = async |after_sequence| {
        let request = v1::WatchTaskRequest {
            name: task.name.clone(),
            after_sequence,
            durable_only: false,
        };
        let mut stream = client.raw().watch_task(request).await?.into_inner();
        stream.message().await
    };
    assert_eq!(
        watch(task.last_sequence + 1).await.unwrap_err().code(),
        Code::OutOfRange
    );
    assert_eq!(watch(task.last_sequence).await.unwrap(), None);
}
