//! The binary `backspace-supervisor`: launcher of the `local` backend and, forked from it, PID 1 of a sandbox; or PID 1
//! of a container.
//!
//! Reads its mode from the command line and nothing else; what a mode needs comes over stdin.

#[cfg(target_os = "linux")]
mod contain;
#[cfg(target_os = "linux")]
mod launch;

fn main() {
    let mode = std::env::args_os().nth(1);
    match mode.as_deref().and_then(|mode| mode.to_str()) {
        #[cfg(target_os = "linux")]
        Some("launch") => launch::main(),
        #[cfg(target_os = "linux")]
        Some("contain") => contain::main(),
        #[cfg(target_os = "linux")]
        Some("probe") => probe(),
        Some("--version") => println!("backspace-supervisor {}", env!("CARGO_PKG_VERSION")),
        _ => {
            eprintln!("usage: backspace-supervisor launch, with a plan on stdin; the server starts it");
            std::process::exit(2);
        }
    }
}

/// Prints what a process here may do; arguments are addresses to connect to and paths to open.
#[cfg(target_os = "linux")]
fn probe() {
    let (addresses, paths): (Vec<_>, Vec<_>) = std::env::args().skip(2).partition(|text| !text.starts_with('/'));
    let addresses: Vec<_> = addresses.iter().filter_map(|text| text.parse().ok()).collect();
    match serde_json::to_string(&sandbox_supervisor::probe::run(&addresses, &paths)) {
        Ok(report) => println!("{report}"),
        Err(error) => eprintln!("the report can't be written: {error}"),
    }
}
