//! Where traces and metrics go.

use http::uri::{Authority, Uri};

use super::Reader;
use crate::secret::Secret;

/// Ports on which Jaeger took its own protocols, and where it takes OTLP.
const JAEGER_PORTS: [u16; 4] = [6831, 6832, 14250, 14268];
const OTLP_PORT: u16 = 4318;

/// Export of traces and metrics by OTLP over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// Base address of the collector, `/v1/traces` and `/v1/metrics` follow; nothing is exported without.
    pub endpoint: Option<String>,
    /// Headers of each request.
    pub headers: Vec<(String, Secret)>,
    /// What this server is called there.
    pub service_name: Option<String>,
    /// What people should know about these settings, one sentence each.
    pub notes: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn telemetry(&mut self) -> TelemetryConfig {
        let headers = self.headers();
        let mut config = TelemetryConfig {
            headers,
            service_name: self.text("OTEL_SERVICE_NAME"),
            ..TelemetryConfig::default()
        };
        if self.text("ENABLE_TRACING").is_some() && !self.values.switch("ENABLE_TRACING") {
            return config;
        }
        let jaeger = self.text("JAEGER_ENDPOINT");
        config.endpoint = match (self.text("OTEL_EXPORTER_OTLP_ENDPOINT"), &jaeger) {
            (Some(endpoint), _) => self.endpoint("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint, false),
            (None, Some(endpoint)) => self.endpoint("JAEGER_ENDPOINT", endpoint, true),
            (None, None) => self
                .values
                .switch("ENABLE_TRACING")
                .then(|| format!("http://127.0.0.1:{OTLP_PORT}")),
        };
        if let (Some(endpoint), Some(jaeger)) = (&config.endpoint, jaeger)
            && *endpoint != jaeger
        {
            config.notes.push(format!(
                "JAEGER_ENDPOINT={jaeger}: Jaeger takes OTLP now, so traces go to {endpoint}; \
                 set OTEL_EXPORTER_OTLP_ENDPOINT instead"
            ));
        }
        config
    }

    /// Reads the address of a collector; one of Jaeger's own protocols becomes that of OTLP on the same host.
    fn endpoint(&mut self, variable: &str, text: &str, of_jaeger: bool) -> Option<String> {
        let text = text.trim_end_matches('/');
        let with_scheme = match text.contains("://") {
            true => text.to_owned(),
            false if of_jaeger => format!("http://{text}"),
            false => String::new(),
        };
        let uri = with_scheme.parse::<Uri>().ok().filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
        });
        let Some(uri) = uri else {
            let fault = format!("{variable}={text} is not an address such as http://collector:{OTLP_PORT}");
            self.faults.push(fault);
            return None;
        };
        let port = uri.authority().and_then(Authority::port_u16);
        let is_old = port.is_none_or(|port| JAEGER_PORTS.contains(&port));
        match uri.host() {
            Some(host) if of_jaeger && is_old => Some(format!("http://{host}:{OTLP_PORT}")),
            _ => Some(with_scheme),
        }
    }

    /// Reads `name=value` pairs with commas between, as the specification of OTLP exporters has it.
    fn headers(&mut self) -> Vec<(String, Secret)> {
        let text = self.text("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
        let mut headers = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let name_and_value = pair.split_once('=').filter(|(name, value)| {
                http::HeaderName::try_from(name.trim()).is_ok() && http::HeaderValue::try_from(value.trim()).is_ok()
            });
            match name_and_value {
                Some((name, value)) => headers.push((name.trim().to_ascii_lowercase(), Secret::new(value.trim()))),
                // Not repeated: it may be a key.
                None => self
                    .faults
                    .push("OTEL_EXPORTER_OTLP_HEADERS has a part that is not name=value".into()),
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::settings::{self, Values};
    use crate::config::{Config, ConfigFaults};

    fn telemetry(pairs: &[(&str, &str)]) -> Result<TelemetryConfig, ConfigFaults> {
        let environment: BTreeMap<_, _> = pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let flags = settings::command().get_matches_from(["backspace-server"]);
        let values = Values::gather(&flags, &environment, &BTreeMap::new());
        Ok(Config::new(&values, Some("/home/x/.local/share".into()))?.telemetry)
    }

    fn endpoint(pairs: &[(&str, &str)]) -> Option<String> {
        telemetry(pairs).unwrap().endpoint
    }

    #[test]
    fn nothing_is_exported_unless_it_is_said_where() {
        assert_eq!(endpoint(&[]), None);
        let otlp = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example/otlp/");
        assert_eq!(endpoint(&[otlp]).unwrap(), "https://collector.example/otlp");
        assert_eq!(
            endpoint(&[("ENABLE_TRACING", "true")]).unwrap(),
            "http://127.0.0.1:4318"
        );
        assert_eq!(endpoint(&[otlp, ("ENABLE_TRACING", "false")]), None);
        assert_eq!(
            endpoint(&[otlp, ("JAEGER_ENDPOINT", "other:14268")]).unwrap(),
            "https://collector.example/otlp"
        );
    }

    #[test]
    fn the_endpoint_of_jaegers_own_protocols_becomes_that_of_otlp() {
        for old in [
            "jaeger:14268",
            "http://jaeger:14268/api/traces",
            "jaeger:6831",
            "jaeger",
        ] {
            let config = telemetry(&[("JAEGER_ENDPOINT", old)]).unwrap();
            assert_eq!(config.endpoint.as_deref(), Some("http://jaeger:4318"), "{old}");
            assert_eq!(config.notes.len(), 1);
            assert!(config.notes[0].contains(old), "{:?}", config.notes);
        }
        let other = telemetry(&[("JAEGER_ENDPOINT", "http://jaeger:4318")]).unwrap();
        assert_eq!(
            (other.endpoint.as_deref(), other.notes.len()),
            (Some("http://jaeger:4318"), 0)
        );
    }

    #[test]
    fn headers_are_pairs_and_a_bad_one_is_not_shown() {
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "X-Api-Key=k=1, b = c");
        let pairs = [
            ("x-api-key".to_owned(), Secret::new("k=1")),
            ("b".to_owned(), Secret::new("c")),
        ];
        assert_eq!(telemetry(&[headers]).unwrap().headers, pairs);
        let fault = telemetry(&[("OTEL_EXPORTER_OTLP_HEADERS", "sesame")]).unwrap_err();
        assert_eq!(
            fault.0,
            ["OTEL_EXPORTER_OTLP_HEADERS has a part that is not name=value"]
        );
        let fault = telemetry(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")]).unwrap_err();
        assert_eq!(
            fault.0,
            ["OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318 is not an address such as http://collector:4318"]
        );
    }
}
