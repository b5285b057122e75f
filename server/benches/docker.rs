//! What a container costs beside its alternatives: getting one, new or kept ready, and starting a command in it.
//!
//! A program, not a test: `bench/docker.sh` runs it on an engine. All sides take turns within one run, since the load of a
//! machine changes from one minute to the next.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measuring program ends at the first thing that goes wrong"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::docker::{DockerConfig, DockerProvider, EngineAddress};
use backspace_server::sandbox::{ExecSpec, Sandbox, SandboxProvider as _, SandboxSpec};
use bollard::Docker;
use bollard::exec::{CreateExecOptions, StartExecResults};
use tokio_stream::StreamExt as _;

const MINUTE: Duration = Duration::from_secs(60);

/// Durations by what was measured, in the order of first mention.
#[derive(Default)]
struct Table {
    order: Vec<&'static str>,
    times: BTreeMap<&'static str, Vec<Duration>>,
}

impl Table {
    async fn time<T>(&mut self, name: &'static str, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let result = work.await;
        if !self.times.contains_key(name) {
            self.order.push(name);
        }
        self.times.entry(name).or_default().push(begun.elapsed());
        result
    }

    fn print(&self) {
        println!(
            "{:<46} {:>6} {:>10} {:>10} {:>10}",
            "", "runs", "min ms", "median ms", "p95 ms"
        );
        for name in &self.order {
            let mut times = self.times[name].clone();
            times.sort();
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
            let (runs, least, median, most) = (times.len(), at(0.0), at(0.5), at(0.95));
            println!("{name:<46} {runs:>6} {least:>10.2} {median:>10.2} {most:>10.2}");
        }
    }
}

#[tokio::main]
async fn main() {
    let (Some(supervisor), Ok(image)) = (
        std::env::var_os("BACKSPACE_BENCH_SUPERVISOR").map(PathBuf::from),
        std::env::var("BACKSPACE_BENCH_IMAGE"),
    ) else {
        println!("BACKSPACE_BENCH_SUPERVISOR or BACKSPACE_BENCH_IMAGE is not set; run bench/docker.sh");
        return;
    };
    let rounds: u32 = std::env::var("BACKSPACE_BENCH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20);
    let state = tempfile::tempdir().unwrap();
    let jobs = Jobs::new();
    let provider = |name: &str, pool_size| {
        let config = DockerConfig {
            pool_size,
            ..DockerConfig::new(state.path().join(name), &supervisor, &image)
        };
        DockerProvider::new(config, jobs.clone()).unwrap()
    };
    let (cold, pooled) = (provider("cold", 0), provider("pooled", 1));
    let found = cold.self_test().await.unwrap();
    println!("enforced: {}\n", found.enforced.join(", "));
    pooled.self_test().await.unwrap();

    let mut table = Table::default();
    readiness(&cold, &pooled, rounds, &mut table).await;
    commands(&cold, state.path(), rounds * 10, &mut table).await;
    table.print();
    println!("\npool: {:?}", pooled.pool().unwrap());
    jobs.shutdown(MINUTE).await;
    for provider in [&cold, &pooled] {
        provider.sweep(&[]).await.unwrap();
    }
}

/// A sandbox, from being asked for to the end of its first command.
async fn readiness(cold: &DockerProvider, pooled: &DockerProvider, rounds: u32, table: &mut Table) {
    for _ in 0..rounds {
        let sandbox = table
            .time("sandbox: a new container", cold.create(spec()))
            .await
            .unwrap();
        run_true(sandbox.as_ref()).await;
        table.time("sandbox destroyed", sandbox.destroy()).await.unwrap();
        // A warm pool, on an engine that does nothing else: the next one is made in the rest of the round.
        while pooled.pool().unwrap().ready == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let made = table.time("sandbox: one that was ready", pooled.create(spec())).await;
        let sandbox = made.unwrap();
        run_true(sandbox.as_ref()).await;
        sandbox.destroy().await.unwrap();
        while pooled.pool().unwrap().ready == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// One `true`: the engine's way, the supervisor's in the same container, and no sandbox at all.
async fn commands(provider: &DockerProvider, state: &Path, rounds: u32, table: &mut Table) {
    let engine = engine();
    let sandbox = provider.create(spec()).await.unwrap();
    let container = format!("backspace-{}", sandbox.id());
    for _ in 0..rounds {
        let plain = async { Command::new("/bin/true").current_dir(state).status().unwrap() };
        table.time("true: fork and exec", plain).await;
        let inside = run_true(sandbox.as_ref());
        table.time("true: through the supervisor", inside).await;
        table.time("true: the engine's exec", exec(&engine, &container)).await;
    }
    sandbox.destroy().await.unwrap();
}

fn engine() -> Docker {
    let EngineAddress::Socket(socket) = EngineAddress::default() else {
        unreachable!("the usual engine is at a socket")
    };
    Docker::connect_with_unix(&socket.to_string_lossy(), 60, bollard::API_DEFAULT_VERSION).unwrap()
}

async fn exec(engine: &Docker, container: &str) {
    let options = CreateExecOptions {
        cmd: Some(vec!["/bin/true"]),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..CreateExecOptions::default()
    };
    let made = engine.create_exec(container, options).await.unwrap();
    if let StartExecResults::Attached { mut output, .. } = engine.start_exec(&made.id, None).await.unwrap() {
        while output.next().await.is_some() {}
    }
    let ended = engine.inspect_exec(&made.id).await.unwrap();
    assert_eq!(ended.exit_code, Some(0));
}

fn spec() -> SandboxSpec {
    SandboxSpec::of_no_task(Duration::from_secs(3600))
}

async fn run_true(sandbox: &dyn Sandbox) {
    let spec = ExecSpec {
        argv: vec!["/bin/true".into()],
        ..ExecSpec::shell("", MINUTE)
    };
    assert_eq!(sandbox.exec(spec, None).await.unwrap().exit_code, Some(0));
}
