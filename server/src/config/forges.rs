//! Settings of forges. Whether an address is one is judged by the adapter, when it is made.

use super::Reader;
use crate::secret::Secret;

/// Where GitHub is, and who the server is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitHubSettings {
    /// Address of its pages and its git.
    pub url: String,
    /// Address of its API, where it is not the usual one.
    pub api_url: Option<String>,
    /// Who the server is.
    pub login: GitHubLogin,
    /// Whether a change is published from a fork where the login may not push.
    pub forks: GitHubForks,
}

/// Whether changes are published from forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitHubForks {
    /// A Task without the right to push fails before it works.
    Never,
    /// Where the login may not push.
    WhenNeeded,
}

/// Who the server is at GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitHubLogin {
    /// Nobody.
    None,
    /// The owner of a token.
    Token(Secret),
    /// An App.
    App {
        /// Its number.
        id: u64,
        /// Its private key, PEM.
        key: Secret,
    },
}

impl GitHubLogin {
    /// Returns what may never be shown.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Self::None => None,
            Self::Token(secret) | Self::App { key: secret, .. } => Some(secret),
        }
    }
}

impl Reader<'_> {
    pub(super) fn github(&mut self) -> GitHubSettings {
        let secret = |variable: &str| self.text(variable).map(Secret::new);
        let url = self.text("BACKSPACE_GITHUB_URL").unwrap_or_default();
        let api_url = self.text("BACKSPACE_GITHUB_API_URL");
        let (token, key) = (secret("GITHUB_TOKEN"), secret("BACKSPACE_GITHUB_APP_KEY"));
        let has_app = self.text("BACKSPACE_GITHUB_APP_ID").is_some();
        let login = match (token, has_app, key) {
            (None, false, None) => GitHubLogin::None,
            (Some(token), false, None) => GitHubLogin::Token(token),
            (None, true, Some(key)) => {
                let id = self.parse("BACKSPACE_GITHUB_APP_ID", "the number of the App");
                id.map_or(GitHubLogin::None, |id| GitHubLogin::App { id, key })
            }
            (None, _, _) => {
                let fault = "BACKSPACE_GITHUB_APP_ID and BACKSPACE_GITHUB_APP_KEY must be set together";
                self.faults.push(fault.into());
                GitHubLogin::None
            }
            (Some(_), _, _) => {
                let fault = "GITHUB_TOKEN and a GitHub App are both set: the server can be only one of them";
                self.faults.push(fault.into());
                GitHubLogin::None
            }
        };
        let forks = [("never", GitHubForks::Never), ("when-needed", GitHubForks::WhenNeeded)];
        let forks = self.choice("BACKSPACE_GITHUB_FORKS", &forks);
        if has_app && forks == Some(GitHubForks::WhenNeeded) {
            let fault =
                "BACKSPACE_GITHUB_FORKS=when-needed needs GITHUB_TOKEN: a GitHub App has no account to fork into";
            self.faults.push(fault.into());
        }
        GitHubSettings {
            url,
            api_url,
            login,
            forks: forks.unwrap_or(GitHubForks::Never),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::settings::{self, Values};
    use crate::config::{Config, ConfigFaults};

    fn github(pairs: &[(&str, &str)]) -> Result<GitHubSettings, ConfigFaults> {
        let environment: BTreeMap<_, _> = pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let flags = settings::command().get_matches_from(["backspace-server"]);
        let values = Values::gather(&flags, &environment, &BTreeMap::new());
        Ok(Config::new(&values, Some("/home/x/.local/share".into()))?.github)
    }

    #[test]
    fn the_server_is_nobody_a_token_or_an_app() {
        let id = ("BACKSPACE_GITHUB_APP_ID", "7");
        let key = ("BACKSPACE_GITHUB_APP_KEY", "pem");
        let token = ("GITHUB_TOKEN", "github_pat_x");
        let login = |pairs: &[(&str, &str)]| github(pairs).unwrap().login;
        assert_eq!(login(&[]), GitHubLogin::None);
        assert_eq!(login(&[token]), GitHubLogin::Token(Secret::new("github_pat_x")));
        let app = GitHubLogin::App {
            id: 7,
            key: Secret::new("pem"),
        };
        assert_eq!(login(&[id, key]), app);
        for (pairs, words) in [
            (&[id][..], "must be set together"),
            (&[key], "must be set together"),
            (&[token, id, key], "only one of them"),
            (&[token, key], "only one of them"),
            (&[("BACKSPACE_GITHUB_APP_ID", "mine"), key], "the number of the App"),
        ] {
            let faults = github(pairs).unwrap_err();
            assert!(faults.0.len() == 1 && faults.0[0].ends_with(words), "{faults}");
        }
    }

    #[test]
    fn changes_are_published_from_forks_where_that_is_asked_for() {
        let token = ("GITHUB_TOKEN", "github_pat_x");
        let forks = |value: &str| github(&[token, ("BACKSPACE_GITHUB_FORKS", value)]).map(|github| github.forks);
        assert_eq!(github(&[token]).unwrap().forks, GitHubForks::Never);
        assert_eq!(forks("never").unwrap(), GitHubForks::Never);
        assert_eq!(forks("when-needed").unwrap(), GitHubForks::WhenNeeded);
        let fault = forks("yes").unwrap_err().to_string();
        assert!(
            fault.contains("BACKSPACE_GITHUB_FORKS=yes must be one of never, when-needed"),
            "{fault}"
        );
        let app = [
            ("BACKSPACE_GITHUB_APP_ID", "7"),
            ("BACKSPACE_GITHUB_APP_KEY", "pem"),
            ("BACKSPACE_GITHUB_FORKS", "when-needed"),
        ];
        let fault = github(&app).unwrap_err().to_string();
        assert!(fault.contains("a GitHub App has no account to fork into"), "{fault}");
    }

    #[test]
    fn an_enterprise_server_is_named_by_its_address() {
        let read = github(&[
            ("BACKSPACE_GITHUB_URL", "https://git.example.com"),
            ("BACKSPACE_GITHUB_API_URL", "https://api.example.com"),
        ]);
        let expected = GitHubSettings {
            url: "https://git.example.com".into(),
            api_url: Some("https://api.example.com".into()),
            login: GitHubLogin::None,
            forks: GitHubForks::Never,
        };
        assert_eq!(read.unwrap(), expected);
        assert_eq!(github(&[]).unwrap().url, "https://github.com");
    }
}
