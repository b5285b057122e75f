//! gRPC-Web over HTTP/1.1, as a browser's client speaks it: a Task is run and its stream gone on with.

use backspace_sdk::v1::agent_service_client::AgentServiceClient;
use backspace_sdk::v1::task_event::Payload;
use backspace_sdk::v1::{self, task::State};
use bytes::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tonic_web::GrpcWebClientLayer;
use tower::Layer as _;

use crate::script::good;
use crate::site::{Site, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_over_grpc_web_and_its_stream_is_gone_on_with() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    let server = site.serve().start().await;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let origin = format!("http://{}", server.authority()).parse().unwrap();
    let mut client = AgentServiceClient::with_origin(GrpcWebClientLayer::new().layer(http), origin);

    let request = v1::RunTaskRequest {
        spec: Some(spec(&repository, "fix")),
        request_id: String::new(),
    };
    let mut stream = client.run_task(request).await.unwrap().into_inner();
    let (mut task, mut durable) = (String::new(), Vec::new());
    while let Some(response) = stream.message().await.unwrap() {
        task.push_str(&response.task);
        let event = response.event.unwrap();
        if event.sequence > 0 {
            durable.push(event);
        }
    }
    let last = durable.last().unwrap();
    let Some(Payload::TaskFinished(v1::TaskFinished { task: Some(ended) })) = &last.payload else {
        panic!("{last:?}");
    };
    assert_eq!((ended.name.as_str(), ended.state()), (task.as_str(), State::Succeeded));

    let request = v1::WatchTaskRequest {
        name: task,
        after_sequence: 3,
        durable_only: true,
    };
    let mut stream = client.watch_task(request).await.unwrap().into_inner();
    let mut again = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        again.push(response.event.unwrap());
    }
    assert_eq!(again, durable[3..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_read_over_grpc_web_as_it_is_over_grpc() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    let server = site.serve().start().await;
    let native = server.client();
    let task = crate::event_log::Follower::run(&native, spec(&repository, "fix"))
        .end()
        .await;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let origin = format!("http://{}", server.authority()).parse().unwrap();
    let mut client = AgentServiceClient::with_origin(GrpcWebClientLayer::new().layer(http), origin);
    let name = format!("{}/artifacts/patch", task.name);
    let request = v1::ReadArtifactRequest {
        name: name.clone(),
        offset: 0,
    };
    let mut stream = client.read_artifact(request.clone()).await.unwrap().into_inner();
    let mut over_web = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        over_web.extend(response.data);
    }
    let mut stream = native.raw().read_artifact(request).await.unwrap().into_inner();
    let mut over_grpc = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        over_grpc.extend(response.data);
    }
    assert_eq!(Bytes::from(over_web.clone()), Bytes::from(over_grpc));
    assert!(String::from_utf8(over_web).unwrap().contains("+good"));
}
