//! The page's files, embedded in the binary.
//!
//! Owns their names, types, tags and compressed copies. A table by hand and not a macro over a folder: a
//! file that was meant for nobody can't be served by lying there, and a test compares the two. Files are
//! compressed at the first request for them, which costs a few milliseconds once and keeps the build free
//! of a step.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// A file of the folder `web/page`, with its name and type.
macro_rules! embedded {
    ($name:literal, $kind:expr) => {
        ($name, $kind, include_bytes!(concat!("../../../../web/page/", $name)))
    };
}

/// Name, type and content of each file.
const FILES: &[(&str, &str, &[u8])] = &[
    embedded!("announcer.js", SCRIPT),
    embedded!("base.css", STYLE),
    embedded!("call-view.js", SCRIPT),
    embedded!("cancel-dialog.js", SCRIPT),
    embedded!("changes-view.js", SCRIPT),
    embedded!("check-view.js", SCRIPT),
    embedded!("cli-dialog.js", SCRIPT),
    embedded!("clipboard.js", SCRIPT),
    embedded!("code.css", STYLE),
    embedded!("composer.js", SCRIPT),
    embedded!("controls.css", STYLE),
    embedded!("dialog.js", SCRIPT),
    embedded!("diff-text.js", SCRIPT),
    embedded!("diff-view.js", SCRIPT),
    embedded!("element.js", SCRIPT),
    embedded!("event-stream.js", SCRIPT),
    embedded!("format.js", SCRIPT),
    embedded!("gateway.js", SCRIPT),
    embedded!("highlight.js", SCRIPT),
    embedded!("history.js", SCRIPT),
    embedded!("icon.svg", "image/svg+xml"),
    embedded!("index.html", "text/html; charset=utf-8"),
    embedded!("item-views.js", SCRIPT),
    embedded!("main.js", SCRIPT),
    embedded!("markdown.js", SCRIPT),
    embedded!("message-form.js", SCRIPT),
    embedded!("outcome-view.js", SCRIPT),
    embedded!("outcome.css", STYLE),
    embedded!("output-view.js", SCRIPT),
    embedded!("phase-bar.js", SCRIPT),
    embedded!("rail.js", SCRIPT),
    embedded!("shell.css", STYLE),
    embedded!("tabs.js", SCRIPT),
    embedded!("task-log.js", SCRIPT),
    embedded!("task-view.js", SCRIPT),
    embedded!("task-words.js", SCRIPT),
    embedded!("task.css", STYLE),
    embedded!("terminal-text.js", SCRIPT),
    embedded!("text.js", SCRIPT),
    embedded!("theme.js", SCRIPT),
    embedded!("timeline.css", STYLE),
    embedded!("timeline.js", SCRIPT),
    embedded!("token-dialog.js", SCRIPT),
    embedded!("top-bar.js", SCRIPT),
];

/// How a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As it is.
    Plain,
    /// Compressed.
    Gzip,
}

/// One file of the page.
#[derive(Debug)]
pub(crate) struct Asset {
    kind: &'static str,
    plain: &'static [u8],
    gzip: Bytes,
    hash: String,
}

static ASSETS: LazyLock<HashMap<&'static str, Asset>> = LazyLock::new(|| {
    let made = FILES.iter().map(|(name, kind, plain)| (*name, Asset::new(kind, plain)));
    made.collect()
});

impl Asset {
    /// Returns the file of a name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ASSETS.get(name)
    }

    fn new(kind: &'static str, plain: &'static [u8]) -> Self {
        let hash = Sha256::digest(plain)
            .iter()
            .take(12)
            .fold(String::new(), |mut hash, byte| {
                let _ = write!(hash, "{byte:02x}");
                hash
            });
        Self {
            kind,
            plain,
            gzip: compressed(plain),
            hash,
        }
    }

    /// Returns its media type.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Returns its strong tag; each coding has its own.
    pub(crate) fn etag(&self, coding: Coding) -> String {
        match coding {
            Coding::Plain => format!("\"{}\"", self.hash),
            Coding::Gzip => format!("\"{}-gzip\"", self.hash),
        }
    }

    /// Returns its bytes.
    pub(crate) fn content(&self, coding: Coding) -> Bytes {
        match coding {
            Coding::Plain => Bytes::from_static(self.plain),
            Coding::Gzip => self.gzip.clone(),
        }
    }
}

/// Writing to memory does not fail; were it to, the reader would get a broken copy and not a wrong one.
fn compressed(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// What the issue of the page allows.
    const MAX_COMPRESSED_BYTES: usize = 150 * 1024;

    #[test]
    fn every_file_of_the_folder_is_served_and_no_other() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/page");
        let found = std::fs::read_dir(folder).unwrap().map(|entry| {
            let name = entry.unwrap().file_name();
            name.into_string().unwrap()
        });
        let served = FILES.iter().map(|(name, _, _)| (*name).to_owned());
        assert_eq!(found.collect::<BTreeSet<_>>(), served.collect::<BTreeSet<_>>());
    }

    #[test]
    fn the_whole_page_stays_small() {
        let bytes: usize = ASSETS.values().map(|asset| asset.gzip.len()).sum();
        assert!(bytes < MAX_COMPRESSED_BYTES, "{bytes} bytes");
    }

    #[test]
    fn a_file_has_its_whole_content_in_either_coding_and_a_tag_for_each() {
        for (name, asset) in ASSETS.iter() {
            let mut unpacked = Vec::new();
            let mut decoder = flate2::write::GzDecoder::new(&mut unpacked);
            decoder.write_all(&asset.content(Coding::Gzip)).unwrap();
            decoder.finish().unwrap();
            assert_eq!(unpacked, asset.content(Coding::Plain), "{name}");
            assert_ne!(asset.etag(Coding::Plain), asset.etag(Coding::Gzip));
        }
    }

    #[test]
    fn every_file_that_another_one_names_is_there_and_none_is_of_another_host() {
        for (name, _, content) in FILES {
            let text = std::str::from_utf8(content).unwrap();
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for mark in ["\"/assets/", "from \"./"] {
                for rest in text.split(mark).skip(1) {
                    let wanted = rest.split('"').next().unwrap();
                    assert!(Asset::named(wanted).is_some(), "{name} names {wanted}");
                }
            }
            assert!(!text.contains("src=\"http") && !text.contains("href=\"http"), "{name}");
            assert!(!text.contains("url(http") && !text.contains("@import"), "{name}");
        }
    }

    #[test]
    fn no_script_turns_text_into_markup() {
        for (name, kind, content) in FILES {
            if *kind != SCRIPT {
                continue;
            }
            let text = std::str::from_utf8(content).unwrap();
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
            ] {
                assert!(!text.contains(word), "{name}: {word}");
            }
        }
    }
}
