//! Where a provider is reached and as whom.

use std::collections::BTreeMap;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::model::http::Clocks;
use crate::secret::Secret;

/// How a key is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyHeader {
    /// `Authorization: Bearer …`, as OpenAI and most gateways want it.
    Bearer,
    /// `x-api-key: …`, as Anthropic wants it.
    XApiKey,
    /// `api-key: …`, as Azure wants it.
    ApiKey,
}

/// The address of a provider, with what every request to it bears.
#[derive(Clone, Debug)]
pub struct Address {
    base_url: String,
    query: String,
    /// Headers of every request; the key among them is marked sensitive, so that it never prints.
    pub(crate) headers: HeaderMap,
    /// How long the parts of an exchange may take.
    pub(crate) clocks: Clocks,
}

impl Address {
    /// Makes an address; returns a sentence when a part of it can't be sent.
    pub fn new(base_url: &str, clocks: Clocks) -> Result<Self, String> {
        let url = reqwest::Url::parse(base_url).map_err(|error| format!("`{base_url}` is not an address: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(format!(
                "`{base_url}` must begin with http:// or https:// and name a host"
            ));
        }
        if url.password().is_some() || !url.username().is_empty() {
            return Err("an address must not hold a user or a password; give the key by its own setting".into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("`{base_url}` must not hold `?` or `#`"));
        }
        Ok(Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            query: String::new(),
            headers: HeaderMap::new(),
            clocks,
        })
    }

    /// Shows a key with every request.
    pub fn with_key(mut self, header: KeyHeader, key: &Secret) -> Result<Self, String> {
        let (name, text) = match header {
            KeyHeader::Bearer => (AUTHORIZATION, format!("Bearer {}", key.expose())),
            KeyHeader::XApiKey => (HeaderName::from_static("x-api-key"), key.expose().to_owned()),
            KeyHeader::ApiKey => (HeaderName::from_static("api-key"), key.expose().to_owned()),
        };
        self.insert(name, &text)
            .map_err(|()| "the key holds characters that no header may".to_owned())?;
        Ok(self)
    }

    /// Adds headers to every request; their values never print, because a gateway's may be keys.
    pub fn with_headers(mut self, headers: &BTreeMap<String, Secret>) -> Result<Self, String> {
        for (name, value) in headers {
            let header =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header name"))?;
            self.insert(header, value.expose())
                .map_err(|()| format!("the value of header `{name}` holds characters that no header may"))?;
        }
        Ok(self)
    }

    /// Adds `?api-version=` to every request, as Azure wants it.
    pub fn with_api_version(mut self, version: &str) -> Result<Self, String> {
        if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(format!(
                "`{version}` is not an api version; it looks like 2025-04-01-preview"
            ));
        }
        self.query = format!("?api-version={version}");
        Ok(self)
    }

    fn insert(&mut self, name: HeaderName, text: &str) -> Result<(), ()> {
        let mut value = HeaderValue::from_str(text).map_err(|_| ())?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }

    /// Returns the address of an endpoint; `{model}` in the base stands for the model (Azure's deployment path).
    pub(crate) fn endpoint(&self, path: &str, model: &str) -> String {
        let base = self.base_url.replace("{model}", &path_segment(model));
        let path = if base.ends_with("/v1") {
            path.strip_prefix("/v1").unwrap_or(path)
        } else {
            path
        };
        format!("{base}{path}{}", self.query)
    }
}

/// Escapes a model name, which a user may have chosen, so that it stays one segment of a path.
fn path_segment(model: &str) -> String {
    let mut segment = String::with_capacity(model.len());
    for byte in model.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(base_url: &str) -> Address {
        Address::new(base_url, Clocks::default()).unwrap()
    }

    #[test]
    fn endpoints_are_made_of_base_path_and_query() {
        for (base, path, expected) in [
            (
                "https://api.anthropic.com",
                "/v1/messages",
                "https://api.anthropic.com/v1/messages",
            ),
            (
                "http://127.0.0.1:9/v1/",
                "/v1/messages",
                "http://127.0.0.1:9/v1/messages",
            ),
            (
                "https://api.openai.com/v1",
                "/chat/completions",
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                "https://x.openai.azure.com/openai/deployments/{model}",
                "/chat/completions",
                "https://x.openai.azure.com/openai/deployments/gpt/chat/completions",
            ),
        ] {
            assert_eq!(address(base).endpoint(path, "gpt"), expected);
        }
        let hostile = address("https://x/d/{model}").endpoint("/p", "../a?b");
        assert_eq!(hostile, "https://x/d/..%2Fa%3Fb/p");
        let azure = address("https://x/openai")
            .with_api_version("2025-04-01-preview")
            .unwrap();
        assert_eq!(
            azure.endpoint("/responses", "m"),
            "https://x/openai/responses?api-version=2025-04-01-preview"
        );
    }

    #[test]
    fn a_key_is_sent_but_never_printed() {
        let key = Secret::new("sk-hidden");
        for (header, name, value) in [
            (KeyHeader::Bearer, "authorization", "Bearer sk-hidden"),
            (KeyHeader::XApiKey, "x-api-key", "sk-hidden"),
            (KeyHeader::ApiKey, "api-key", "sk-hidden"),
        ] {
            let address = address("https://x").with_key(header, &key).unwrap();
            assert_eq!(address.headers.get(name).unwrap(), value);
            assert!(!format!("{address:?}").contains("hidden"));
        }
        let headers = BTreeMap::from([("x-gateway".to_owned(), Secret::new("hidden"))]);
        let address = address("https://x").with_headers(&headers).unwrap();
        assert!(!format!("{address:?} {headers:?}").contains("hidden"));
    }

    #[test]
    fn what_can_not_be_sent_is_refused() {
        for base in [
            "",
            "api.openai.com",
            "ftp://x",
            "https://user:pass@x",
            "https://x/?a=b",
            "https://x/#f",
        ] {
            assert!(Address::new(base, Clocks::default()).is_err(), "{base}");
        }
        assert!(
            address("https://x")
                .with_key(KeyHeader::Bearer, &Secret::new("a\nb"))
                .is_err()
        );
        assert!(address("https://x").with_api_version("a&b").is_err());
        let headers = BTreeMap::from([("bad name".to_owned(), Secret::new("v"))]);
        assert!(address("https://x").with_headers(&headers).is_err());
    }
}
