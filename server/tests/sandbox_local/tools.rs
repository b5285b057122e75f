//! Toolchains of the server's user: they can be used, what is secret in them can't be seen.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::SandboxProvider as _;
use backspace_server::sandbox::local::LocalProvider;

use crate::fixture::{Backend, config};
use crate::inside::{output, spec};

/// Each holds the canary.
const SECRETS: [&str; 22] = [
    ".cargo/credentials.toml",
    ".cargo/credentials",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".config/go/env",
    ".config/pip/pip.conf",
    ".m2/settings.xml",
    ".ssh/id_ed25519",
    ".cargo/bin/.netrc",
    ".rustup/toolchains/stable/.netrc",
    ".pyenv/versions/3.12.1/pip.conf",
    ".pyenv/versions/3.12.1/etc/pip.conf",
    ".pyenv/versions/3.12.1/.pypirc",
    ".nvm/versions/node/v20.1.0/etc/npmrc",
    ".nvm/versions/node/v20.1.0/lib/node_modules/npm/npmrc",
    ".nvm/versions/node/v20.1.0/.npmrc",
    ".sdkman/candidates/maven/3.9.9/conf/settings.xml",
    ".sdkman/candidates/maven/3.9.9/conf/settings-security.xml",
    ".sdkman/candidates/gradle/8.1/gradle.properties",
    "go/bin/.git-credentials",
    "tool/go.env",
];

/// Each can be read inside: the toolchain itself.
const OPEN: [&str; 5] = [
    ".cargo/bin/cargo",
    ".rustup/toolchains/stable/bin/rustc",
    ".nvm/versions/node/v20.1.0/bin/node",
    ".sdkman/candidates/maven/3.9.9/conf/logging",
    "tool/bin/program",
];

#[tokio::test]
async fn no_credential_in_or_beside_a_shown_toolchain_can_be_read() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (paths, content) in [
        (
            &SECRETS[..],
            "<password>canary</password> //registry/:_authToken=canary https://me:canary@host/",
        ),
        (&OPEN[..], "visible"),
    ] {
        for path in paths {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
        }
    }
    let backend = Backend::new();
    let mut config = config(backend.state.path());
    config.home = Some(home.path().into());
    config.extra_paths = vec![home.path().join("tool")];
    let provider = LocalProvider::new(config, Jobs::new()).unwrap();
    let sandbox = provider.create(spec()).await.unwrap();
    let search = |word: &str| format!("grep -rl {word} {} 2>/dev/null | sort; true", home.path().display());
    let mut expected: Vec<_> = OPEN
        .iter()
        .map(|path| home.path().join(path).display().to_string())
        .collect();
    expected.sort();
    let visible = output(sandbox.as_ref(), &search("visible")).await;
    assert_eq!(visible.lines().collect::<Vec<_>>(), expected, "the control");
    assert_eq!(output(sandbox.as_ref(), &search("canary")).await, "");
    sandbox.destroy().await.unwrap();
}
