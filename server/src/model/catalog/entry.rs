//! A provider of the catalog, with what is known of its models.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::ModelProvider;
use crate::model::anthropic::{Anthropic, AnthropicOptions, PromptCache};
use crate::model::catalog::config::{Protocol, ProviderConfig};
use crate::model::http::Transport;
use crate::model::openai_chat::{ChatOptions, OpenAiChat};
use crate::model::openai_responses::{OpenAiResponses, ResponsesOptions};
use crate::model::pricing::{KnownModel, KnownModels, Price};
use crate::model::replay::{OnDivergence, ReplayError, ReplayProvider};
use crate::model::scripted::{Scripted, is_script_name};

/// Output limit assumed where the protocol wants one and nothing is known.
const UNKNOWN_MAX_OUTPUT_TOKENS: u32 = 8_192;
/// Longest name of a model.
const MAX_NAME_BYTES: usize = 256;

/// A provider.
pub(super) struct Entry {
    source: Source,
    default_model: Option<String>,
    pub(super) config: ProviderConfig,
}

/// Where answers come from.
enum Source {
    /// A network: these models, and any other that is named.
    Network(Arc<dyn ModelProvider>, Vec<String>),
    /// The scripts in a folder, which may change.
    Scripts(Arc<Scripted>),
    /// The recordings in a folder, `<name>.jsonl`. Each use has a provider of its own, because a
    /// recording is played from its beginning.
    Recordings(PathBuf),
}

impl Entry {
    /// Makes a provider that is reached over a network; a fault is a sentence.
    pub(super) fn over_http(
        name: &str,
        config: &ProviderConfig,
        known: &KnownModels,
        transport: &Transport,
    ) -> Result<Self, String> {
        let address = config.address(name)?;
        let transport = transport.clone();
        let extra_body = config.extra_body.clone();
        let provider: Arc<dyn ModelProvider> = match config.protocol(name)? {
            Protocol::Anthropic => {
                let options = AnthropicOptions {
                    max_output_tokens: config.max_output_tokens,
                    unknown_max_output_tokens: UNKNOWN_MAX_OUTPUT_TOKENS,
                    known: known.clone(),
                    prompt_cache: config.prompt_cache,
                    extra_body,
                };
                Arc::new(Anthropic::new(name, address, options, transport))
            }
            Protocol::Chat => {
                let options = ChatOptions {
                    max_output_tokens: config.max_output_tokens,
                    max_tokens_field: config.max_tokens_field,
                    system_role: config.system_role,
                    reasoning_return: config.reasoning_return,
                    usage: config.usage,
                    extra_body,
                };
                Arc::new(OpenAiChat::new(name, address, options, transport))
            }
            Protocol::Responses => {
                let options = ResponsesOptions {
                    max_output_tokens: config.max_output_tokens,
                    encrypted_reasoning: config.encrypted_reasoning,
                    reasoning_return: config.reasoning_return,
                    extra_body,
                };
                Arc::new(OpenAiResponses::new(name, address, options, transport))
            }
        };
        let of_table = known.names_of(name).filter_map(|name| name.split_once('/'));
        let of_table = of_table.map(|(_, model)| model.to_owned());
        let models: Vec<String> = config.models.iter().cloned().chain(of_table).collect();
        Ok(Self {
            default_model: config.default_model(name).or_else(|| models.first().cloned()),
            source: Source::Network(provider, models),
            config: config.clone(),
        })
    }

    /// Makes the provider of scripts.
    pub(super) fn scripted(scripts: Scripted) -> Self {
        Self {
            source: Source::Scripts(Arc::new(scripts)),
            default_model: None,
            config: ProviderConfig::default(),
        }
    }

    /// Makes the provider of recordings.
    pub(super) fn replay(folder: &Path) -> Self {
        Self {
            source: Source::Recordings(folder.to_owned()),
            default_model: None,
            config: ProviderConfig::default(),
        }
    }

    /// Returns who answers for a model.
    pub(super) fn provider(&self, model: &str) -> Result<Arc<dyn ModelProvider>, ReplayError> {
        match &self.source {
            Source::Network(provider, _) => Ok(provider.clone()),
            Source::Scripts(scripts) => Ok(scripts.clone()),
            Source::Recordings(folder) => {
                let file = folder.join(format!("{model}.jsonl"));
                Ok(Arc::new(ReplayProvider::open(&file, OnDivergence::Report)?))
            }
        }
    }

    /// Returns the models that are listed.
    pub(super) fn models(&self) -> Vec<String> {
        match &self.source {
            Source::Network(_, models) => models.clone(),
            Source::Scripts(scripts) => scripts.names(),
            Source::Recordings(folder) => recordings(folder),
        }
    }

    /// Returns the model that is taken when the provider is named alone.
    pub(super) fn default_model(&self) -> Option<String> {
        match &self.source {
            Source::Network(..) => self.default_model.clone(),
            Source::Scripts(scripts) => {
                let names = scripts.names();
                let demo = names.iter().find(|name| *name == "demo");
                demo.or(names.first()).cloned()
            }
            Source::Recordings(_) => None,
        }
    }

    /// Returns whether the provider may have this model.
    pub(super) fn has(&self, model: &str) -> bool {
        match &self.source {
            Source::Network(..) => {
                !model.is_empty() && model.len() <= MAX_NAME_BYTES && !model.contains(char::is_control)
            }
            Source::Scripts(_) | Source::Recordings(_) => self.models().iter().any(|name| name == model),
        }
    }

    /// Returns what a model costs, by what is known of it.
    pub(super) fn price(&self, known: Option<&KnownModel>) -> Option<Price> {
        match self.source {
            Source::Scripts(_) | Source::Recordings(_) => Some(Price::default()),
            Source::Network(..) if self.config.prompt_cache == PromptCache::OneHour => known?.price_with_hour_cache(),
            Source::Network(..) => known?.price_per_request(),
        }
    }
}

fn recordings(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let names = files.filter_map(|file| file.strip_suffix(".jsonl").map(str::to_owned));
    let mut names: Vec<String> = names.filter(|name| is_script_name(name)).collect();
    names.sort();
    names
}
