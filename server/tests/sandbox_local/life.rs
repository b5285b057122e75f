//! How a sandbox comes to be, is left, entered again, and ends.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::{ExecSpec, SandboxError, SandboxProvider as _};
use sandbox_supervisor::frame::{self, Decoder};
use sandbox_supervisor::plan::{Identity, LaunchLimits, LaunchPlan, Tree};
use sandbox_supervisor::protocol::{ExecDone, ExecRequest, Output, kind};

use crate::fixture::{Backend, config, is_root, provider, supervisor};
use crate::inside::{MINUTE, output, spec};

#[tokio::test]
async fn a_destroyed_sandbox_leaves_nothing_and_may_be_destroyed_again() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    output(sandbox.as_ref(), "mkdir -p a/b && touch a/b/c && chmod 000 a/b a").await;
    sandbox.destroy().await.unwrap();
    assert_eq!(backend.leftovers(), Vec::<String>::new());
    sandbox.destroy().await.unwrap();
    let lost = sandbox.exec(ExecSpec::shell("true", MINUTE), None).await;
    assert!(matches!(lost, Err(SandboxError::Lost { .. })), "{lost:?}");
}

#[tokio::test]
async fn a_deep_tree_is_removed_too() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let deep = "perl -e 'for (1..6000) { mkdir \"d\" or die; chdir \"d\" or die }'";
    output(sandbox.as_ref(), deep).await;
    sandbox.destroy().await.unwrap();
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_restarted_server_enters_the_work_tree_again() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    output(sandbox.as_ref(), "echo kept > file").await;
    let id = sandbox.id();
    sandbox.detach().await;
    drop(sandbox);

    let restarted = provider(backend.state.path());
    let mut spec = spec();
    spec.id = id;
    let again = restarted.reattach(spec.clone()).await.unwrap().unwrap();
    assert_eq!(
        output(again.as_ref(), "cat file && echo more >> file && id -u").await,
        "kept\n1000\n"
    );
    again.destroy().await.unwrap();
    assert!(restarted.reattach(spec).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn entering_again_first_waits_for_the_death_of_what_ran() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let id = sandbox.id();
    let beat = "while :; do echo x >> beat; done";
    let running = Jobs::new().spawn("beat", {
        let sandbox = std::sync::Arc::clone(&sandbox);
        async move { sandbox.exec(ExecSpec::shell(beat, MINUTE), None).await }
    });
    let file = backend
        .state
        .path()
        .join("sandboxes")
        .join(id.to_string())
        .join("work/beat");
    wait_until("the command beats", || file.exists());
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    // As after a crash: nobody says goodbye.
    drop(sandbox);

    let mut spec = spec();
    spec.id = id;
    let again = provider(backend.state.path()).reattach(spec).await.unwrap().unwrap();
    let first = output(again.as_ref(), "wc -c < beat").await;
    output(
        again.as_ref(),
        "i=0; while test $i -lt 50; do date > /dev/null; i=$((i+1)); done",
    )
    .await;
    assert_eq!(output(again.as_ref(), "wc -c < beat").await, first);
    again.destroy().await.unwrap();
}

#[tokio::test]
async fn a_sandbox_ends_at_its_deadline() {
    let backend = Backend::new();
    let mut spec = spec();
    spec.deadline = Duration::from_millis(500);
    let sandbox = backend.provider.create(spec).await.unwrap();
    let ended = sandbox.exec(ExecSpec::shell("sleep 50", MINUTE), None).await;
    assert!(matches!(ended, Err(SandboxError::Lost { .. })), "{ended:?}");
    sandbox.destroy().await.unwrap();
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_sweep_removes_what_is_not_kept_and_not_alive() {
    let backend = Backend::new();
    let (left, kept) = (backend.sandbox().await, backend.sandbox().await);
    left.detach().await;
    kept.detach().await;
    let restarted = provider(backend.state.path());
    let alive = restarted.create(spec()).await.unwrap();
    assert_eq!(restarted.sweep(&[kept.id()]).await.unwrap(), 1);
    let mut expected = vec![kept.id().to_string(), alive.id().to_string()];
    expected.sort();
    let mut found = backend.leftovers();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(output(alive.as_ref(), "echo alive").await, "alive\n");
    alive.destroy().await.unwrap();
}

#[tokio::test]
async fn a_sandbox_that_could_not_be_made_leaves_nothing() {
    let backend = Backend::new();
    let mut config = config(backend.state.path());
    config.supervisor = "/usr/bin/false".into();
    let broken = backspace_server::sandbox::local::LocalProvider::new(config, Jobs::new()).unwrap();
    assert!(broken.create(spec()).await.is_err());
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_sandbox_is_not_made_over_another_of_the_same_id() {
    let backend = Backend::new();
    let spec = spec();
    let first = backend.provider.create(spec.clone()).await.unwrap();
    output(first.as_ref(), "echo mine > file").await;
    assert!(backend.provider.create(spec).await.is_err());
    assert_eq!(output(first.as_ref(), "cat file").await, "mine\n");
    first.destroy().await.unwrap();
}

/// The launcher without a server: what is left when the server is killed.
#[test]
fn when_the_launcher_or_the_server_is_killed_the_sandbox_dies() {
    for kill_launcher in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path());
        let mut launcher = Command::new(supervisor())
            .arg("launch")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut input = launcher.stdin.take().unwrap();
        input.write_all(&plan.encode().unwrap()).unwrap();
        // PID 1 greets as soon as it is complete.
        launcher.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", launcher.id())).unwrap();
        let process = format!("/proc/{}", children.trim());
        assert!(Path::new(&process).exists());
        if kill_launcher {
            launcher.kill().unwrap();
        } else {
            // The kernel closes the pipe of a killed server.
            drop(input);
        }
        let begun = Instant::now();
        wait_until("PID 1 is dead", || {
            !Path::new(&process).exists()
                || fs::read_to_string(format!("{process}/stat")).is_ok_and(|text| text.contains(") Z "))
        });
        assert!(begun.elapsed() < Duration::from_secs(5));
        launcher.wait().unwrap();
    }
}

/// A sandbox by the launcher alone, started by a shell that does something first.
pub struct RawSandbox {
    launcher: std::process::Child,
    decoder: Decoder,
    streams: u32,
    _folder: tempfile::TempDir,
}

impl RawSandbox {
    pub fn start(first: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut launcher = Command::new("bash")
            .args(["-c", &format!("{first} exec \"$0\" launch")])
            .arg(supervisor())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let plan = plan(folder.path()).encode().unwrap();
        launcher.stdin.as_mut().unwrap().write_all(&plan).unwrap();
        let mut sandbox = Self {
            launcher,
            decoder: Decoder::default(),
            streams: 0,
            _folder: folder,
        };
        let hello: serde_json::Value = serde_json::from_slice(&sandbox.next(kind::HELLO)).unwrap();
        let attach = serde_json::json!({
            "version": hello["version"], "epoch": 1, "deadline_seconds": 60, "environment": [], "tunnel": false,
        });
        sandbox.send(kind::ATTACH, 0, &attach);
        sandbox.next(kind::HELLO);
        sandbox
    }

    /// Runs a command line; returns its exit status and the head of what it wrote.
    pub fn run(&mut self, command: &str) -> (Option<i32>, String) {
        self.streams += 1;
        let request = ExecRequest {
            argv: ["/bin/sh", "-c", command].map(str::to_owned).to_vec(),
            folder: "/workspace".into(),
            environment: Vec::new(),
            timeout_ms: 60_000,
            output: Output::Captured,
        };
        self.send(kind::EXEC, self.streams, &serde_json::to_value(request).unwrap());
        let done: ExecDone = serde_json::from_slice(&self.next(kind::EXEC_DONE)).unwrap();
        assert_eq!(done.start_error, None);
        (done.exit_code, String::from_utf8_lossy(&done.head).into_owned())
    }

    fn send(&mut self, kind: u8, stream: u32, message: &serde_json::Value) {
        let mut bytes = Vec::new();
        frame::encode(kind, stream, 0, message.to_string().as_bytes(), &mut bytes);
        self.launcher.stdin.as_mut().unwrap().write_all(&bytes).unwrap();
    }

    fn next(&mut self, kind: u8) -> Vec<u8> {
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                assert_eq!(frame.kind, kind);
                return frame.payload;
            }
            let mut buffer = [0; 4096];
            let count = self.launcher.stdout.as_mut().unwrap().read(&mut buffer).unwrap();
            assert_ne!(count, 0, "the sandbox has ended");
            self.decoder.extend(&buffer[..count]);
        }
    }
}

impl Drop for RawSandbox {
    fn drop(&mut self) {
        drop(self.launcher.stdin.take());
        let _ = self.launcher.wait();
    }
}

fn plan(folder: &Path) -> LaunchPlan {
    for name in ["work", "spill"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    LaunchPlan {
        lock: folder.join("lock"),
        cgroups: Vec::new(),
        oom_counter: None,
        identity: if is_root() {
            Identity::Mapped { command_id: 260_000 }
        } else {
            Identity::Own
        },
        host_name: "sandbox".into(),
        disk_image: None,
        home: None,
        work_tree: Tree::Folder {
            path: folder.join("work"),
        },
        spill: folder.join("spill"),
        objects: None,
        shown: ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache"]
            .map(Into::into)
            .to_vec(),
        hidden: Vec::new(),
        probe: None,
        environment: Vec::new(),
        limits: LaunchLimits {
            tmp_bytes: 1 << 20,
            shm_bytes: 1 << 20,
            tmp_inodes: 1000,
            file_bytes: 1 << 20,
            pids: 100,
            process_memory_bytes: None,
            open_files: 256,
        },
    }
}

/// Waits for something that no descriptor tells.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not after 20 s");
        std::thread::sleep(Duration::from_millis(2));
    }
}
