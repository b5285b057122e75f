//! `backspace-server doctor`: tries every part of this machine that a server needs, and says what to do.

use std::process::ExitCode;

use crate::app;
use crate::config::{Config, DockerSettings};
use crate::jobs::Jobs;

/// Checks the machine; fails when a server would not start.
pub async fn run(config: &Config) -> ExitCode {
    println!("settings      ok (backspace-server --print-config shows them)");
    println!("data folder   {}", config.data_folder.display());
    let jobs = Jobs::new();
    // A container that is kept ready for a Task would outlive this process, and no Task comes.
    let tried = Config {
        docker: DockerSettings {
            pool_size: 0,
            ..config.docker.clone()
        },
        ..config.clone()
    };
    let found = match app::find(&tried, &jobs).await {
        Ok(found) => found,
        Err(faults) => {
            faults.iter().for_each(|fault| println!("FAULT         {fault}"));
            println!("\nThe server would not start.");
            return ExitCode::FAILURE;
        }
    };
    println!("git           {} (refuses hostile objects)", found.git.version());
    println!(
        "sandbox       {}: every layer was tried and holds",
        found.sandboxes.name()
    );
    println!("  enforced    {}", found.capabilities.enforced.join(", "));
    found
        .capabilities
        .not_enforced
        .iter()
        .for_each(|sentence| println!("  not         {sentence}"));
    println!("models        {}", found.models.names().join(", "));
    println!(
        "default model {}",
        found.models.default_name().unwrap_or_else(|| "none".into())
    );
    let roots: Vec<_> = config
        .local_roots
        .iter()
        .map(|root| root.display().to_string())
        .collect();
    println!(
        "local folders {}",
        if roots.is_empty() {
            "none (--allow-local)".into()
        } else {
            roots.join(", ")
        }
    );
    found
        .degraded
        .iter()
        .for_each(|sentence| println!("degraded      {sentence}"));
    println!("\nThe server would start.");
    ExitCode::SUCCESS
}
