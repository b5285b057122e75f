//! Masks the texts of spans on their way to the exporter.
//!
//! Spans hold names and numbers of this server's own, never what a model or a repository wrote; the mask is the second
//! line, for an error's text that has a secret in it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::Status;
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use crate::secret::Redactor;

/// An exporter behind the mask.
#[derive(Debug)]
pub(super) struct MaskedSpans<E> {
    exporter: E,
    redactor: Arc<Redactor>,
}

impl<E> MaskedSpans<E> {
    pub(super) fn new(exporter: E, redactor: Arc<Redactor>) -> Self {
        Self { exporter, redactor }
    }

    fn mask(&self, span: &mut SpanData) {
        self.mask_name(&mut span.name);
        self.mask_all(&mut span.attributes);
        for event in &mut span.events.events {
            self.mask_name(&mut event.name);
            self.mask_all(&mut event.attributes);
        }
        if let Status::Error { description } = &mut span.status {
            self.mask_name(description);
        }
    }

    fn mask_all(&self, attributes: &mut [KeyValue]) {
        for attribute in attributes {
            match &mut attribute.value {
                Value::String(text) => *text = self.redactor.mask(text.as_str()).into_owned().into(),
                Value::Array(Array::String(texts)) => {
                    for text in texts {
                        *text = self.redactor.mask(text.as_str()).into_owned().into();
                    }
                }
                _ => {}
            }
        }
    }

    fn mask_name(&self, name: &mut Cow<'static, str>) {
        if let Cow::Owned(masked) = self.redactor.mask(name) {
            *name = masked.into();
        }
    }
}

impl<E: SpanExporter> SpanExporter for MaskedSpans<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().for_each(|span| self.mask(span));
        self.exporter.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
