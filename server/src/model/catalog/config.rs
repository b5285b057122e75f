//! What can be set of models and providers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::model::address::{Address, KeyHeader};
use crate::model::anthropic::PromptCache;
use crate::model::http::Clocks;
use crate::model::openai_chat::{MaxTokensField, ReasoningReturn, SystemRole, UsageRequest};
use crate::model::retry::RetryPolicy;
use crate::secret::Secret;

/// The providers that are there by themselves: name, protocol, address, default model, and variables of key and address.
const BUILT_IN: [BuiltIn; 2] = [
    BuiltIn {
        name: "anthropic",
        protocol: Protocol::Anthropic,
        base_url: "https://api.anthropic.com",
        default_model: "claude-sonnet-5-5",
        key_variable: "ANTHROPIC_API_KEY",
        url_variable: "ANTHROPIC_BASE_URL",
    },
    BuiltIn {
        name: "openai",
        protocol: Protocol::Responses,
        base_url: "https://api.openai.com/v1",
        default_model: "gpt-6.1-sol",
        key_variable: "OPENAI_API_KEY",
        url_variable: "OPENAI_BASE_URL",
    },
];

struct BuiltIn {
    name: &'static str,
    protocol: Protocol,
    base_url: &'static str,
    default_model: &'static str,
    key_variable: &'static str,
    url_variable: &'static str,
}

fn built_in(name: &str) -> Option<&'static BuiltIn> {
    BUILT_IN.iter().find(|built_in| built_in.name == name)
}

/// Returns the variable that holds the key of a built-in provider.
pub(super) fn key_variable(provider: &str) -> Option<&'static str> {
    built_in(provider).map(|built_in| built_in.key_variable)
}

/// A wire protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Anthropic's Messages API.
    Anthropic,
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
}

/// The models of a server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsConfig {
    /// `provider/model` or `provider`, for Tasks that name none; the first provider with a key when unset.
    pub default: Option<String>,
    /// Providers by name. `anthropic` and `openai` are there by themselves once they have a key or an address.
    pub provider: BTreeMap<String, ProviderConfig>,
    /// A folder of scripts, or one script, for the provider `scripted`; no such provider when unset.
    pub scripted: Option<PathBuf>,
    /// A folder of recordings for the provider `replay`; no such provider when unset.
    pub replay: Option<PathBuf>,
    /// A table of models in the form of the shipped one, whose lines come before it.
    pub table: Option<PathBuf>,
    /// How often and how long requests are tried.
    pub retry: RetryPolicy,
    /// How long a connection may take, in seconds: 10.
    pub connect_seconds: u64,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self {
            default: None,
            provider: BTreeMap::new(),
            scripted: None,
            replay: None,
            table: None,
            retry: RetryPolicy::default(),
            connect_seconds: 10,
        }
    }
}

/// A provider.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderConfig {
    /// Its protocol; required unless the provider is built in.
    pub protocol: Option<Protocol>,
    /// Its address, to which the protocol's paths are added; `{model}` stands for the model. Required unless built in.
    pub base_url: Option<String>,
    /// Its key, once read. Never read from a configuration file.
    #[serde(skip)]
    pub api_key: Option<Secret>,
    /// The variable that holds its key.
    pub api_key_env: Option<String>,
    /// The file that holds its key.
    pub api_key_file: Option<PathBuf>,
    /// How the key is shown: `bearer`, `x-api-key` or `api-key`; the protocol's way when unset.
    pub key_header: Option<KeyHeader>,
    /// Headers added to every request.
    #[serde(deserialize_with = "secrets")]
    pub headers: BTreeMap<String, Secret>,
    /// Azure's `?api-version=`.
    pub api_version: Option<String>,
    /// The model taken when the provider is named alone; the first of `models` when unset.
    pub default_model: Option<String>,
    /// Models that are listed; others can be named too.
    pub models: Vec<String>,
    /// Tokens that a prompt may have; from the table when unset, else 128,000.
    pub window_tokens: Option<u64>,
    /// Most tokens of an answer; from the table when unset.
    pub max_output_tokens: Option<u32>,
    /// Whether the models were trained on V4A patches; from the table when unset.
    pub applies_patch: Option<bool>,
    /// Whether and how long prompts are cached, where the protocol has markers for it (`anthropic`).
    pub prompt_cache: PromptCache,
    /// Which field bears the output limit (`chat`).
    pub max_tokens_field: MaxTokensField,
    /// Whose message the system prompt is (`chat`).
    pub system_role: SystemRole,
    /// Whether figures are asked for (`chat`).
    pub usage: UsageRequest,
    /// Which reasoning goes back (`chat`, `responses`).
    pub reasoning_return: ReasoningReturn,
    /// Whether encrypted reasoning is asked for; by the model's name when unset (`responses`).
    pub encrypted_reasoning: Option<bool>,
    /// Fields added to every request.
    pub extra_body: Map<String, Value>,
    /// How long the parts of an exchange may take.
    pub clocks: Clocks,
}

fn secrets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
    Ok(texts
        .into_iter()
        .map(|(name, text)| (name, Secret::new(text)))
        .collect())
}

/// Fields of a request that are ours to write.
const OWN_FIELDS: [&str; 9] = [
    "model",
    "messages",
    "input",
    "instructions",
    "system",
    "tools",
    "stream",
    "store",
    "stream_options",
];

impl ModelsConfig {
    /// Fills in keys and addresses from the environment and from files; returns every fault.
    ///
    /// `lookup` is the environment. An empty variable counts as unset.
    pub fn read_keys(&mut self, lookup: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
        let variable = |name: &str| {
            lookup(name)
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        for built_in in &BUILT_IN {
            let (key, url) = (variable(built_in.key_variable), variable(built_in.url_variable));
            if key.is_some() || url.is_some() || self.provider.contains_key(built_in.name) {
                let config = self.provider.entry(built_in.name.to_owned()).or_default();
                config.base_url = config.base_url.take().or(url);
                if config.api_key_env.is_none() && config.api_key_file.is_none() && config.api_key.is_none() {
                    config.api_key = key.map(Secret::new);
                }
            }
        }
        let mut faults = Vec::new();
        for (name, config) in &mut self.provider {
            if let Some(file) = &config.api_key_file {
                match std::fs::read_to_string(file) {
                    Ok(text) if !text.trim().is_empty() => config.api_key = Some(Secret::new(text.trim())),
                    Ok(_) => faults.push(format!(
                        "model provider `{name}`: the key file {} is empty",
                        file.display()
                    )),
                    Err(error) => faults.push(format!(
                        "model provider `{name}`: the key file {} can't be read: {error}",
                        file.display()
                    )),
                }
            } else if let Some(key) = config.api_key_env.as_deref().and_then(variable) {
                config.api_key = Some(Secret::new(key));
            } else if let Some(variable) = &config.api_key_env {
                faults.push(format!(
                    "model provider `{name}`: the variable {variable} of its key is not set"
                ));
            }
        }
        faults
    }

    /// Returns what must not be shown: keys, and headers whose name says that they hold one.
    pub fn secrets(&self) -> Vec<Secret> {
        let is_credential = |name: &str| {
            let name = name.to_ascii_lowercase();
            ["auth", "key", "token", "secret", "cookie", "password"]
                .iter()
                .any(|word| name.contains(word))
        };
        let of_provider = |config: &ProviderConfig| {
            let headers = config.headers.iter().filter(|(name, _)| is_credential(name));
            // `Bearer …`: the scheme is no secret, what follows may show up alone.
            let values = headers.map(|(_, value)| match value.expose().split_once(' ') {
                Some((_, credential)) => Secret::new(credential),
                None => value.clone(),
            });
            config.api_key.iter().cloned().chain(values).collect::<Vec<_>>()
        };
        self.provider.values().flat_map(of_provider).collect()
    }

    /// Returns the providers that have what a request needs, by name.
    pub(super) fn reachable(&self) -> impl Iterator<Item = (&str, &ProviderConfig)> {
        let providers = self.provider.iter().map(|(name, config)| (name.as_str(), config));
        providers.filter(|(_, config)| config.api_key.is_some() || config.base_url.is_some())
    }

    /// Returns every fault that can be seen without a network.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, config) in &self.provider {
            let found = config.faults(name);
            faults.extend(
                found
                    .into_iter()
                    .map(|fault| format!("model provider `{name}`: {fault}")),
            );
        }
        if self.connect_seconds == 0 {
            faults.push("models: `connect_seconds` must be 1 or more".into());
        }
        if self.retry.max_tries == 0 {
            faults.push("models: `retry.max_tries` must be 1 or more".into());
        }
        if let Some(path) = self.scripted.as_ref().filter(|path| !path.exists()) {
            faults.push(format!("models: there is no script or folder {}", path.display()));
        }
        if let Some(folder) = self.replay.as_ref().filter(|folder| !folder.is_dir()) {
            faults.push(format!("models: there is no folder of recordings {}", folder.display()));
        }
        faults
    }
}

impl ProviderConfig {
    fn faults(&self, name: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(is_word) {
            faults.push("a name is made of letters, digits, `-`, `_` and `.`".to_owned());
        }
        if matches!(name, "scripted" | "replay") {
            faults.push("the name is taken; set `scripted` or `replay` instead".into());
        }
        if self.api_key_env.is_some() && self.api_key_file.is_some() {
            faults.push("set `api_key_env` or `api_key_file`, not both".into());
        }
        if built_in(name).is_none() && self.base_url.is_none() {
            faults.push("`base_url` is missing".into());
        } else if let Err(fault) = self.address(name) {
            faults.push(fault);
        }
        faults.extend(self.protocol(name).err());
        for field in self
            .extra_body
            .keys()
            .filter(|field| OWN_FIELDS.contains(&field.as_str()))
        {
            faults.push(format!("`extra_body` must not hold `{field}`"));
        }
        if self.window_tokens == Some(0) || self.max_output_tokens == Some(0) {
            faults.push("`window_tokens` and `max_output_tokens` must be 1 or more".into());
        }
        let clocks = [
            self.clocks.headers,
            self.clocks.first_data,
            self.clocks.any_byte,
            self.clocks.data,
        ];
        if clocks.iter().any(std::time::Duration::is_zero) {
            faults.push("`clocks` must be more than 0 s".into());
        }
        faults
    }

    /// Returns the protocol.
    pub(super) fn protocol(&self, name: &str) -> Result<Protocol, String> {
        let own = built_in(name).map(|built_in| built_in.protocol);
        self.protocol.or(own).ok_or_else(|| "`protocol` is missing".to_owned())
    }

    /// Returns the model that is taken when none is named.
    pub(super) fn default_model(&self, name: &str) -> Option<String> {
        let own = built_in(name).filter(|_| self.models.is_empty());
        self.default_model
            .clone()
            .or_else(|| own.map(|built_in| built_in.default_model.to_owned()))
    }

    /// Returns the address with all that its requests bear.
    pub(super) fn address(&self, name: &str) -> Result<Address, String> {
        let own = built_in(name).map(|built_in| built_in.base_url);
        let base_url = self.base_url.as_deref().or(own).unwrap_or_default();
        let mut address = Address::new(base_url, self.clocks)?;
        if let Some(key) = &self.api_key {
            let usual = match self.protocol(name)? {
                Protocol::Anthropic => KeyHeader::XApiKey,
                Protocol::Chat | Protocol::Responses => KeyHeader::Bearer,
            };
            address = address.with_key(self.key_header.unwrap_or(usual), key)?;
        }
        if let Some(version) = &self.api_version {
            address = address.with_api_version(version)?;
        }
        address.with_headers(&self.headers)
    }
}
