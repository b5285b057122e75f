//! Who the server is at a GitHub: nobody, a token's owner, or an App with a token for one repository.
//!
//! An App's tokens are asked for when a step needs one, narrowed to its repository and to what is done
//! with it, and asked for anew before they could end in the middle of the step. They are in memory only.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use octocrab::auth::AppAuth;
use octocrab::models::AppId;
use octocrab::{AuthState, Octocrab, OctocrabBuilder};
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;

use crate::forge::github::api::{Api, Ask};
use crate::forge::github::fault::Fault;
use crate::forge::github::transport::Transport;
use crate::forge::{Access, Credential, ForgeError, percent_encode};
use crate::secret::Secret;

/// Who the server is.
#[derive(Clone, Debug)]
pub enum GitHubCredentials {
    /// Nobody: public repositories can be read.
    None,
    /// A token of a person or a bot.
    Token(Secret),
    /// An App.
    App {
        /// Its number.
        id: u64,
        /// Its private key, PEM.
        key: Secret,
    },
}

/// A login, ready to sign requests. Clones share it.
#[derive(Clone)]
pub(super) struct Login {
    key: String,
    secret: Option<Secret>,
    crab: Octocrab,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Login {
    fn new(key: String, secret: Option<Secret>, auth: AuthState, transport: &Transport) -> Self {
        let built = OctocrabBuilder::new_empty()
            .with_service(transport.clone())
            .with_auth(auth)
            .build();
        let crab = match built {
            Ok(crab) => crab,
            Err(never) => match never {},
        };
        Self { key, secret, crab }
    }

    fn with_token(key: String, token: Secret, transport: &Transport) -> Self {
        let auth = AuthState::AccessToken {
            token: token.expose().to_owned().into(),
        };
        Self::new(key, Some(token), auth, transport)
    }

    /// Returns the name by which waits and mirrors know the login; it tells nothing of the secret.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn crab(&self) -> &Octocrab {
        &self.crab
    }

    /// Takes the secret out of what a forge says: one that repeats what it was sent must not spread it.
    pub(super) fn masked(&self, said: Bytes) -> Bytes {
        let Some(secret) = &self.secret else { return said };
        let text = String::from_utf8_lossy(&said);
        if text.contains(secret.expose()) {
            text.replace(secret.expose(), "***").into_bytes().into()
        } else {
            said
        }
    }

    /// Returns what git is given.
    pub(super) fn credential(&self) -> Option<Credential> {
        Some(Credential {
            username: "x-access-token".into(),
            secret: self.secret.clone()?,
        })
    }
}

/// What a login may do, as far as it is known without trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    /// The forge's answers tell.
    Unknown,
    /// An App was given these.
    Granted {
        /// Whether it may push and open pull requests.
        publish: Publish,
    },
}

/// Whether an App may publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publish {
    Allowed,
    Refused,
}

/// The logins of a forge.
#[derive(Debug)]
pub(super) struct Logins {
    kind: LoginKind,
    transport: Transport,
}

#[derive(Debug)]
enum LoginKind {
    Fixed(Login),
    App {
        app: Login,
        /// What the tokens are asked for.
        access: Access,
        issued: tokio::sync::Mutex<BTreeMap<String, Issued>>,
    },
}

/// A token that an App was given for one repository.
#[derive(Debug)]
struct Issued {
    login: Login,
    rights: Rights,
    expires: OffsetDateTime,
}

#[derive(Debug, Deserialize)]
struct Installation {
    id: u64,
}

#[derive(Deserialize)]
struct IssuedToken {
    token: String,
    expires_at: String,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
}

impl Logins {
    pub(super) fn new(credentials: GitHubCredentials, transport: &Transport) -> Result<Self, ForgeError> {
        let kind = match credentials {
            GitHubCredentials::None => LoginKind::Fixed(Login::new("public".into(), None, AuthState::None, transport)),
            GitHubCredentials::Token(token) => {
                let key = format!("token-{}", crate::forge::git::key(token.expose()));
                LoginKind::Fixed(Login::with_token(key, token, transport))
            }
            GitHubCredentials::App { id, key } => {
                let key = octocrab::EncodingKey::from_rsa_pem(key.expose().as_bytes())
                    .map_err(|error| ForgeError::Internal { source: error.into() })?;
                let auth = AuthState::App(AppAuth { app_id: AppId(id), key });
                LoginKind::App {
                    app: Login::new(format!("app-{id}"), None, auth, transport),
                    access: Access::Push,
                    issued: tokio::sync::Mutex::default(),
                }
            }
        };
        Ok(Self {
            kind,
            transport: transport.clone(),
        })
    }

    /// Returns the logins for one piece of work, whose tokens are its own.
    pub(super) fn session(&self, access: Access) -> Self {
        let kind = match &self.kind {
            LoginKind::Fixed(login) => LoginKind::Fixed(login.clone()),
            LoginKind::App { app, .. } => LoginKind::App {
                app: app.clone(),
                access,
                issued: tokio::sync::Mutex::default(),
            },
        };
        Self {
            kind,
            transport: self.transport.clone(),
        }
    }

    /// Ends the tokens of an App that are still good. One that can't be ended now ends by itself within the hour.
    pub(super) async fn close(&self, api: &Api) {
        let LoginKind::App { issued, .. } = &self.kind else {
            return;
        };
        let issued = std::mem::take(&mut *issued.lock().await);
        for (repository, token) in issued {
            if let Err(fault) = api
                .call::<Option<serde::de::IgnoredAny>>(&token.login, Ask::end_token())
                .await
            {
                let error = fault.into_forge(|| "the token".into(), api.host.name());
                tracing::info!(
                    forge.repo = repository,
                    error = &error as &dyn std::error::Error,
                    "a token could not be ended early"
                );
            }
        }
    }

    /// Returns whether there is a login at all.
    pub(super) fn is_somebody(&self) -> bool {
        !matches!(&self.kind, LoginKind::Fixed(login) if login.secret.is_none())
    }

    /// Returns the login for a repository, good for at least `life`.
    pub(super) async fn of(
        &self,
        api: &Api,
        owner: &str,
        name: &str,
        life: Duration,
    ) -> Result<(Login, Rights), Fault> {
        let (app, access, issued) = match &self.kind {
            LoginKind::Fixed(login) => return Ok((login.clone(), Rights::Unknown)),
            LoginKind::App { app, access, issued } => (app, *access, issued),
        };
        let repository = format!("{owner}/{name}").to_ascii_lowercase();
        // Held while a token is asked for, so that two steps do not ask for two.
        let mut issued = issued.lock().await;
        let now = OffsetDateTime::now_utc();
        issued.retain(|_, token| token.expires > now);
        if let Some(token) = issued.get(&repository).filter(|token| token.expires > now + life) {
            return Ok((token.login.clone(), token.rights));
        }
        let token = self.issue(api, app, access, owner, name).await?;
        let answer = (token.login.clone(), token.rights);
        issued.insert(repository, token);
        Ok(answer)
    }

    /// Drops a token that was not accepted, and not one that another call has in its place by now; returns whether
    /// there is another one to be had.
    pub(super) async fn drop_refused(&self, owner: &str, name: &str, refused: &Login) -> bool {
        let LoginKind::App { issued, .. } = &self.kind else {
            return false;
        };
        let repository = format!("{owner}/{name}").to_ascii_lowercase();
        let mut issued = issued.lock().await;
        if issued
            .get(&repository)
            .is_some_and(|token| token.login.secret == refused.secret)
        {
            issued.remove(&repository);
        }
        true
    }

    async fn issue(&self, api: &Api, app: &Login, access: Access, owner: &str, name: &str) -> Result<Issued, Fault> {
        let path = format!("/repos/{}/{}/installation", percent_encode(owner), percent_encode(name));
        let installation: Installation = api.call(app, Ask::get(path)).await?;
        let path = format!("/app/installations/{}/access_tokens", installation.id);
        let ask = |permissions: serde_json::Value| {
            Ask::token(
                path.clone(),
                json!({ "repositories": [name], "permissions": permissions }),
            )
        };
        // What the App was not given can't be asked for: then what is needed most, and to read at least.
        let least = json!({ "contents": "read", "metadata": "read" });
        let wanted = match access {
            Access::Push => vec![
                json!({ "contents": "write", "pull_requests": "write", "issues": "read", "metadata": "read" }),
                json!({ "contents": "write", "pull_requests": "write", "metadata": "read" }),
            ],
            Access::Read => {
                vec![json!({ "contents": "read", "pull_requests": "read", "issues": "read", "metadata": "read" })]
            }
        };
        let mut issued = None;
        for permissions in wanted {
            match api.call::<IssuedToken>(app, ask(permissions)).await {
                Err(Fault::Invalid(_)) => {}
                other => {
                    issued = Some(other?);
                    break;
                }
            }
        }
        let issued = match issued {
            Some(issued) => issued,
            None => api.call(app, ask(least)).await?,
        };
        let may = |permission: &str| issued.permissions.get(permission).is_some_and(|level| level == "write");
        let publish = if may("contents") && may("pull_requests") {
            Publish::Allowed
        } else {
            Publish::Refused
        };
        let format = &time::format_description::well_known::Rfc3339;
        let expires = OffsetDateTime::parse(&issued.expires_at, format)
            .map_err(|error| Fault::Forge(ForgeError::Internal { source: error.into() }))?;
        let key = format!("installation-{}", installation.id);
        Ok(Issued {
            login: Login::with_token(key, Secret::new(issued.token), &self.transport),
            rights: Rights::Granted { publish },
            expires,
        })
    }
}
