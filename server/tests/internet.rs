//! A program, not a test: GitHub, Anthropic and rustup at their own names over TLS, for a machine that has no internet.
//!
//! What the documents tell people to type names `https://github.com` and keys of a provider. Where names of these hosts
//! lead to this program and its authority is trusted, all of it can be typed as it stands (`tests/parts/image.sh`,
//! `tests/parts/getting_started.sh`). It is the GitHub and the model provider of the other tests, with what they refuse,
//! behind one listener with TLS.
//!
//! Usage: internet REPOSITORIES SCRIPT CERTIFICATE KEY PAGES LISTEN
//! REPOSITORIES has `owner/name.git`, SCRIPT is a scripted model's file, PAGES has a file for each other host.

#![cfg(test)]
#![expect(unreachable_pub, reason = "modules of one program")]

mod support {
    pub(crate) mod fake_model;
}
#[path = "support/fake_github.rs"]
mod fake_github;
#[path = "hosts/front.rs"]
mod front;
#[path = "support/git_backend.rs"]
mod git_backend;
#[path = "hosts/replies.rs"]
mod replies;

use std::path::Path;
use std::sync::Arc;

use fake_github::{FakeGitHub, Rights};
use front::Front;
use support::fake_model::FakeModel;

/// The token and the key that the documents' reader is given.
const TOKEN: &str = "github_pat_11FIRST0FIVE0MINUTES_abcdefghijklmnopqrstuvwxyzABCDEFG";

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [repositories, script, certificate, key, pages, listen] = arguments.as_slice() else {
        eprintln!("usage: internet REPOSITORIES SCRIPT CERTIFICATE KEY PAGES LISTEN");
        std::process::exit(64);
    };
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let hub = FakeGitHub::start(repositories.into()).await;
        hub.known_as("https://github.com");
        let names = names(Path::new(repositories))?;
        hub.with(|state| {
            for name in &names {
                state.add(name);
            }
            state.token(TOKEN, Rights::ALL);
        });
        let model = FakeModel::with(replies::of_script(Path::new(script))?).await;
        let front = Front {
            hub: hub.url(),
            model: model.url(),
            pages: pages.into(),
        };
        let tls = front::settings(Path::new(certificate), Path::new(key))?;
        let listener = tokio::net::TcpListener::bind(listen.as_str()).await?;
        println!("{} with {}", listener.local_addr()?, names.join(", "));
        Arc::new(front).serve(listener, tls).await
    })
}

/// Returns the repositories of a folder as `owner/name`.
fn names(root: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for owner in std::fs::read_dir(root)? {
        let owner = owner?;
        for repository in std::fs::read_dir(owner.path())? {
            let name = repository?.file_name();
            let name = name.to_string_lossy();
            names.push(format!(
                "{}/{}",
                owner.file_name().to_string_lossy(),
                name.trim_end_matches(".git")
            ));
        }
    }
    names.sort();
    Ok(names)
}
