//! gRPC-Web as browsers' clients speak it: a generated client over HTTP/1.1, and the frames themselves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use tonic_web::GrpcWebClientLayer;
use tower::Layer as _;

use super::*;
use crate::api::origin::OriginConfig;

const INFO: &str = "/backspace.v1.AgentService/GetServerInfo";
const GET: &str = "/backspace.v1.AgentService/GetTask";
const EMPTY: &[u8] = &[0, 0, 0, 0, 0];

/// A frame: whether it holds trailers, and its bytes.
type Frame = (bool, Vec<u8>);

fn browser<B>() -> HttpClient<HttpConnector, B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    HttpClient::builder(TokioExecutor::new()).build_http()
}

/// Sends a body and returns the answer's head and whole body.
async fn post(edge: &Edge, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (::http::response::Parts, Bytes) {
    let mut request = ::http::Request::post(format!("http://{}{path}", edge.address));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
    let answered = tokio::time::timeout(PATIENCE, browser().request(request)).await;
    let (head, body) = answered.expect("an answer").unwrap().into_parts();
    (head, body.collect().await.unwrap().to_bytes())
}

/// Takes a body apart: one byte of flags, four of length, the rest.
fn frames(mut body: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !body.is_empty() {
        let (flags, length) = (body.get_u8(), body.get_u32() as usize);
        frames.push((flags & 0x80 != 0, body[..length].to_vec()));
        body.advance(length);
    }
    frames
}

/// In the text form each piece is encoded by itself, so padding may stand in the middle.
fn from_text(body: &[u8]) -> Vec<u8> {
    body.chunks(4)
        .flat_map(|group| STANDARD.decode(group).expect("groups of four"))
        .collect()
}

fn framed(message: &impl prost::Message) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend((message.encoded_len() as u32).to_be_bytes());
    frame.extend(message.encode_to_vec());
    frame
}

#[tokio::test]
async fn a_generated_client_speaks_it_and_is_told_all_of_a_failure() {
    let edge = Edge::start_with_token(ApiConfig::default()).await;
    let origin = format!("http://{}", edge.address).parse().unwrap();
    let web = GrpcWebClientLayer::new().layer(browser());
    let mut client = AgentServiceClient::with_origin(web, origin);
    let with_token = |message| {
        let mut request = tonic::Request::new(message);
        let value = "Bearer secret".parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        request
    };
    let answer = client
        .get_task(with_token(v1::GetTaskRequest { name: "x".into() }))
        .await;
    let status = answer.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INVALID_ARGUMENT")
    );
    let details = status.get_error_details();
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "name");

    let stranger = client.get_server_info(v1::GetServerInfoRequest {}).await.unwrap_err();
    assert_eq!(
        (stranger.code(), reason(&stranger).as_str()),
        (Code::Unauthenticated, "UNAUTHENTICATED")
    );
}

#[tokio::test]
async fn frames_are_messages_and_then_trailers_in_binary_and_in_text() {
    let edge = Edge::start(ApiConfig::default()).await;
    for kind in ["application/grpc-web", "application/grpc-web+proto"] {
        let (head, body) = post(&edge, INFO, &[("content-type", kind), ("accept", kind)], EMPTY).await;
        assert_eq!(head.status, 200);
        assert_eq!(head.headers["content-type"], "application/grpc-web+proto");
        assert_eq!(head.headers["x-content-type-options"], "nosniff");
        check(&frames(&body), kind);
    }
    for kind in ["application/grpc-web-text", "application/grpc-web-text+proto"] {
        let sent = STANDARD.encode(EMPTY);
        let (head, body) = post(
            &edge,
            INFO,
            &[("content-type", kind), ("accept", kind)],
            sent.as_bytes(),
        )
        .await;
        assert_eq!(head.status, 200);
        assert_eq!(head.headers["content-type"], "application/grpc-web-text+proto");
        check(&frames(&from_text(&body)), kind);
    }
}

fn check(frames: &[Frame], kind: &str) {
    let [(false, message), (true, trailers)] = frames else {
        panic!("{kind}: {frames:?}");
    };
    let info = v1::GetServerInfoResponse::decode(message.as_slice()).unwrap();
    assert_eq!(info.max_limits.unwrap().max_turns, 200, "{kind}");
    let trailers = String::from_utf8(trailers.clone()).unwrap();
    assert!(
        trailers.lines().any(|line| line.trim() == "grpc-status:0"),
        "{kind}: {trailers}"
    );
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_read_status_and_details_of_a_failure() {
    let allowed = OriginConfig {
        allowed_origins: vec!["https://tools.test".into()],
        allowed_hosts: vec![],
    };
    let edge = Edge::start(ApiConfig {
        origin: allowed,
        ..ApiConfig::default()
    })
    .await;
    let headers = [
        ("content-type", "application/grpc-web+proto"),
        ("origin", "https://tools.test"),
        ("x-grpc-web", "1"),
    ];
    let (head, _) = post(&edge, GET, &headers, &framed(&v1::GetTaskRequest { name: "x".into() })).await;
    assert_eq!(
        (head.status.as_u16(), head.headers["grpc-status"].to_str().unwrap()),
        (200, "3")
    );
    assert_eq!(head.headers["access-control-allow-origin"], "https://tools.test");
    let exposed = head.headers["access-control-expose-headers"].to_str().unwrap();
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(
            exposed.contains(name) && head.headers.contains_key(name),
            "{name}: {head:?}"
        );
    }

    let foreign = [headers[0], ("origin", "https://evil.test")];
    let (head, _) = post(&edge, INFO, &foreign, EMPTY).await;
    assert_eq!(head.headers["grpc-status"], "7");
    assert!(!head.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn what_is_no_frame_is_refused_and_the_server_goes_on() {
    let edge = Edge::start(ApiConfig::default()).await;
    let kind = ("content-type", "application/grpc-web+proto");
    for bad in [
        &b""[..],
        b"\0",
        b"\0\0\0\0\x05ab",
        b"\0\xff\xff\xff\xff",
        b"\x80\0\0\0\0",
        b"\0\0\0\0\x01\xff",
    ] {
        let (head, body) = post(&edge, GET, &[kind], bad).await;
        let status = head
            .headers
            .get("grpc-status")
            .map(|value| value.to_str().unwrap().to_owned());
        let said = status.unwrap_or_else(|| format!("{:?}", frames(&body)));
        assert!(!said.contains("grpc-status:0") && said != "0", "{bad:?}: {said}");
    }
    let (_, body) = post(&edge, INFO, &[kind], EMPTY).await;
    check(&frames(&body), "after all that");
}
