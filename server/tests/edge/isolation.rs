//! Who sees what: a Task of somebody else is answered exactly as one that is not there, by every call of
//! the contract and every route. The calls are read from the contract, so a new one can't be forgotten.

use backspace_sdk::v1;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use tonic::transport::Channel;
use tonic::{Code, Status};
use uuid::Uuid;

use super::http::{Answer, Http};
use super::principals;
use crate::event_log::Follower;
use crate::script::good;
use crate::site::{Site, spec};

/// Calls that name no Task. They are about the caller's own, or about none.
const OF_NO_TASK: [&str; 4] = ["RunTask", "CreateTask", "ListTasks", "GetServerInfo"];

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(backspace_sdk::FILE_DESCRIPTOR_SET).unwrap();
    let service = pool.get_service_by_name("backspace.v1.AgentService").unwrap();
    service.methods().collect()
}

/// Calls a method with a name and returns its status, after all that it streams.
async fn call(channel: &Channel, token: &str, method: &MethodDescriptor, name: &str) -> Status {
    let mut message = DynamicMessage::new(method.input());
    let name = match method.name() {
        "ReadArtifact" => format!("{name}/artifacts/patch"),
        _ => name.to_owned(),
    };
    message.set_field_by_name("name", Value::String(name));
    if method.name() == "SendMessage" {
        message.set_field_by_name("text", Value::String("hello".into()));
    }
    let mut request = tonic::Request::new(message);
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<DynamicMessage, ()>::default();
    let mut stream = match grpc.server_streaming(request, path.parse().unwrap(), codec).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return status,
    };
    loop {
        match stream.message().await {
            Ok(Some(())) => {}
            Ok(None) => return Status::ok(""),
            Err(status) => return status,
        }
    }
}

/// What a caller can tell two answers apart by.
fn shown(status: &Status, name: &str) -> (Code, String, Vec<u8>) {
    (
        status.code(),
        status.message().replace(name, "NAME"),
        status.details().to_vec(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_or_route_tells_a_foreign_task_from_a_missing_one() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    let tokens = principals::write(&site, &["ada", "bob"], &repository);
    let launch = site.serve().flag("--tokens-file", tokens.to_str().unwrap());
    let server = launch.start().await;
    let ada = server.client_of("ada");
    let foreign = Follower::run(&ada, spec(&repository, "fix")).end().await.name;
    let missing = format!("tasks/{}", Uuid::new_v4().simple());
    let uri = format!("http://{}", server.authority());
    let channel = Channel::from_shared(uri).unwrap().connect().await.unwrap();

    let (named, others): (Vec<_>, Vec<_>) = methods()
        .into_iter()
        .partition(|method| method.input().get_field_by_name("name").is_some());
    let others: Vec<_> = others.iter().map(|method| method.name().to_owned()).collect();
    let mut expected = OF_NO_TASK.map(str::to_owned).to_vec();
    expected.sort_by_key(|name| others.iter().position(|other| other == name));
    assert_eq!(
        others, expected,
        "a call that names no task in `name`: say here what it may show"
    );
    for method in &named {
        let [of_foreign, of_missing] = [
            call(&channel, "bob", method, &foreign).await,
            call(&channel, "bob", method, &missing).await,
        ];
        assert_eq!(
            shown(&of_foreign, &foreign),
            shown(&of_missing, &missing),
            "{}",
            method.name()
        );
        // A delete of what is not there is a success.
        let expected = if method.name() == "DeleteTask" {
            Code::Ok
        } else {
            Code::NotFound
        };
        assert_eq!(of_foreign.code(), expected, "{}", method.name());
    }
    assert_eq!(
        server
            .client_of("bob")
            .list_tasks(v1::ListTasksRequest::default())
            .await
            .unwrap()
            .tasks,
        []
    );

    let (bob, owner) = (Http::with_token(&server, "bob"), Http::with_token(&server, "ada"));
    let routes = [
        ("GET", "", ""),
        ("GET", "/events", ""),
        ("GET", "/artifacts/patch", ""),
        ("POST", ":cancel", "{}"),
        ("POST", ":message", "{\"text\":\"hello\"}"),
        ("DELETE", "", ""),
    ];
    let json = [("content-type", "application/json")];
    for (method, rest, body) in routes {
        let told = async |name: &str| {
            let answer = bob.send(method, &format!("/api/v1/{name}{rest}"), &json, body).await;
            let Answer {
                status,
                mut headers,
                body,
            } = answer;
            headers.retain(|name, _| name != "date" && name != "x-request-id");
            (status, headers, body)
        };
        let of_foreign = told(&foreign).await;
        assert_eq!(of_foreign, told(&missing).await, "{method} {rest}");
        assert_eq!(
            of_foreign.0,
            if method == "DELETE" { 200 } else { 404 },
            "{method} {rest}"
        );
    }
    assert_eq!(bob.get("/api/v1/tasks", &[]).await.body, "{}");

    // All of it is there for its owner, after everything that the other one tried; the delete comes last.
    let (deletes, keeps): (Vec<_>, Vec<_>) = named.iter().partition(|method| method.name() == "DeleteTask");
    for method in keeps.into_iter().chain(deletes) {
        let status = call(&channel, "ada", method, &foreign).await;
        assert_eq!(status.code(), Code::Ok, "{}: {status:?}", method.name());
        if method.name() == "GetTask" {
            for (method, rest, body) in &routes[..3] {
                let path = format!("/api/v1/{foreign}{rest}");
                assert_eq!(owner.send(method, &path, &json, body).await.status, 200, "{path}");
            }
        }
    }
}
