//! What a sandbox costs beside its alternatives: starting a command, getting a sandbox, memory, and output.
//!
//! A program, not a test: `make bench` runs it. All sides take turns within one run, since the load of a
//! machine changes from one minute to the next. `bench/sandbox.sh` says how to run it alone.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measuring program ends at the first thing that goes wrong"
)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::local::{DiskLimit, LocalConfig, LocalProvider};
use backspace_server::sandbox::{ExecSpec, OutputMode, Sandbox, SandboxProvider as _, SandboxSpec};
use tokio::sync::mpsc;

const MINUTE: Duration = Duration::from_secs(60);
const OUTPUT_MIB: u64 = 512;

/// Durations by what was measured, in the order of first mention.
#[derive(Default)]
struct Table {
    order: Vec<String>,
    times: BTreeMap<String, Vec<Duration>>,
}

impl Table {
    fn add(&mut self, name: &str, time: Duration) {
        if !self.times.contains_key(name) {
            self.order.push(name.to_owned());
        }
        self.times.entry(name.to_owned()).or_default().push(time);
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
            println!(
                "{name:<46} {:>6} {:>10.2} {:>10.2} {:>10.2}",
                times.len(),
                at(0.0),
                at(0.5),
                at(0.95)
            );
        }
    }
}

#[tokio::main]
async fn main() {
    let Some(supervisor) = std::env::var_os("BACKSPACE_BENCH_SUPERVISOR").map(PathBuf::from) else {
        println!("BACKSPACE_BENCH_SUPERVISOR names no supervisor; run `make bench`");
        return;
    };
    let rounds: u32 = std::env::var("BACKSPACE_BENCH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(200);
    let state = tempfile::tempdir().unwrap();
    let provider = |disk| {
        let mut config = LocalConfig::new(state.path().join(format!("{disk:?}")), &supervisor);
        config.disk = disk;
        LocalProvider::new(config, Jobs::new()).unwrap()
    };
    let (folders, images) = (provider(DiskLimit::Files), provider(DiskLimit::Automatic));
    let found = images.self_test().await.unwrap();
    println!("enforced: {}\n", found.enforced.join(", "));
    let has_images = found.enforced.iter().any(|name| name == "disk");

    let mut table = Table::default();
    commands(&folders, rounds, &mut table).await;
    readiness(&folders, images, has_images, rounds.div_ceil(4), &mut table).await;
    table.print();
    memory(&folders).await;
    output(&folders).await;
}

fn spec() -> SandboxSpec {
    SandboxSpec::of_no_task(Duration::from_secs(3600))
}

async fn timed<T>(table: &mut Table, name: &str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let result = work.await;
    table.add(name, begun.elapsed());
    result
}

/// One `true`, in turns.
async fn commands(provider: &LocalProvider, rounds: u32, table: &mut Table) {
    let sandbox = provider.create(spec()).await.unwrap();
    let true_spec = || ExecSpec {
        argv: vec!["/bin/true".into()],
        ..ExecSpec::shell("", MINUTE)
    };
    let has_bubblewrap = bubblewrap(&["/bin/true"]).status().is_ok_and(|status| status.success());
    for _ in 0..rounds {
        timed(table, "true: fork and exec", async {
            Command::new("/bin/true").status().unwrap()
        })
        .await;
        if has_bubblewrap {
            timed(table, "true: bubblewrap for each command", async {
                bubblewrap(&["/bin/true"]).status().unwrap()
            })
            .await;
        }
        let report = timed(table, "true: through the supervisor", sandbox.exec(true_spec(), None))
            .await
            .unwrap();
        assert_eq!(report.exit_code, Some(0));
    }
    sandbox.destroy().await.unwrap();
}

/// As one would use it: a read-only root, fresh /proc and /dev, every namespace.
fn bubblewrap(argv: &[&str]) -> Command {
    let mut command = Command::new("bwrap");
    command
        .args([
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--tmpfs",
            "/tmp",
            "--unshare-all",
        ])
        .arg("--")
        .args(argv)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

async fn readiness(folders: &LocalProvider, images: LocalProvider, has_images: bool, rounds: u32, table: &mut Table) {
    for _ in 0..rounds {
        let sandbox = timed(table, "sandbox ready: work tree in a folder", folders.create(spec()))
            .await
            .unwrap();
        timed(table, "sandbox destroyed: folder", sandbox.destroy())
            .await
            .unwrap();
        if has_images {
            let sandbox = timed(table, "sandbox ready: work tree in an image", images.create(spec()))
                .await
                .unwrap();
            timed(table, "sandbox destroyed: image", sandbox.destroy())
                .await
                .unwrap();
        }
    }
}

/// What supervisor, holder and init have to themselves while a command runs.
async fn memory(provider: &LocalProvider) {
    let sandbox = provider.create(spec()).await.unwrap();
    let (chunks, mut received) = mpsc::channel(1);
    let running = sandbox.exec(ExecSpec::shell("echo begun; exec sleep 1000", MINUTE), Some(chunks));
    tokio::select! {
        report = running => println!("the command ended early: {report:?}"),
        _ = received.recv() => {
            let sizes: Vec<_> = descendants(std::process::id())
                .into_iter()
                .filter_map(|process| {
                    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
                    Some((name.trim().to_owned(), private_kib(process)?))
                })
                .collect();
            let own: u64 = sizes.iter().filter(|(name, _)| name.starts_with("backspace-super")).map(|(_, size)| size).sum();
            println!("\nmemory over the command's own: {:.2} MiB private ({sizes:?} KiB)", own as f64 / 1024.0);
        }
    }
    sandbox.destroy().await.unwrap();
}

fn descendants(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", found[next]))
            .into_iter()
            .flatten()
            .flatten();
        for task in tasks {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(
                children
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
        next += 1;
    }
    found.split_off(1)
}

fn private_kib(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let sizes = text.lines().filter(|line| line.starts_with("Private_"));
    Some(
        sizes
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum(),
    )
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Half a GiB of output: by a plain pipe, streamed, and captured with live chunks.
async fn output(provider: &LocalProvider) {
    let sandbox = provider.create(spec()).await.unwrap();
    let command = format!("head -c {} /dev/zero", OUTPUT_MIB << 20);
    let mut table = Table::default();
    let mut growth = BTreeMap::new();
    for _ in 0..5 {
        timed(&mut table, "512 MiB: plain pipe", async { plain_pipe(&command) }).await;
        for (name, mode) in [
            ("512 MiB: streamed", OutputMode::Streamed),
            ("512 MiB: captured, shown live", OutputMode::Captured),
        ] {
            // The peak is counted anew from here.
            let _ = std::fs::write("/proc/self/clear_refs", "5");
            let before = peak_kib();
            let bytes = timed(&mut table, name, read_output(&sandbox, &command, mode)).await;
            let grown = growth.entry(name).or_insert((0, 0));
            *grown = (grown.0.max(peak_kib().saturating_sub(before)), bytes);
        }
    }
    println!();
    table.print();
    for (name, (kib, bytes)) in growth {
        println!(
            "{name}: server memory grew by {:.1} MiB at most; {:.1} MiB came to the reader",
            kib as f64 / 1024.0,
            bytes as f64 / 1048576.0
        );
    }
    sandbox.destroy().await.unwrap();
}

fn plain_pipe(command: &str) -> u64 {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().expect("a pipe was asked for");
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        match pipe.read(&mut buffer).unwrap() {
            0 => break,
            count => total += count as u64,
        }
    }
    child.wait().unwrap();
    total
}

async fn read_output(sandbox: &Arc<dyn Sandbox>, command: &str, mode: OutputMode) -> u64 {
    let (chunks, mut received) = mpsc::channel(16);
    let spec = ExecSpec {
        output: mode,
        ..ExecSpec::shell(command, MINUTE)
    };
    let (report, total) = tokio::join!(sandbox.exec(spec, Some(chunks)), async {
        let mut total = 0;
        while let Some(chunk) = received.recv().await {
            total += chunk.data.len() as u64;
        }
        total
    });
    assert_eq!(report.unwrap().total_bytes, OUTPUT_MIB << 20);
    total
}
