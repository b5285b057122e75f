//! The process: settings → logging → parts → serve → drain → exit code.
//!
//! Exit codes: 0 after an ordered stop, 1 when the server failed, 64 when the configuration is wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use backspace_server::config::{Config, settings};
use backspace_server::orchestrator::analyse::code_map::child as outline;
use backspace_server::telemetry::Telemetry;
use backspace_server::{app, doctor, shutdown, telemetry, tokens};

const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    // Before all else: the process that parses is to have nothing.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == outline::SUBCOMMAND)
    {
        return match outline::main() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("backspace-server: a TLS provider was installed twice");
        return ExitCode::FAILURE;
    }
    let flags = settings::command().subcommand(tokens::command()).get_matches();
    if flags.subcommand_matches("settings").is_some() {
        print!("{}", settings::reference());
        return ExitCode::SUCCESS;
    }
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let dot_env = match read_dot_env() {
        Ok(values) => values,
        Err(error) => return usage(&format!("{error:#}")),
    };
    let values = settings::Values::gather(&flags, &environment, &dot_env);
    if flags.get_flag("print-config") {
        print!("{}", values.print());
        return ExitCode::SUCCESS;
    }
    if let Some(matches) = flags.subcommand_matches("token") {
        return change_tokens(matches, values.text("BACKSPACE_TOKENS_FILE").map(PathBuf::from));
    }
    let config = match Config::new(&values, data_home(&environment)) {
        Ok(config) => config,
        Err(faults) => return usage(&faults.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("backspace-server: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = if flags.subcommand_matches("doctor").is_some() {
        runtime.block_on(doctor::run(&config))
    } else {
        let (code, telemetry) = runtime.block_on(serve(config));
        telemetry.shut_down();
        code
    };
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    code
}

async fn serve(config: Config) -> (ExitCode, Telemetry) {
    let redactor = Arc::new(app::redactor(&config));
    let telemetry = match telemetry::install(&config.log, &config.telemetry, Arc::clone(&redactor)) {
        Ok(telemetry) => telemetry,
        Err(error) => return (usage(&error.to_string()), Telemetry::default()),
    };
    let code = match app::App::build(config, redactor).await {
        Ok(app) => match app.run(shutdown::signal()).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!("the server failed: {error:#}");
                ExitCode::FAILURE
            }
        },
        Err(app::BuildError::Faults(faults)) => {
            let mut text = String::from("the server can't start:");
            faults.iter().for_each(|fault| text.push_str(&format!("\n  {fault}")));
            usage(&text)
        }
    };
    (code, telemetry)
}

fn change_tokens(matches: &clap::ArgMatches, file: Option<PathBuf>) -> ExitCode {
    match tokens::run(matches, file) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(message) => usage(&message),
    }
}

fn usage(message: &str) -> ExitCode {
    eprintln!("backspace-server: {message}");
    ExitCode::from(EX_USAGE)
}

fn read_dot_env() -> anyhow::Result<BTreeMap<String, String>> {
    let lines = match dotenvy::from_path_iter(".env") {
        Ok(lines) => lines,
        Err(error) if error.not_found() => return Ok(BTreeMap::new()),
        Err(error) => return Err(error).context(".env can't be read"),
    };
    lines
        .collect::<Result<_, _>>()
        .context(".env has a line that is not NAME=value")
}

fn data_home(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let set = |name: &str| {
        environment
            .get(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")))
}
