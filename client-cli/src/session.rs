//! The server of one call: which it is, the connection to it, and its end if it is a private one.
//!
//! The order is: --server or its variable, the configuration file's default, a private server. For the
//! token it is: the command line, the configured server's own, the variables. A variable that was set for
//! one server must not go to another that has a token of its own.

use std::path::{Path, PathBuf};

use backspace_sdk::{Client, ClientIdentity, Options, Plaintext, Token};

use crate::args::Globals;
use crate::exit::Exit;
use crate::private::{self, Patience, Private, PrivateServer};
use crate::problem::Problem;
use crate::settings::{Home, PRIVATE, Secrecy, Server, Settings, read_checked};

/// A connected client, and what it is connected to.
pub(crate) struct Session {
    /// The client.
    pub(crate) client: Client,
    /// Whose server it is.
    pub(crate) ownership: Ownership,
    /// How to call this command again for the same server, in hints: `backspace --server X`.
    pub(crate) invocation: String,
    private: Option<Box<PrivateServer>>,
}

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// It runs whether we do or not.
    Shared,
    /// A private one that ends with this call.
    Ours,
    /// A private one of another command that runs now.
    OfAnotherCommand,
}

/// What the call needs of a private server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need<'a> {
    /// Any server with our data.
    Any,
    /// One that starts Tasks, on a repository at this path if it is a local one.
    Start(Option<&'a Path>),
}

/// Which server to use.
#[derive(Debug, PartialEq)]
enum Choice {
    Configured { server: Server, named_by: String },
    Private,
}

/// Which server a call would use, in words that need no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One that runs on its own.
    Shared,
    /// A private one.
    Private,
}

/// Tells which kind of server a call would use.
pub(crate) fn kind(globals: &Globals) -> Result<Kind, Problem> {
    Ok(
        match choose(
            globals,
            &Settings::load(globals.config.as_deref(), &Home::of_environment())?,
        ) {
            Choice::Configured { .. } => Kind::Shared,
            Choice::Private => Kind::Private,
        },
    )
}

impl Session {
    /// Connects to the server of this call, starting a private one if there is no other.
    pub(crate) async fn open(globals: &Globals, need: Need<'_>) -> Result<Self, Problem> {
        let home = Home::of_environment();
        let settings = Settings::load(globals.config.as_deref(), &home)?;
        match choose(globals, &settings) {
            Choice::Configured { server, named_by } => {
                let options = options(globals, &server, &TokenVariables::of_environment())?;
                let client = Client::connect(&server.address, options).await?;
                let by_variable = std::env::var("BACKSPACE_SERVER").is_ok_and(|variable| variable == named_by);
                let invocation = match named_by.as_str() {
                    name if name.is_empty() || by_variable => "backspace".to_owned(),
                    name => format!("backspace --server {}", crate::escape::line(name)),
                };
                Ok(Self {
                    client,
                    ownership: Ownership::Shared,
                    invocation,
                    private: None,
                })
            }
            Choice::Private => Self::open_private(&home, need).await,
        }
    }

    async fn open_private(home: &Home, need: Need<'_>) -> Result<Self, Problem> {
        let folder = home.data_folder().ok_or_else(|| {
            Problem::new(Exit::Unusable, "there is no home folder for a private server")
                .next("set HOME or XDG_DATA_HOME, or give --server ADDRESS")
        })?;
        let program = private::find_program(std::env::var_os("BACKSPACE_SERVER_BIN").map(PathBuf::from))?;
        let allow = match need {
            Need::Any => None,
            Need::Start(root) => root,
        };
        let invocation = "backspace".to_owned();
        match private::start(&program, folder, allow).await? {
            Private::Owned(server) => match Client::connect(server.address(), Options::default()).await {
                Ok(client) => Ok(Self {
                    client,
                    ownership: Ownership::Ours,
                    invocation,
                    private: Some(server),
                }),
                Err(error) => {
                    server.stop(Patience::Orderly).await?;
                    Err(error.into())
                }
            },
            Private::Joined { .. } if matches!(need, Need::Start(_)) => Err(Problem::new(
                Exit::Unusable,
                "another backspace command runs the private server, and a task started there would stop with it",
            )
            .next(
                "wait until it ends; for several tasks at once start `backspace-server` and set \
                           BACKSPACE_SERVER=http://127.0.0.1:8000",
            )),
            Private::Joined { address } => {
                let client = Client::connect(&address, Options::default()).await?;
                Ok(Self {
                    client,
                    ownership: Ownership::OfAnotherCommand,
                    invocation,
                    private: None,
                })
            }
        }
    }

    /// Ends the session; a private server of ours is stopped.
    pub(crate) async fn close(self, patience: Patience) -> Result<(), Problem> {
        match self.private {
            Some(server) => server.stop(patience).await,
            None => Ok(()),
        }
    }
}

fn choose(globals: &Globals, settings: &Settings) -> Choice {
    let named = |name: &str| settings.servers.get(name).cloned();
    match globals.server.as_deref().map(str::trim) {
        Some(PRIVATE) => Choice::Private,
        Some(given) if !given.is_empty() => {
            let server = named(given).unwrap_or_else(|| Server {
                address: given.to_owned(),
                token: None,
                token_file: None,
                ca: None,
                client_certificate: None,
                client_key: None,
                server_name: None,
                allow_plaintext: false,
            });
            Choice::Configured {
                server,
                named_by: given.to_owned(),
            }
        }
        _ => match settings.default.as_deref().and_then(named) {
            Some(server) => Choice::Configured {
                server,
                named_by: String::new(),
            },
            None => Choice::Private,
        },
    }
}

/// The token in the environment. Given, so that tests need not change the environment.
#[derive(Clone, Debug, Default)]
struct TokenVariables {
    token: Option<String>,
    token_file: Option<PathBuf>,
}

impl TokenVariables {
    fn of_environment() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        Self {
            token: set("BACKSPACE_TOKEN"),
            token_file: set("BACKSPACE_TOKEN_FILE").map(PathBuf::from),
        }
    }
}

fn options(globals: &Globals, server: &Server, variables: &TokenVariables) -> Result<Options, Problem> {
    let file = |path: &Path| {
        std::fs::read(path)
            .map_err(|error| Problem::new(Exit::Other, format!("cannot read {}: {error}", path.display())))
    };
    let token = match (&globals.token, &globals.token_file, &server.token, &server.token_file) {
        (Some(token), ..) | (None, None, Some(token), _) => Some(token.clone()),
        (None, Some(path), ..) | (None, None, None, Some(path)) => Some(read_checked(path, Secrecy::Secret)?),
        (None, None, None, None) => match (&variables.token, &variables.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(path)) => Some(read_checked(path, Secrecy::Secret)?),
            (None, None) => None,
        },
    };
    // An empty one is how a script says "none".
    let token = token
        .filter(|token| !token.trim().is_empty())
        .map(|token| Token::new(&token))
        .transpose()?;
    let identity = match (&server.client_certificate, &server.client_key) {
        (Some(certificates), Some(key)) => Some(ClientIdentity {
            certificates_pem: file(certificates)?,
            key_pem: file(key)?,
        }),
        _ => None,
    };
    let plaintext = globals.allow_plaintext || server.allow_plaintext;
    Ok(Options {
        token,
        ca_certificates_pem: globals
            .ca
            .as_ref()
            .or(server.ca.as_ref())
            .map(|path| file(path))
            .transpose()?,
        identity,
        server_name: server.server_name.clone(),
        plaintext: if plaintext {
            Plaintext::Anywhere
        } else {
            Plaintext::LoopbackOnly
        },
        user_agent: Some(concat!("backspace-cli/", env!("CARGO_PKG_VERSION")).to_owned()),
        ..Options::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        toml::from_str(
            "default = \"work\"\n[servers.work]\naddress = \"https://w\"\n[servers.home]\naddress = \"h:1\"\n",
        )
        .unwrap()
    }

    fn chosen(server: Option<&str>, settings: &Settings) -> Option<String> {
        let globals = Globals {
            server: server.map(str::to_owned),
            ..Globals::default()
        };
        match choose(&globals, settings) {
            Choice::Configured { server, .. } => Some(server.address),
            Choice::Private => None,
        }
    }

    #[test]
    fn the_server_is_the_one_given_then_the_default_then_a_private_one() {
        assert_eq!(chosen(Some("home"), &settings()).as_deref(), Some("h:1"));
        assert_eq!(chosen(Some("other:9"), &settings()).as_deref(), Some("other:9"));
        assert_eq!(chosen(Some("private"), &settings()), None);
        assert_eq!(chosen(None, &settings()).as_deref(), Some("https://w"));
        assert_eq!(chosen(Some(""), &settings()).as_deref(), Some("https://w"));
        assert_eq!(chosen(None, &Settings::default()), None);
    }

    #[test]
    fn the_token_is_the_one_typed_then_the_configured_one_then_the_variable() {
        let configured: Server = toml::from_str("address = \"h:1\"\ntoken = \"configured\"").unwrap();
        let bare: Server = toml::from_str("address = \"h:1\"").unwrap();
        let variables = TokenVariables {
            token: Some("variable".to_owned()),
            token_file: None,
        };
        let typed = Globals {
            token: Some("typed".to_owned()),
            ..Globals::default()
        };
        let none = Globals {
            token: Some(String::new()),
            ..Globals::default()
        };
        let token = |globals: &Globals, server: &Server| options(globals, server, &variables).unwrap().token;
        let some = |text: &str| Some(Token::new(text).unwrap());
        assert_eq!(token(&typed, &configured), some("typed"));
        assert_eq!(token(&Globals::default(), &configured), some("configured"));
        assert_eq!(token(&Globals::default(), &bare), some("variable"));
        assert_eq!(token(&none, &configured), None);
    }
}
