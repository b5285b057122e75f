//! Images: which may be asked for, whether one is there, and what it is by its content.
//!
//! A container is made of an image's id and never of its name, so that a name that moves between the check and
//! the creation changes nothing. A name comes from a request or a repository and is checked by a grammar and a
//! list before the engine hears of it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::models::ImageInspect;
use globset::{Glob, GlobMatcher};
use tokio::sync::mpsc;

use super::engine::{Engine, is_missing};
use super::pull::pull;
use crate::sandbox::SandboxError;

/// Longest name of an image.
const MAX_NAME_BYTES: usize = 255;

/// Which images are used.
#[derive(Clone, Debug)]
pub struct ImageConfig {
    /// The image of a sandbox that asks for none.
    pub default: String,
    /// Patterns of images that may be asked for; only the default when empty. `*` also matches `/`.
    pub allowed: Vec<String>,
    /// When an image is pulled.
    pub pull: PullPolicy,
    /// Longest silence of an engine that pulls. Five minutes: some say nothing while they check a large layer.
    pub pull_silence: Duration,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Never: what is not there is refused.
    #[default]
    Never,
    /// When it is not there.
    Missing,
}

impl ImageConfig {
    /// Makes the config with a default image, which alone is allowed.
    pub fn new(default: impl Into<String>) -> Self {
        Self {
            default: default.into(),
            allowed: Vec::new(),
            pull: PullPolicy::default(),
            pull_silence: Duration::from_secs(300),
        }
    }
}

/// An image by its content: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ImageId(String);

impl ImageId {
    /// Takes what an engine calls an image.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?;
        let is_id = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| Self(text.to_owned()))
    }

    /// Returns the text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The images of an engine.
pub(super) struct Images {
    config: ImageConfig,
    allowed: Vec<GlobMatcher>,
    engine: Arc<Engine>,
    /// Images in which git was seen.
    fit: Mutex<HashSet<ImageId>>,
}

impl Images {
    /// Reads the patterns.
    pub(super) fn new(config: ImageConfig, engine: Arc<Engine>) -> Result<Self, SandboxError> {
        let allowed = config.allowed.iter().map(|pattern| {
            let glob = Glob::new(pattern).map_err(|error| SandboxError::Unsupported {
                message: format!("the pattern of allowed images {pattern}: {error}"),
            })?;
            Ok(glob.compile_matcher())
        });
        Ok(Self {
            allowed: allowed.collect::<Result<_, SandboxError>>()?,
            config,
            engine,
            fit: Mutex::default(),
        })
    }

    /// Tells whether an image may be asked for.
    pub(super) fn allows(&self, image: &str) -> bool {
        self.choose(Some(image)).is_ok()
    }

    /// Pulls the image that was asked for, or the default, if it is not there and that is wanted; returns what it
    /// is, for a person.
    pub(super) async fn prepare(
        &self,
        asked: Option<&str>,
        progress: &mpsc::Sender<String>,
    ) -> Result<String, SandboxError> {
        let name = self.choose(asked)?;
        if self.config.pull == PullPolicy::Missing && may_be_pulled(name) && self.look(name).await?.is_none() {
            pull(&self.engine, name, self.config.pull_silence, progress).await?;
        }
        let id = self.find(asked).await?;
        Ok(format!("the image {name} ({})", id.as_str()))
    }

    /// Asks the engine for an image; nothing when it has none of that name.
    async fn look(&self, name: &str) -> Result<Option<ImageInspect>, SandboxError> {
        match self.engine.client().inspect_image(name).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.engine.fault(&format!("look at the image {name}"), error)),
        }
    }

    /// Finds the image that was asked for, or the default, and returns its id.
    pub(super) async fn find(&self, asked: Option<&str>) -> Result<ImageId, SandboxError> {
        let name = self.choose(asked)?;
        let found = self.look(name).await?.ok_or_else(|| SandboxError::Image {
            message: format!("the engine has no image {name}; build or pull it (see docs/docker.md)"),
        })?;
        let volumes = found.config.and_then(|config| config.volumes).unwrap_or_default();
        if !volumes.is_empty() {
            return Err(SandboxError::Image {
                message: format!("the image {name} declares volumes, which no limit holds for; build one without them"),
            });
        }
        found
            .id
            .as_deref()
            .and_then(ImageId::parse)
            .ok_or_else(|| SandboxError::Internal {
                message: format!("the engine gave no id of the image {name}"),
            })
    }

    fn choose<'a>(&'a self, asked: Option<&'a str>) -> Result<&'a str, SandboxError> {
        let Some(name) = asked.filter(|name| *name != self.config.default) else {
            return Ok(&self.config.default);
        };
        let refused = |why: String| SandboxError::Image { message: why };
        if !is_name(name) {
            return Err(refused("what was asked for is no image's name".into()));
        }
        if !self.allowed.iter().any(|pattern| pattern.is_match(name)) {
            return Err(refused(format!(
                "the image {name} is not allowed by this server; allowed: {}",
                [self.config.default.clone()]
                    .iter()
                    .chain(&self.config.allowed)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
        Ok(name)
    }

    /// Tells whether git was seen in an image.
    pub(super) fn is_fit(&self, image: &ImageId) -> bool {
        self.fit.lock().unwrap_or_else(PoisonError::into_inner).contains(image)
    }

    /// Notes that git is in an image.
    pub(super) fn note_fit(&self, image: &ImageId) {
        self.fit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(image.clone());
    }
}

/// The name of the image that is made by hand belongs to nobody at a public registry, and is not asked for there.
fn may_be_pulled(name: &str) -> bool {
    name != "backspace-sandbox" && !name.starts_with("backspace-sandbox:") && ImageId::parse(name).is_none()
}

/// Tells whether a text can be an image's name, with tag or digest. The engine judges it in the end.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    let begins_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    begins_well
        && text.len() <= MAX_NAME_BYTES
        && text.bytes().all(allowed)
        && !text.contains("..")
        && !text.contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_the_default_or_matches_a_pattern_and_is_a_name() {
        let engine = Arc::new(
            Engine::new(
                &super::super::EngineAddress::Plain("127.0.0.1:1".into()),
                Duration::from_secs(1),
            )
            .unwrap(),
        );
        let config = ImageConfig {
            allowed: vec!["registry.example/team/*".into(), "node:22*".into()],
            ..ImageConfig::new("usual:latest")
        };
        let images = Images::new(config, engine).unwrap();
        for (asked, is_allowed) in [
            (None, true),
            (Some("usual:latest"), true),
            (Some("node:22-bookworm"), true),
            (Some("registry.example/team/a/b@sha256:00"), true),
            (Some("node:21"), false),
            (Some("registry.example/other/x"), false),
            (Some("node:22 --privileged"), false),
            (Some("registry.example/team/../../x"), false),
            (Some(""), false),
        ] {
            assert_eq!(images.choose(asked).is_ok(), is_allowed, "{asked:?}");
        }
    }

    #[test]
    fn an_id_is_a_digest_and_nothing_else() {
        let digits = "a".repeat(64);
        assert!(ImageId::parse(&format!("sha256:{digits}")).is_some());
        for text in [
            "",
            "latest",
            &digits,
            "sha256:abc",
            &format!("sha256:{digits}0"),
            &format!("sha256:{}", "g".repeat(64)),
        ] {
            assert_eq!(ImageId::parse(text), None, "{text}");
        }
    }
}
