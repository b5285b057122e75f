//! The forges of a server: GitHub, and the folders that the operator allowed.

use std::sync::Arc;

use crate::config::{Config, GitHubForks, GitHubLogin};
use crate::forge::Forge;
use crate::forge::git::GitStore;
use crate::forge::github::{Forks, GitHubConfig, GitHubCredentials, GitHubForge, GitHubHost, MUTATION_PACE};
use crate::forge::local::{LocalForge, LocalForgeConfig};
use crate::task::address::AddressPolicy;

/// Reads where GitHub is.
pub(super) fn github_host(config: &Config) -> Result<GitHubHost, String> {
    let settings = &config.github;
    GitHubHost::parse(&settings.url, settings.api_url.as_deref()).map_err(|error| match &settings.api_url {
        Some(api) => format!(
            "BACKSPACE_GITHUB_URL={} with BACKSPACE_GITHUB_API_URL={api}: {error}",
            settings.url
        ),
        None => format!("BACKSPACE_GITHUB_URL={}: {error}", settings.url),
    })
}

/// Says what the login can't do, or can do more than is needed.
pub(super) fn degraded(config: &Config) -> Option<String> {
    match &config.github.login {
        GitHubLogin::None => Some(
            "no GitHub credential: set GITHUB_TOKEN; until then public repositories can be read, and changes to them \
             are kept as patches"
                .into(),
        ),
        GitHubLogin::Token(token)
            if config.github.forks == GitHubForks::WhenNeeded && !is_classic(token.expose()) =>
        {
            Some(
                "BACKSPACE_GITHUB_FORKS=when-needed is of no use with a fine-grained token, which can't write both to its \
                 own fork and to pull requests of somebody else's repository: use a classic token"
                    .into(),
            )
        }
        GitHubLogin::Token(token) if is_classic(token.expose()) => Some(
            "GITHUB_TOKEN is a classic token, which reaches every repository of its owner: prefer a fine-grained one \
             for the repositories that tasks may change, or a GitHub App"
                .into(),
        ),
        GitHubLogin::Token(_) | GitHubLogin::App { .. } => None,
    }
}

fn is_classic(token: &str) -> bool {
    token.starts_with("ghp_") || (token.len() == 40 && token.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Makes the forges.
pub(super) fn forges(config: &Config, host: &GitHubHost, git: &GitStore) -> Result<Vec<Arc<dyn Forge>>, String> {
    let mut forges: Vec<Arc<dyn Forge>> = Vec::new();
    let credentials = match &config.github.login {
        GitHubLogin::None => GitHubCredentials::None,
        GitHubLogin::Token(token) => GitHubCredentials::Token(token.clone()),
        GitHubLogin::App { id, key } => GitHubCredentials::App {
            id: *id,
            key: key.clone(),
        },
    };
    let github = GitHubConfig {
        host: host.clone(),
        credentials,
        forks: match config.github.forks {
            GitHubForks::Never => Forks::Never,
            GitHubForks::WhenNeeded => Forks::WhenNeeded,
        },
        folder: config.data_folder.join("github"),
        pace: MUTATION_PACE,
    };
    let github =
        GitHubForge::open(github).map_err(|error| format!("GitHub can't be used: {}", super::chain(&error)))?;
    forges.push(Arc::new(github));
    if !config.local_roots.is_empty() {
        let local = LocalForgeConfig {
            roots: config.local_roots.clone(),
            folder: config.data_folder.join("pull-requests"),
        };
        let local = LocalForge::open(local, git.clone()).map_err(|error| error.to_string())?;
        forges.push(Arc::new(local));
    }
    Ok(forges)
}

/// Returns which addresses the forges serve.
pub(super) fn addresses(config: &Config, host: &GitHubHost) -> AddressPolicy {
    let roots = config
        .local_roots
        .iter()
        .filter_map(|root| root.to_str().map(str::to_owned));
    AddressPolicy {
        hosts: vec![(host.name().to_owned(), host.port())],
        local_roots: roots.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_tokens_are_known_by_their_form() {
        assert!(is_classic("ghp_0123456789abcdef") && is_classic(&"0af9".repeat(10)));
        assert!(!is_classic("github_pat_0123456789") && !is_classic("ghs_1") && !is_classic(&"0agz".repeat(10)));
    }
}
