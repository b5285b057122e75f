//! What a set-up's result depends on, as one key.

use crate::forge::git::ListedFile;
use crate::orchestrator::content_key::content_key;

/// What a set-up's result depends on, and by whom it may be seen.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    pub(super) backend: &'a str,
    pub(super) tools: &'a str,
    /// The mirror's folder, of which each repository and credential has its own.
    pub(super) repository_and_credential: &'a [u8],
    /// The branch that the base is of, or the commit that a caller named.
    pub(super) origin: &'a str,
    pub(super) image: &'a str,
    pub(super) commands: &'a [String],
    pub(super) hosts: &'a [String],
    pub(super) files: &'a [ListedFile],
}

impl Facts<'_> {
    /// Returns a key that differs when anything does.
    pub(super) fn key(&self) -> String {
        let Self {
            backend,
            tools,
            repository_and_credential,
            origin,
            image,
            commands,
            hosts,
            files,
        } = self;
        let texts = [*backend, *tools, *origin, *image].map(str::as_bytes);
        // So that a command is never taken for a host or a file.
        let counts = [commands.len(), hosts.len()].map(usize::to_le_bytes);
        let mut all: Vec<&[u8]> = vec![b"set-up:1", repository_and_credential];
        all.extend(texts);
        all.extend(counts.iter().map(<[u8; 8]>::as_slice));
        all.extend(commands.iter().chain(*hosts).map(String::as_bytes));
        all.extend(
            files
                .iter()
                .flat_map(|file| [file.path.as_slice(), file.content.as_bytes()]),
        );
        content_key(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_differs_another_key_results() {
        let texts = |text: &str| vec![text.to_owned()];
        let (command, host) = (texts("npm ci"), texts("@npm"));
        let file = |content: &str| {
            vec![ListedFile {
                path: b"package-lock.json".to_vec(),
                content: content.into(),
            }]
        };
        let (file, changed) = (file("1"), file("2"));
        let (other_command, both) = (texts("npm i"), vec!["npm ci".to_owned(), "@npm".to_owned()]);
        let usual = Facts {
            backend: "local",
            tools: "tools",
            repository_and_credential: b"/mirrors/1",
            origin: "branch main",
            image: "image@1",
            commands: &command,
            hosts: &host,
            files: &file,
        };
        let others = [
            Facts {
                backend: "docker",
                ..usual.clone()
            },
            Facts {
                tools: "newer",
                ..usual.clone()
            },
            Facts {
                repository_and_credential: b"/mirrors/2",
                ..usual.clone()
            },
            Facts {
                origin: "branch other",
                ..usual.clone()
            },
            Facts {
                image: "image@2",
                ..usual.clone()
            },
            Facts {
                commands: &other_command,
                ..usual.clone()
            },
            Facts {
                hosts: &[],
                ..usual.clone()
            },
            Facts {
                commands: &both,
                hosts: &[],
                ..usual.clone()
            },
            Facts {
                files: &changed,
                ..usual.clone()
            },
            Facts {
                files: &[],
                ..usual.clone()
            },
        ];
        let mut keys: Vec<_> = others.iter().map(Facts::key).collect();
        keys.push(usual.key());
        assert_eq!(usual.key(), usual.clone().key());
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
    }
}
