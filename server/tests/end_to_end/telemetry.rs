//! What reaches a collector: the spans and counts of a Task, by OTLP, and nothing of what was said.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use backspace_server::jobs::Jobs;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::event_log::Follower;
use crate::script::good;
use crate::site::{Site, spec};

/// Path, key and body of what was sent.
type Sent = Arc<Mutex<Vec<(String, Option<String>, Bytes)>>>;

async fn take(State(sent): State<Sent>, uri: Uri, headers: HeaderMap, body: Bytes) {
    let key = headers.get("x-key").map(|value| value.to_str().unwrap().to_owned());
    sent.lock().unwrap().push((uri.path().to_owned(), key, body));
}

async fn collector(jobs: &Jobs) -> (String, Sent) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let sent = Sent::default();
    let router = Router::new().fallback(take).with_state(Arc::clone(&sent));
    jobs.spawn("collector", async move { axum::serve(listener, router).await.unwrap() });
    (address, sent)
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), text(attribute)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spans_and_counts_of_a_task_reach_the_collector_and_no_words() {
    let jobs = Jobs::new();
    let (address, sent) = collector(&jobs).await;
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    let launch = site
        .serve()
        .flag("--otlp-endpoint", &address)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=sesame-open-7");
    let server = launch.start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.success().await;
    let task = follower.task().trim_start_matches("tasks/").to_owned();
    server.terminate().await;

    let sent = sent.lock().unwrap();
    assert!(sent.iter().all(|(_, key, _)| key.as_deref() == Some("sesame-open-7")));
    let mut spans: Vec<Span> = Vec::new();
    let mut counts = BTreeMap::new();
    for (path, _, body) in sent.iter() {
        if path == "/v1/traces" {
            for resource in ExportTraceServiceRequest::decode(body.clone()).unwrap().resource_spans {
                let of = texts(&resource.resource.unwrap().attributes);
                assert_eq!(of["service.name"], "backspace-server");
                spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
            continue;
        }
        assert_eq!(path, "/v1/metrics");
        let request = ExportMetricsServiceRequest::decode(body.clone()).unwrap();
        let scopes = request
            .resource_metrics
            .into_iter()
            .flat_map(|resource| resource.scope_metrics);
        for metric in scopes.flat_map(|scope| scope.metrics) {
            let Some(Data::Sum(sum)) = metric.data else { continue };
            for point in sum.data_points {
                let Some(Number::AsInt(number)) = point.value else {
                    continue;
                };
                counts.insert((metric.name.clone(), texts(&point.attributes)), number);
            }
        }
    }

    let run = spans.iter().find(|span| span.name == "run").unwrap();
    assert_eq!(texts(&run.attributes)["task.id"], task);
    let parent_of = |span: &Span| {
        let parent = spans.iter().find(|other| other.span_id == span.parent_span_id);
        parent.map(|parent| parent.name.clone())
    };
    let mut tree: Vec<_> = spans
        .iter()
        .filter(|span| span.trace_id == run.trace_id)
        .map(|span| (span.name.clone(), parent_of(span)))
        .collect();
    tree.sort();
    let below = |name: &str, parent: &str| (name.to_owned(), Some(parent.to_owned()));
    let expected = [
        below("chat fix", "turn"),
        below("chat fix", "turn"),
        ("run".to_owned(), None),
        below("tool", "turn"),
        below("tool", "turn"),
        below("turn", "run"),
        below("turn", "run"),
    ];
    assert_eq!(tree, expected);
    let chat = spans.iter().find(|span| span.name == "chat fix").unwrap();
    let chat = texts(&chat.attributes);
    assert_eq!(chat["gen_ai.request.model"], "fix");
    assert!(chat["gen_ai.usage.input_tokens"].parse::<u64>().is_ok(), "{chat:?}");

    let succeeded = BTreeMap::from([("backspace.task.state".to_owned(), "succeeded".to_owned())]);
    assert_eq!(counts[&("backspace.tasks.ended".to_owned(), succeeded)], 1);
    assert_eq!(counts[&("backspace.runs".to_owned(), BTreeMap::new())], 0);

    let instruction = spec(&repository, "fix").instruction;
    let all = sent
        .iter()
        .map(|(.., body)| String::from_utf8_lossy(body))
        .collect::<String>();
    assert!(all.contains(&task) && !all.contains(&instruction) && !all.contains("sesame-open-7"));
}
