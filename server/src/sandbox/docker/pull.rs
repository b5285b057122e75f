//! Pulls an image, and says how far it is.
//!
//! The engine tells of each layer many times a second; people are told a sum, and only when it has changed.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptions;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;

use super::engine::Engine;
use crate::sandbox::SandboxError;

/// Pulls an image by its name with tag or digest; without either the tag is `latest`. Gives up after a silence, which
/// an engine keeps for good when a registry stops in the middle.
pub(super) async fn pull(
    engine: &Engine,
    name: &str,
    silence: Duration,
    progress: &mpsc::Sender<String>,
) -> Result<(), SandboxError> {
    let step = format!("pull the image {name}");
    let options = CreateImageOptions {
        from_image: Some(with_tag(name)),
        ..CreateImageOptions::default()
    };
    let mut told = engine.client().create_image(Some(options), None, None);
    let mut layers = Layers::default();
    let mut said = String::new();
    loop {
        let next = tokio::time::timeout(silence, told.next()).await;
        let info = next.map_err(|_| SandboxError::Unavailable {
            message: format!("{step}: the engine said nothing for {} s", silence.as_secs()),
        })?;
        let Some(info) = info else { return Ok(()) };
        let info = info.map_err(|error| engine.fault(&step, error))?;
        layers.take(&info);
        let words = format!("Pulling the image {name}: {layers}");
        if words != said {
            // A full channel has words that are nearly as new.
            let _ = progress.try_send(words.clone());
            said = words;
        }
    }
}

/// Without a tag an engine would pull all there are.
fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}

/// What is known of each layer: bytes that are there, and bytes in all.
#[derive(Default)]
struct Layers(HashMap<String, (i64, i64)>);

impl Layers {
    fn take(&mut self, info: &CreateImageInfo) {
        let Some(layer) = info.id.clone() else { return };
        let detail = info.progress_detail.as_ref();
        let numbers = detail.and_then(|detail| Some((detail.current?, detail.total?)));
        match (info.status.as_deref(), numbers) {
            (Some("Downloading"), Some(numbers)) => drop(self.0.insert(layer, numbers)),
            (Some("Download complete" | "Pull complete" | "Already exists"), _) => {
                let entry = self.0.entry(layer).or_default();
                entry.0 = entry.1;
            }
            (Some("Pulling fs layer"), _) => drop(self.0.entry(layer).or_default()),
            _ => {}
        }
    }
}

impl std::fmt::Display for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (here, all) = self
            .0
            .values()
            .fold((0, 0), |(here, all), layer| (here + layer.0, all + layer.1));
        write!(f, "{} of {} MiB, {} layers", here >> 20, all >> 20, self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ProgressDetail;

    fn info(layer: &str, status: &str, numbers: Option<(i64, i64)>) -> CreateImageInfo {
        CreateImageInfo {
            id: Some(layer.into()),
            status: Some(status.into()),
            progress_detail: numbers.map(|(current, total)| ProgressDetail {
                current: Some(current),
                total: Some(total),
            }),
            ..CreateImageInfo::default()
        }
    }

    #[test]
    fn layers_are_summed_and_unpacking_is_no_step_back() {
        let mut layers = Layers::default();
        for (told, expected) in [
            (info("a", "Pulling fs layer", None), "0 of 0 MiB, 1 layers"),
            (
                info("a", "Downloading", Some((3 << 20, 9 << 20))),
                "3 of 9 MiB, 1 layers",
            ),
            (info("b", "Already exists", None), "3 of 9 MiB, 2 layers"),
            (info("a", "Download complete", None), "9 of 9 MiB, 2 layers"),
            (info("a", "Extracting", Some((1, 9 << 20))), "9 of 9 MiB, 2 layers"),
        ] {
            layers.take(&told);
            assert_eq!(layers.to_string(), expected);
        }
    }

    #[test]
    fn one_tag_is_pulled_and_not_all() {
        for (name, expected) in [
            ("node", "node:latest"),
            ("node:22", "node:22"),
            (
                "registry.example:5000/team/image",
                "registry.example:5000/team/image:latest",
            ),
            ("registry.example/image@sha256:0", "registry.example/image@sha256:0"),
        ] {
            assert_eq!(with_tag(name), expected);
        }
    }
}
