//! The way to a collector: OTLP over HTTP (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>), protobuf in the body.
//!
//! The library collects and sends from threads of its own and never holds up who traces: what does not fit its queues
//! is dropped. The HTTP client is this server's, so that there is one way to speak TLS; the threads wait for it on the
//! runtime, which is why that must outlive them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use reqwest::redirect;
use tokio::runtime::Handle;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use crate::config::TelemetryConfig;
use crate::secret::Redactor;
use crate::telemetry::masked_spans::MaskedSpans;

const SERVICE: &str = "backspace-server";
/// How long one request to the collector may take.
const SEND: Duration = Duration::from_secs(10);
/// How long the last of it may take when the server stops.
const LAST_SEND: Duration = Duration::from_secs(3);

/// What collects and sends.
#[derive(Debug)]
pub(super) struct Export {
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
}

impl Export {
    /// Starts to send where the configuration says; `None` where it names no place.
    pub(super) fn start(
        config: &TelemetryConfig,
        redactor: &Arc<Redactor>,
    ) -> Result<Option<Self>, ExporterBuildError> {
        let Some(endpoint) = &config.endpoint else {
            return Ok(None);
        };
        let client = Client::new()?;
        let place = |signal: &str| format!("{}/v1/{signal}", endpoint.trim_end_matches('/'));
        let headers: HashMap<_, _> = config
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect();
        let spans = SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone())
            .with_endpoint(place("traces"))
            .with_headers(headers.clone())
            .with_timeout(SEND)
            .build()?;
        let numbers = MetricExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(place("metrics"))
            .with_headers(headers)
            .with_timeout(SEND)
            .build()?;
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone().unwrap_or_else(|| SERVICE.into()))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let traces = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_batch_exporter(MaskedSpans::new(spans, Arc::clone(redactor)))
            .build();
        let metrics = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_periodic_exporter(numbers)
            .build();
        global::set_meter_provider(metrics.clone());
        Ok(Some(Self { traces, metrics }))
    }

    /// Returns what makes spans of this server's spans.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.traces.tracer(SERVICE))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(own())
    }

    pub(super) fn shut_down(self) {
        let traces = self.traces.shutdown_with_timeout(LAST_SEND);
        let metrics = self.metrics.shutdown_with_timeout(LAST_SEND);
        for error in [traces, metrics].into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "the last traces or metrics may not have reached the collector");
        }
    }
}

/// What is exported: this server's own at level info and above. The audit stays in the log.
fn own() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(|metadata| {
        *metadata.level() <= tracing::Level::INFO && metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    })
}

/// The server's HTTP client, for threads outside the runtime.
#[derive(Clone, Debug)]
struct Client {
    client: reqwest::Client,
    runtime: Handle,
}

impl Client {
    fn new() -> Result<Self, ExporterBuildError> {
        let client = reqwest::Client::builder()
            .timeout(SEND)
            // Headers may carry a key, which would follow to another host.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| ExporterBuildError::InternalFailure(error.to_string()))?;
        Ok(Self {
            client,
            runtime: Handle::current(),
        })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        // Polled by a thread of the library's, which has no reactor.
        self.runtime.block_on(async {
            let mut answer = self
                .client
                .execute(request)
                .await
                .map_err(reqwest::Error::without_url)?;
            let mut response = http::Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                *headers = std::mem::take(answer.headers_mut());
            }
            Ok(response.body(answer.bytes().await?)?)
        })
    }
}
