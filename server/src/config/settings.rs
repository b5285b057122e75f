//! Settings as given: flags, help, `--print-config` and the reference in `docs/configuration.md`, all
//! made from one `table`, so that none of them can drift.
//!
//! A value comes from a flag, else the environment, else `.env`, else the default. For a secret there
//! is a second variable with `_FILE` behind its name, and no flag: argv is visible to every process.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, Command};

mod table;

pub use table::{Kind, SETTINGS, Setting};

/// Values by variable, each with where it came from.
#[derive(Clone, Debug, Default)]
pub struct Values {
    values: BTreeMap<&'static str, (Vec<String>, Origin)>,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// The file `.env`.
    DotEnv,
    /// The table.
    Default,
}

impl Values {
    /// Gathers values; `environment` and `dot_env` are passed in so that tests need not change the process.
    pub fn gather(
        flags: &clap::ArgMatches,
        environment: &BTreeMap<String, String>,
        dot_env: &BTreeMap<String, String>,
    ) -> Self {
        let mut values = BTreeMap::new();
        for setting in SETTINGS.iter() {
            if let Some(found) = from_flags(setting, flags) {
                values.insert(setting.variable, (found, Origin::Flag));
                continue;
            }
            let sources = [(environment, Origin::Environment), (dot_env, Origin::DotEnv)];
            let found = sources
                .into_iter()
                .find_map(|(source, origin)| Some((from_variable(setting, source)?, origin)));
            if let Some(found) = found {
                values.insert(setting.variable, found);
            } else if !setting.default.is_empty() {
                values.insert(setting.variable, (vec![setting.default.to_owned()], Origin::Default));
            }
        }
        Self { values }
    }

    /// Returns a setting's value, `None` when it has none.
    pub fn text(&self, variable: &str) -> Option<&str> {
        self.values
            .get(variable)
            .and_then(|(values, _)| values.first())
            .map(String::as_str)
    }

    /// Returns a list setting's values.
    pub fn list(&self, variable: &str) -> Vec<String> {
        self.values
            .get(variable)
            .map(|(values, _)| values.clone())
            .unwrap_or_default()
    }

    /// Returns whether a switch is on.
    pub fn switch(&self, variable: &str) -> bool {
        self.text(variable)
            .is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
    }

    /// Returns all values as `VARIABLE=value  # origin` lines, secrets hidden.
    pub fn print(&self) -> String {
        let line = |setting: &Setting| {
            let (value, origin) = match self.values.get(setting.variable) {
                None => (String::new(), "not set"),
                Some((_, origin)) if setting.kind == Kind::Secret => ("(hidden)".to_owned(), origin.as_str()),
                Some((values, origin)) => (values.join(","), origin.as_str()),
            };
            format!("{}={value}  # {origin}\n", setting.variable)
        };
        SETTINGS.iter().map(line).collect()
    }
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::DotEnv => ".env",
            Self::Default => "default",
        }
    }
}

fn from_flags(setting: &Setting, flags: &clap::ArgMatches) -> Option<Vec<String>> {
    if setting.flag.is_empty() {
        return None;
    }
    match setting.kind {
        Kind::Switch => flags.get_flag(setting.flag).then(|| vec!["1".to_owned()]),
        Kind::Text | Kind::Secret | Kind::List => flags
            .get_many::<String>(setting.flag)
            .map(|values| values.cloned().collect()),
    }
}

fn from_variable(setting: &Setting, source: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let value = source
        .get(setting.variable)
        .map(|value| value.trim())
        .filter(|value| !value.is_empty());
    match setting.kind {
        Kind::List => value.map(|value| value.split(',').map(|part| part.trim().to_owned()).collect()),
        Kind::Secret if value.is_none() => {
            let path = source
                .get(&format!("{}_FILE", setting.variable))
                .filter(|path| !path.is_empty())?;
            // An unreadable file is reported as a fault by whoever needs the value.
            Some(vec![std::fs::read_to_string(path).ok()?.trim().to_owned()])
        }
        Kind::Text | Kind::Secret | Kind::Switch => value.map(|value| vec![value.to_owned()]),
    }
}

/// Makes the command line of the server from the table.
pub fn command() -> Command {
    let mut command = Command::new("backspace-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Backspace, a self-hosted coding agent as a gRPC service")
        .after_help("Every flag has the variable shown behind it; .env in the working folder is read too. Secrets have no flag: set NAME or NAME_FILE.")
        .arg(Arg::new("print-config").long("print-config").action(ArgAction::SetTrue).help("print all settings with their origin and exit"))
        .subcommand(Command::new("doctor").about("check this machine: sandbox, git, data folder, models, forges"))
        .subcommand(Command::new("settings").about("print the reference of all settings as Markdown").hide(true));
    for setting in SETTINGS.iter().filter(|setting| !setting.flag.is_empty()) {
        let default = if setting.default.is_empty() {
            String::new()
        } else {
            format!(", default {}", setting.default)
        };
        let help = format!("{} [{}{default}]", setting.help, setting.variable);
        let arg = Arg::new(setting.flag).long(setting.flag).help(help).global(true);
        command = command.arg(match setting.kind {
            Kind::Switch => arg.action(ArgAction::SetTrue),
            Kind::List => arg.action(ArgAction::Append).value_name("VALUE"),
            Kind::Text | Kind::Secret => arg.value_name("VALUE"),
        });
    }
    command
}

/// Returns the reference of all settings as Markdown.
pub fn reference() -> String {
    let mut text = String::from(
        "# Settings of the server\n\nMade from the server's own table (`backspace-server settings`); a test compares the two.\n\nA value comes from a flag, else the environment, else the file `.env` in the working folder, else the default.\nA secret has no flag; `NAME_FILE` names a file that holds it.\n\n| variable | flag | default | meaning |\n| --- | --- | --- | --- |\n",
    );
    for setting in SETTINGS.iter() {
        let flag = if setting.flag.is_empty() {
            String::new()
        } else {
            format!("`--{}`", setting.flag)
        };
        let default = if setting.default.is_empty() {
            String::new()
        } else {
            format!("`{}`", setting.default)
        };
        text.push_str(&format!(
            "| `{}` | {flag} | {default} | {} |\n",
            setting.variable, setting.help
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn flags_win_over_environment_over_dot_env_over_defaults() {
        let flags = command().get_matches_from([
            "backspace-server",
            "--max-turns",
            "1",
            "--allow-local",
            "/a",
            "--allow-local",
            "/b",
        ]);
        let environment = map(&[
            ("BACKSPACE_MAX_TURNS", "2"),
            ("MAX_CONCURRENT_JOBS", "7"),
            ("DEBUG", "True"),
        ]);
        let dot_env = map(&[
            ("MAX_CONCURRENT_JOBS", "8"),
            ("RATE_LIMIT_REQUESTS", "9"),
            ("OPENAI_API_KEY", "sk-x"),
        ]);
        let values = Values::gather(&flags, &environment, &dot_env);
        assert_eq!(values.text("BACKSPACE_MAX_TURNS"), Some("1"));
        assert_eq!(values.list("BACKSPACE_ALLOW_LOCAL"), ["/a", "/b"]);
        assert_eq!(values.text("MAX_CONCURRENT_JOBS"), Some("7"));
        assert_eq!(values.text("RATE_LIMIT_REQUESTS"), Some("9"));
        assert_eq!(values.text("SANDBOX_TIMEOUT"), Some("300"));
        assert!(values.switch("DEBUG"));
        let printed = values.print();
        assert!(printed.contains("OPENAI_API_KEY=(hidden)  # .env"));
        assert!(!printed.contains("sk-x"));
    }

    #[test]
    fn the_reference_in_the_documentation_is_the_table() {
        let written = include_str!("../../../docs/configuration.md");
        assert_eq!(
            written,
            reference(),
            "run: backspace-server settings > docs/configuration.md"
        );
    }

    #[test]
    fn the_example_file_has_every_setting_once_with_its_default() {
        let written = include_str!("../../../.env.example");
        let lines = written
            .lines()
            .filter(|line| line.starts_with('#') && !line.starts_with("# "));
        let mut lines: Vec<_> = lines.map(ToOwned::to_owned).collect();
        let mut wanted: Vec<_> = SETTINGS
            .iter()
            .map(|setting| format!("#{}={}", setting.variable, setting.default))
            .collect();
        lines.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(lines, wanted, "the lines of .env.example and the table");
        // Read as it is, it sets nothing.
        assert!(written.lines().all(|line| line.is_empty() || line.starts_with('#')));
    }

    #[test]
    fn no_secret_can_be_given_on_the_command_line() {
        assert!(
            SETTINGS
                .iter()
                .filter(|setting| setting.kind == Kind::Secret)
                .all(|setting| setting.flag.is_empty())
        );
        command().debug_assert();
    }
}
