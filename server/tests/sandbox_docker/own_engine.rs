//! An engine of a test's own with all that it has in one folder, so that it can be ended, begun again, and filled.
//!
//! It has a bridge of its own and makes no rules of a network, so it disturbs no other engine (one that is to have no
//! bridge removes the machine's `docker0`); its containerd is its own, and outlives it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long an engine may take to answer, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Name of the image that it has, which has git and is small.
pub const SMALL: &str = "backspace-test-small:1";

/// A running engine. Ended when dropped, with its containers.
pub struct OwnEngine {
    folder: TempDir,
    bridge: Bridge,
    containerd: Child,
    engine: Option<Child>,
}

impl OwnEngine {
    /// Starts one that has the small image.
    pub fn start() -> Self {
        Self::start_in(TempDir::new().unwrap())
    }

    /// Starts one whose disk has a size.
    pub fn on_disk_of(mebibytes: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let (disk, data) = (folder.path().join("disk"), folder.path().join("data"));
        std::fs::create_dir(&data).unwrap();
        std::fs::File::create(&disk).unwrap().set_len(mebibytes << 20).unwrap();
        succeed(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&disk));
        succeed(Command::new("mount").args(["-o", "loop"]).args([&disk, &data]));
        Self::start_in(folder)
    }

    fn start_in(folder: TempDir) -> Self {
        let path = |name: &str| folder.path().join(name);
        let containerd = Command::new("containerd")
            .args(["--config", "/dev/null", "--address"])
            .arg(path("containerd.sock"))
            .arg("--root")
            .arg(path("data/containerd"))
            .arg("--state")
            .arg(path("containerd"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(path("containerd.log")).unwrap())
            .spawn()
            .unwrap();
        let mut engine = Self {
            containerd,
            engine: None,
            bridge: Bridge::make(),
            folder,
        };
        engine.begin();
        engine.docker(&["import", small_image(), SMALL]);
        engine
    }

    /// Starts the engine, again after `stop` or `kill`, and waits until it answers.
    pub fn begin(&mut self) {
        let path = |name: &str| self.folder.path().join(name);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(path("engine.log"));
        // What an engine that was killed left behind.
        drop(std::fs::remove_file(path("engine.pid")));
        let engine = Command::new("dockerd")
            .args([
                "--iptables=false",
                "--ip-forward=false",
                "--max-download-attempts=1",
                "--bridge",
            ])
            .arg(&self.bridge.name)
            .arg("--host")
            .arg(self.host())
            .arg("--containerd")
            .arg(path("containerd.sock"))
            .arg("--data-root")
            .arg(path("data/engine"))
            .arg("--exec-root")
            .arg(path("engine"))
            .arg("--pidfile")
            .arg(path("engine.pid"))
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        self.engine = Some(engine);
        let begun = Instant::now();
        while !self.run(&["version"]).status.success() {
            assert!(begun.elapsed() < PATIENCE, "the engine does not answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the engine in good order.
    pub fn stop(&mut self) {
        if let Some(engine) = self.engine.take() {
            end(engine, Signal::TERM);
        }
    }

    /// Ends the engine at once.
    pub fn kill(&mut self) {
        if let Some(engine) = self.engine.take() {
            end(engine, Signal::KILL);
        }
    }

    /// Returns where its socket is.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("engine.sock")
    }

    /// Returns the same as `DOCKER_HOST` says it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Runs the engine's client, which must succeed.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        let error = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "docker {arguments:?}: {error}");
        String::from_utf8(run.stdout).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut docker = Command::new("docker");
        docker.args(["--host", &self.host()]).args(arguments).output().unwrap()
    }

    /// Lists the containers and volumes that it has at all, but for the supervisor's.
    pub fn leftovers(&self) -> Vec<String> {
        let containers = self.docker(&["ps", "--all", "--format", "{{.Names}}"]);
        let volumes = self.docker(&["volume", "ls", "--format", "{{.Name}}"]);
        containers.lines().chain(volumes.lines()).map(str::to_owned).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("engine.log")).unwrap_or_default()
    }
}

/// A network interface to which nothing is ever attached.
struct Bridge {
    name: String,
}

impl Bridge {
    fn make() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let process = std::process::id();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("bt{:x}n{number}", process & 0xff_ffff);
        // Of the range for tests of networks between them.
        let address = format!(
            "198.{}.{}.{}/30",
            18 + process % 2,
            (process >> 1) & 0xff,
            (4 * number + 1) & 0xff
        );
        succeed(Command::new("ip").args(["link", "add", &name, "type", "bridge"]));
        let bridge = Self { name };
        succeed(Command::new("ip").args(["address", "add", &address, "dev", &bridge.name]));
        bridge
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["link", "delete", &self.name]).status());
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the engine\n{}\n---", self.log());
        }
        let containers = self.run(&["ps", "--all", "--quiet"]);
        for id in String::from_utf8_lossy(&containers.stdout).lines() {
            self.run(&["rm", "--force", "--volumes", id]);
        }
        self.stop();
        let containerd = Pid::from_child(&self.containerd);
        let _ = kill_process(containerd, Signal::TERM);
        drop(self.containerd.wait());
        // What an engine that was killed left mounted, and the disk.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let folder = self.folder.path().to_string_lossy();
        let own = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for place in own.filter(|place| place.starts_with(&*folder)).rev() {
            drop(Command::new("umount").args(["--lazy", place]).status());
        }
    }
}

fn end(mut process: Child, signal: Signal) {
    let _ = kill_process(Pid::from_child(&process), signal);
    let begun = Instant::now();
    while process.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            process.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn succeed(command: &mut Command) {
    let run = command.output().unwrap();
    assert!(run.status.success(), "{command:?}: {run:?}");
}

/// Returns the archive of the small image's root file system.
fn small_image() -> &'static str {
    static MADE: OnceLock<(TempDir, String)> = OnceLock::new();
    let (_, archive) = MADE.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let archive = folder.path().join("small.tar");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let script = root.join("tests/docker/small_image.sh");
        succeed(Command::new("sh").arg(script).arg(&archive));
        let name = archive.to_str().unwrap().to_owned();
        (folder, name)
    });
    archive
}
