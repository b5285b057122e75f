//! The table of settings: one row each, from which the flags, the help, `--print-config` and the
//! reference in `docs/configuration.md` are made, so that none of them can drift.
//!
//! A value comes from a flag, else the environment, else `.env`, else the default. For a secret there
//! is a second variable with `_FILE` behind its name, and no flag: argv is visible to every process.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, Command};

/// What kind of value a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A secret; never printed.
    Secret,
    /// A list: repeat the flag, or separate by commas in the variable.
    List,
    /// Present or absent; `1`, `true`, `yes` and `on` in the variable.
    Switch,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Environment variable.
    pub variable: &'static str,
    /// Long flag, empty for none.
    pub flag: &'static str,
    /// What kind of value.
    pub kind: Kind,
    /// Default as text; empty for none.
    pub default: &'static str,
    /// What it does, with its unit.
    pub help: &'static str,
}

const fn setting(
    variable: &'static str,
    flag: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        variable,
        flag,
        kind,
        default,
        help,
    }
}

/// Every setting of the server.
pub const SETTINGS: &[Setting] = &[
    setting(
        "BACKSPACE_LISTEN",
        "listen",
        Kind::Text,
        "127.0.0.1:8000",
        "address and port for gRPC, gRPC-Web and HTTP",
    ),
    setting(
        "BACKSPACE_DATA_FOLDER",
        "data-folder",
        Kind::Text,
        "",
        "where tasks, mirrors and sandboxes are kept; default $XDG_DATA_HOME/backspace-server",
    ),
    setting(
        "BACKSPACE_READY_FILE",
        "ready-file",
        Kind::Text,
        "",
        "written with the bound address once the server answers",
    ),
    setting(
        "BACKSPACE_EXIT_WITH_PARENT",
        "exit-with-parent",
        Kind::Switch,
        "",
        "stop when standard input ends",
    ),
    setting(
        "BACKSPACE_TOKENS_FILE",
        "tokens-file",
        Kind::Text,
        "",
        "TOML file of principals with hashed tokens; without it only loopback is served",
    ),
    setting(
        "BACKSPACE_INSECURE_NO_AUTH",
        "insecure-no-auth",
        Kind::Switch,
        "",
        "serve any address without authentication",
    ),
    setting(
        "BACKSPACE_PUBLIC_URL",
        "public-url",
        Kind::Text,
        "",
        "address of this server as people reach it, for links in pull requests",
    ),
    setting(
        "BACKSPACE_ALLOW_LOCAL",
        "allow-local",
        Kind::List,
        "",
        "folders whose git repositories may be used by path",
    ),
    setting(
        "BACKSPACE_SANDBOX",
        "sandbox",
        Kind::Text,
        "auto",
        "sandbox backend: auto, docker or local",
    ),
    setting(
        "BACKSPACE_SUPERVISOR",
        "supervisor",
        Kind::Text,
        "",
        "the backspace-supervisor binary; default beside the server's own",
    ),
    setting(
        "BACKSPACE_SANDBOX_MEMORY_MIB",
        "sandbox-memory-mib",
        Kind::Text,
        "2048",
        "memory of one sandbox, in MiB",
    ),
    setting(
        "BACKSPACE_SANDBOX_CPUS",
        "sandbox-cpus",
        Kind::Text,
        "2",
        "processors of one sandbox",
    ),
    setting(
        "BACKSPACE_SANDBOX_PIDS",
        "sandbox-pids",
        Kind::Text,
        "512",
        "processes and threads of one sandbox",
    ),
    setting(
        "BACKSPACE_SANDBOX_DISK_MIB",
        "sandbox-disk-mib",
        Kind::Text,
        "10240",
        "what one work tree may grow by, in MiB",
    ),
    setting(
        "BACKSPACE_IMAGE",
        "image",
        Kind::Text,
        "backspace-sandbox:latest",
        "default container image of the docker backend",
    ),
    setting(
        "BACKSPACE_ALLOWED_IMAGES",
        "allowed-images",
        Kind::List,
        "",
        "image patterns that a task may ask for; only the default when empty",
    ),
    setting(
        "BACKSPACE_ALLOWED_HOSTS",
        "allowed-hosts",
        Kind::List,
        "",
        "host patterns that tasks may ask to reach from commands; none when empty",
    ),
    setting(
        "BACKSPACE_PROTECTED_PATHS",
        "protected-paths",
        Kind::List,
        "",
        "more path patterns that a change may not touch",
    ),
    setting(
        "BACKSPACE_MODEL",
        "model",
        Kind::Text,
        "",
        "model used when a task names none, as provider/model or provider",
    ),
    setting(
        "BACKSPACE_MODELS_FILE",
        "models-file",
        Kind::Text,
        "",
        "TOML file of further providers, windows and prices",
    ),
    setting(
        "BACKSPACE_SCRIPTS",
        "scripts",
        Kind::Text,
        "",
        "folder of scripted models, for demonstrations and tests",
    ),
    setting(
        "ANTHROPIC_API_KEY",
        "",
        Kind::Secret,
        "",
        "key of the provider `anthropic`",
    ),
    setting(
        "ANTHROPIC_BASE_URL",
        "anthropic-base-url",
        Kind::Text,
        "https://api.anthropic.com",
        "address of the provider `anthropic`",
    ),
    setting("OPENAI_API_KEY", "", Kind::Secret, "", "key of the provider `openai`"),
    setting(
        "OPENAI_BASE_URL",
        "openai-base-url",
        Kind::Text,
        "https://api.openai.com/v1",
        "address of the provider `openai`",
    ),
    setting(
        "GITHUB_TOKEN",
        "",
        Kind::Secret,
        "",
        "token for github.com: fine-grained with contents and pull requests, or classic",
    ),
    setting(
        "BACKSPACE_PUBLICATION",
        "publication",
        Kind::Text,
        "draft",
        "what becomes of a change unless a task says so: draft, ready, branch or patch",
    ),
    setting(
        "MAX_CONCURRENT_JOBS",
        "max-concurrent-jobs",
        Kind::Text,
        "5",
        "tasks running at once",
    ),
    setting(
        "RATE_LIMIT_REQUESTS",
        "rate-limit-requests",
        Kind::Text,
        "10",
        "calls a minute that start work, for each principal",
    ),
    setting(
        "SANDBOX_TIMEOUT",
        "sandbox-timeout",
        Kind::Text,
        "300",
        "default limit of one command or verification, in seconds",
    ),
    setting(
        "BACKSPACE_VERIFICATION_TIMEOUT",
        "verification-timeout",
        Kind::Text,
        "1800",
        "longest limit of one verification command, in seconds",
    ),
    setting(
        "BACKSPACE_MAX_TURNS",
        "max-turns",
        Kind::Text,
        "200",
        "most model turns of a task",
    ),
    setting(
        "BACKSPACE_MAX_TOKENS",
        "max-tokens",
        Kind::Text,
        "2000000",
        "most uncached input and output tokens of a task",
    ),
    setting(
        "BACKSPACE_MAX_DURATION",
        "max-duration",
        Kind::Text,
        "3600",
        "longest wall time of a task from its first turn, in seconds",
    ),
    setting(
        "BACKSPACE_MAX_COST_USD",
        "max-cost-usd",
        Kind::Text,
        "",
        "most money of a task, in US dollars; unlimited when empty",
    ),
    setting(
        "BACKSPACE_RETENTION_DAYS",
        "retention-days",
        Kind::Text,
        "30",
        "days that events and artifacts of an ended task are kept",
    ),
    setting(
        "LOG_LEVEL",
        "log-level",
        Kind::Text,
        "info",
        "error, warn, info, debug or trace, or a filter such as backspace_server=debug",
    ),
    setting("BACKSPACE_LOG_FORMAT", "log-format", Kind::Text, "text", "text or json"),
    setting(
        "DEBUG",
        "debug",
        Kind::Switch,
        "",
        "the same as LOG_LEVEL=debug and BACKSPACE_LOG_FORMAT=text",
    ),
    setting(
        "ENABLE_TRACING",
        "enable-tracing",
        Kind::Switch,
        "",
        "export traces; this release reads it and says that it has no exporter yet",
    ),
    setting(
        "JAEGER_ENDPOINT",
        "jaeger-endpoint",
        Kind::Text,
        "",
        "where traces go; read, not used yet",
    ),
    setting(
        "LANGCHAIN_TRACING_V2",
        "langchain-tracing-v2",
        Kind::Switch,
        "",
        "export to LangSmith; read, not used yet",
    ),
    setting(
        "LANGCHAIN_PROJECT",
        "langchain-project",
        Kind::Text,
        "",
        "project at LangSmith; read, not used yet",
    ),
    setting(
        "LANGCHAIN_API_KEY",
        "",
        Kind::Secret,
        "",
        "key of LangSmith; read, not used yet",
    ),
];

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
        for setting in SETTINGS {
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
    for setting in SETTINGS {
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
