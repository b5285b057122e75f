//! `backspace-server token`: makes, lists and revokes the tokens of callers.
//!
//! It works on the file alone and needs no server; a server that runs sees the change by itself.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::api::auth::token_file::edit::{EditError, NewToken, TokenFile};

/// Returns the subcommand.
pub fn command() -> Command {
    let name = || Arg::new("name").required(true).value_name("NAME").help("the principal");
    Command::new("token")
        .about("make, list and revoke tokens of callers (in BACKSPACE_TOKENS_FILE)")
        .subcommand_required(true)
        .subcommand(
            Command::new("create")
                .about("make a token and print it; it is shown this once")
                .arg(name())
                .arg(
                    Arg::new("requester")
                        .long("requester")
                        .value_name("TEXT")
                        .help("who it is, for commits and logs: `Name <address>`"),
                )
                .arg(
                    Arg::new("repository")
                        .long("repository")
                        .value_name("PATTERN")
                        .action(ArgAction::Append)
                        .help("repositories it may use, e.g. https://github.com/acme/*; may be repeated"),
                )
                .arg(
                    Arg::new("starts-per-minute")
                        .long("starts-per-minute")
                        .value_name("NUMBER")
                        .value_parser(value_parser!(u32))
                        .help("most tasks it may start in a minute"),
                ),
        )
        .subcommand(Command::new("list").about("list principals, their tokens by the first digits of the hash"))
        .subcommand(
            Command::new("revoke")
                .about("revoke one token of a principal, or all")
                .arg(name())
                .arg(
                    Arg::new("digits")
                        .value_name("DIGITS")
                        .help("the first digits of the token's hash, as `list` shows them; all tokens without it"),
                ),
        )
}

/// Does what was asked and returns what to print.
pub fn run(matches: &ArgMatches, file: Option<PathBuf>) -> Result<String, String> {
    let file = file.ok_or("no file of tokens is set: give --tokens-file FILE, or set BACKSPACE_TOKENS_FILE")?;
    act(matches, file).map_err(|error| error.to_string())
}

fn act(matches: &ArgMatches, path: PathBuf) -> Result<String, EditError> {
    let mut file = TokenFile::open(&path)?;
    match matches.subcommand() {
        Some(("create", matches)) => {
            let text = |name: &str| matches.get_one::<String>(name).cloned();
            let patterns = matches.get_many::<String>("repository").into_iter().flatten();
            let new = NewToken {
                name: text("name").unwrap_or_default(),
                requester: text("requester"),
                repositories: patterns.cloned().collect(),
                starts_per_minute: matches.get_one("starts-per-minute").copied(),
            };
            let token = file.create(&new)?;
            Ok(format!("{token}\n"))
        }
        Some(("revoke", matches)) => {
            let name = matches.get_one::<String>("name").cloned().unwrap_or_default();
            let digits = matches.get_one::<String>("digits").map(String::as_str);
            let count = file.revoke(&name, digits)?;
            Ok(format!(
                "revoked {count} token{} of {name}\n",
                if count == 1 { "" } else { "s" }
            ))
        }
        _ => Ok(file.list().iter().map(line).collect()),
    }
}

fn line(listed: &crate::api::auth::token_file::edit::Listed) -> String {
    let repositories = match listed.repositories.as_slice() {
        [] => "no list of repositories".to_owned(),
        patterns => patterns.join(", "),
    };
    format!("{}  {}  {repositories}\n", listed.name, listed.tokens.join(" "))
}
