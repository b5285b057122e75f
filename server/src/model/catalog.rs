//! The models of one server, by name: `provider/model`, or a provider alone for its default.
//!
//! It is the only place that makes providers. A provider without a key and without an address of its
//! own is not there: a Task that names it is refused at once, with what to set.

mod config;
mod entry;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::ModelProvider;
use crate::model::http::Transport;
use crate::model::pricing::{KnownModels, Price};
use crate::model::retry::{RetryBudget, RetryPolicy};
use crate::model::scripted::Scripted;
pub use config::{ModelsConfig, Protocol, ProviderConfig};
use entry::Entry;

/// Window assumed of a model that nothing is known of.
const UNKNOWN_WINDOW_TOKENS: u64 = 128_000;

/// A model that can be asked.
#[derive(Clone)]
pub struct ResolvedModel {
    /// Who speaks its protocol.
    pub provider: Arc<dyn ModelProvider>,
    /// The provider's own name of it.
    pub model: String,
    /// `{provider}/{model}`.
    pub name: String,
    /// Tokens that a prompt may have.
    pub window_tokens: u64,
    /// What it costs; `None` when nobody said.
    pub price: Option<Price>,
    /// Whether it was trained on V4A patches.
    pub applies_patch: bool,
}

impl fmt::Debug for ResolvedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedModel")
            .field("name", &self.name)
            .field("window_tokens", &self.window_tokens)
            .field("price", &self.price)
            .field("applies_patch", &self.applies_patch)
            .finish_non_exhaustive()
    }
}

/// A name that no model has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No model was named and there is none to take.
    #[error("no model is configured; set ANTHROPIC_API_KEY or OPENAI_API_KEY, or add a provider")]
    NoModel,
    /// There is no such provider.
    #[error("there is no model provider `{provider}`; there are: {known}")]
    UnknownProvider {
        /// What was named.
        provider: String,
        /// The providers there are.
        known: String,
    },
    /// The provider is built in but has no key.
    #[error("the provider `{provider}` has no key; set {variable}")]
    NoKey {
        /// The provider.
        provider: String,
        /// The variable that holds the key.
        variable: &'static str,
    },
    /// The provider was named alone and has no default.
    #[error("the provider `{provider}` has no default model; name one as `{provider}/model`")]
    NoDefaultModel {
        /// The provider.
        provider: String,
    },
    /// The recording of this name can't be replayed.
    #[error("`{name}` can't be replayed: {message}")]
    BadRecording {
        /// What was named.
        name: String,
        /// Why.
        message: String,
    },
    /// The provider has no such model.
    #[error("there is no model `{name}`")]
    UnknownModel {
        /// What was named.
        name: String,
    },
}

/// The models of one server. Clones share everything.
#[derive(Clone)]
pub struct Models(Arc<Inner>);

struct Inner {
    entries: BTreeMap<String, Entry>,
    default: Option<String>,
    known: KnownModels,
    retry_policy: RetryPolicy,
    retry_budget: RetryBudget,
}

impl Models {
    /// Makes the providers; returns every fault of the configuration.
    pub fn new(config: ModelsConfig) -> Result<Self, Vec<String>> {
        let mut faults = config.validate();
        let known = KnownModels::load(config.table.as_deref()).unwrap_or_else(|more| {
            faults.extend(more);
            KnownModels::default()
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut entries = BTreeMap::new();
        let mut transport = None;
        for (name, provider_config) in config.reachable() {
            let transport = match &transport {
                Some(transport) => transport,
                None => transport.insert(
                    Transport::new(Duration::from_secs(config.connect_seconds)).map_err(|error| vec![chain(&error)])?,
                ),
            };
            match Entry::over_http(name, provider_config, &known, transport) {
                Ok(entry) => {
                    entries.insert(name.to_owned(), entry);
                }
                Err(fault) => faults.push(format!("model provider `{name}`: {fault}")),
            }
        }
        if let Some(path) = &config.scripted {
            entries.insert("scripted".to_owned(), Entry::scripted(Scripted::new(path)));
        }
        if let Some(folder) = &config.replay {
            entries.insert("replay".to_owned(), Entry::replay(folder));
        }
        let models = Self(Arc::new(Inner {
            entries,
            default: config.default.clone(),
            known,
            retry_policy: config.retry,
            retry_budget: RetryBudget::default(),
        }));
        if let Some(Err(error)) = config.default.as_deref().map(|name| models.resolve(Some(name))) {
            faults.push(format!("default model: {error}"));
        }
        if faults.is_empty() { Ok(models) } else { Err(faults) }
    }

    /// Returns the model of a name: `provider/model`, `provider`, or the server's default when `None`.
    pub fn resolve(&self, name: Option<&str>) -> Result<ResolvedModel, ResolveError> {
        let default;
        let name = match name.filter(|name| !name.is_empty()) {
            Some(name) => name,
            None => {
                default = self.default_name().ok_or(ResolveError::NoModel)?;
                &default
            }
        };
        let (provider, model) = match name.split_once('/') {
            Some((provider, model)) => (provider, Some(model)),
            None => (name, None),
        };
        let entry = self
            .0
            .entries
            .get(provider)
            .ok_or_else(|| self.unknown_provider(provider))?;
        let model = match model {
            Some(model) => model.to_owned(),
            None => entry.default_model().ok_or_else(|| ResolveError::NoDefaultModel {
                provider: provider.to_owned(),
            })?,
        };
        let name = format!("{provider}/{model}");
        if !entry.has(&model) {
            return Err(ResolveError::UnknownModel { name });
        }
        let known = self.0.known.find(&name);
        let provider = entry.provider(&model).map_err(|source| ResolveError::BadRecording {
            name: name.clone(),
            message: chain(&source),
        })?;
        Ok(ResolvedModel {
            provider,
            window_tokens: entry
                .config
                .window_tokens
                .or(known.and_then(|known| known.window_tokens))
                .unwrap_or(UNKNOWN_WINDOW_TOKENS),
            price: entry.price(known),
            applies_patch: entry
                .config
                .applies_patch
                .unwrap_or(known.is_some_and(|known| known.applies_patch)),
            model,
            name,
        })
    }

    /// Returns a model that stands in for a recorded one: it has the window and the tools of that, because
    /// with others the same answers would lead elsewhere. It costs nothing.
    pub fn stand_in(&self, name: &str, recorded: &str, provider: Arc<dyn ModelProvider>) -> ResolvedModel {
        let (window_tokens, applies_patch) = match self.resolve(Some(recorded)) {
            Ok(model) => (model.window_tokens, model.applies_patch),
            Err(_) => {
                let known = self.0.known.find(recorded);
                let window_tokens = known.and_then(|known| known.window_tokens);
                (
                    window_tokens.unwrap_or(UNKNOWN_WINDOW_TOKENS),
                    known.is_some_and(|known| known.applies_patch),
                )
            }
        };
        ResolvedModel {
            provider,
            model: name.split_once('/').map_or(name, |(_, model)| model).to_owned(),
            name: name.to_owned(),
            window_tokens,
            price: Some(Price::default()),
            applies_patch,
        }
    }

    /// Returns the names of all models that are listed, in order. Providers over a network take others too.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (provider, entry) in &self.0.entries {
            let all = entry.default_model().into_iter().chain(entry.models());
            names.extend(all.map(|model| format!("{provider}/{model}")));
        }
        names.sort();
        names.dedup();
        names
    }

    /// Returns the names of the providers that can be used, in order.
    pub fn providers(&self) -> Vec<String> {
        self.0.entries.keys().cloned().collect()
    }

    /// Returns the name of the model that is taken when a Task names none.
    pub fn default_name(&self) -> Option<String> {
        let whole = |provider: &str| {
            let model = self.0.entries.get(provider)?.default_model()?;
            Some(format!("{provider}/{model}"))
        };
        match self.0.default.as_deref() {
            Some(name) if name.contains('/') => Some(name.to_owned()),
            Some(provider) => whole(provider),
            None => {
                let preferred = ["anthropic", "openai"].into_iter();
                let others = self
                    .0
                    .entries
                    .keys()
                    .map(String::as_str)
                    .filter(|name| !matches!(*name, "scripted" | "replay"));
                preferred.chain(others).chain(["scripted"]).find_map(whole)
            }
        }
    }

    /// Returns how often and how long requests are tried.
    pub fn retry_policy(&self) -> &RetryPolicy {
        &self.0.retry_policy
    }

    /// Returns the budget of retries that all Tasks share.
    pub fn retry_budget(&self) -> &RetryBudget {
        &self.0.retry_budget
    }

    fn unknown_provider(&self, provider: &str) -> ResolveError {
        match config::key_variable(provider) {
            Some(variable) => ResolveError::NoKey {
                provider: provider.to_owned(),
                variable,
            },
            None => ResolveError::UnknownProvider {
                provider: provider.to_owned(),
                known: self.providers().join(", "),
            },
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
