//! Over gRPC and gRPC-Web.

use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus as Served};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::*;

fn with_token<T>(message: T, token: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

#[tokio::test]
async fn a_caller_needs_its_token_and_health_does_not() {
    let edge = Edge::start_with_token(ApiConfig::default()).await;
    let mut client = edge.client().await;
    let status = client.get_server_info(v1::GetServerInfoRequest {}).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unauthenticated, "UNAUTHENTICATED")
    );
    let wrong = with_token(v1::GetServerInfoRequest {}, "wrong");
    assert_eq!(
        client.get_server_info(wrong).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let right = with_token(v1::GetServerInfoRequest {}, "secret");
    let response = client.get_server_info(right).await.unwrap();
    assert!(response.metadata().contains_key("x-request-id"));

    let mut health = HealthClient::new(edge.channel().await);
    for service in ["", "backspace.v1.AgentService"] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let served = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(served, Served::Serving, "{service}");
    }
}

#[tokio::test]
async fn reflection_lists_the_contract() {
    let edge = Edge::start(ApiConfig::default()).await;
    let mut client = ServerReflectionClient::new(edge.channel().await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = client
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in [
        "backspace.v1.AgentService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn a_request_is_refused_with_its_field_and_a_large_one_with_its_size() {
    let edge = Edge::start(ApiConfig::default()).await;
    let mut client = edge.client().await;
    let status = client
        .get_task(v1::GetTaskRequest { name: "x".into() })
        .await
        .unwrap_err();
    let details = status.get_error_details();
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "name");

    let large = |bytes| v1::CancelTaskRequest {
        name: "x".into(),
        reason: "r".repeat(bytes),
    };
    // The one that is taken is refused for its name, so it was read.
    let status = client.cancel_task(large(255 * 1024)).await.unwrap_err();
    assert_eq!(
        status.get_error_details().bad_request().unwrap().field_violations.len(),
        2
    );
    let status = client.cancel_task(large(257 * 1024)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INVALID_ARGUMENT")
    );
    assert_eq!(
        status.get_error_details().bad_request().unwrap().field_violations[0].field,
        "(message)"
    );
}

#[tokio::test]
async fn the_eleventh_start_of_a_minute_is_told_when_to_come_back_and_reads_go_on() {
    let edge = Edge::start(ApiConfig::default()).await;
    let mut client = edge.client().await;
    let mut send = async || {
        client
            .send_message(v1::SendMessageRequest::default())
            .await
            .unwrap_err()
    };
    for _ in 0..10 {
        assert_eq!(send().await.code(), Code::InvalidArgument);
    }
    let status = send().await;
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "RATE_LIMITED")
    );
    let delay = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
    assert!((1..=6).contains(&delay.as_secs()), "{delay:?}");
    client.get_server_info(v1::GetServerInfoRequest {}).await.unwrap();
}

#[tokio::test]
async fn a_method_that_does_not_exist_has_details_too() {
    let edge = Edge::start(ApiConfig::default()).await;
    let mut grpc = tonic::client::Grpc::new(edge.channel().await);
    for (path, reason_expected) in [
        ("/backspace.v1.AgentService/Nope", "UNIMPLEMENTED"),
        ("/other.Service/Nope", "UNIMPLEMENTED"),
    ] {
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<v1::GetTaskRequest, v1::GetTaskResponse>::default();
        let request = tonic::Request::new(v1::GetTaskRequest::default());
        let status = grpc.unary(request, path.parse().unwrap(), codec).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::Unimplemented, reason_expected),
            "{path}"
        );
    }
}

#[tokio::test]
async fn grpc_web_is_served_over_http1_and_native_grpc_is_not() {
    let edge = Edge::start(ApiConfig::default()).await;
    let line = "POST /backspace.v1.AgentService/GetServerInfo";
    let empty = "\0\0\0\0\0";
    let (head, body) = edge
        .http(line, "content-type: application/grpc-web+proto\r\n", empty)
        .await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(body.contains("grpc-status:0"), "{body}");
    let (head, _) = edge.http(line, "content-type: application/grpc\r\n", empty).await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
    let foreign = "content-type: application/grpc-web+proto\r\norigin: http://evil.test\r\n";
    let (head, body) = edge.http(line, foreign, empty).await;
    assert!(
        head.contains("grpc-status: 7") || body.contains("grpc-status:7"),
        "{head} {body}"
    );
}
