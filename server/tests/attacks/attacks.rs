//! Attacks that are run for real, each with its control: the same attempt outside, where it must succeed.
//!
//! They are run for every backend; what only one can be attacked by is beside its own tests (`launcher`, `life`, `lists`,
//! `mounts`, `disk`, `tools`). Every row of the attack list, and the test that has it (`probe` is `sandbox_supervisor::probe`, which
//! `mounts::outside_of_a_sandbox_…` runs outside and the self-test inside):
//!
//! | attack | test |
//! | --- | --- |
//! | fork bomb; usable after | `limits::a_fork_bomb_ends_…` |
//! | memory: heap / file in memory | `limits::a_hog_of_memory_…` / `a_file_in_memory_counts_…` here |
//! | disk: /tmp, /dev/shm, home, /run / work tree / one file | `limits::memory_file_systems_…` / `disk::…` / `limits::a_single_file_…` |
//! | inodes of memory file systems | `files_without_end_are_refused` here |
//! | CPU | `a_hog_of_cpu_gets_its_share` here |
//! | /proc/1/environ, mem, fd, root; host processes | probe; `isolation::a_command_sees_only_…`, `the_supervisors_memory_…` |
//! | environment of the server | `no_environment_of_a_host_process_is_readable` here |
//! | /etc/shadow, ~/.ssh, a secret file, docker.sock | probe; `mounts::the_root_and_dev_…`; self-test; `tools::…` |
//! | link to a secret, read inside and by a file operation | `isolation::a_link_to_a_secret_…` |
//! | the same while it is swapped, 1,000 times | `races::…` |
//! | FIFO read by a file operation or a search | `isolation::a_pipe_in_the_work_tree_…`; `search::walk` in the supervisor |
//! | daemon: setsid, double fork, ignores signals, stopped | `limits::a_daemon_that_hides_…`; `conformance::commands`; `stopped_and_hopping_…` here |
//! | daemon holding stdout | `conformance::commands::a_daemon_that_holds_stdout_…` |
//! | inherited descriptor of the host | `launcher::descriptors_that_the_server_leaks_do_not_get_in` |
//! | ptrace, process_vm, PID 1's descriptors | probe; `isolation::the_supervisors_memory_…` |
//! | kill -9 1, -1, $PPID | `isolation::a_command_sees_only_…` |
//! | mount, umount, remount, fsopen, open_tree, chroot, unshare, clone3 | probe |
//! | setuid(0), mknod, chown to root, raise limits | probe |
//! | set-user-id file in the work tree | `mounts::files_made_inside_belong_…`; `a_set_user_id_program_…` here |
//! | keyring | probe |
//! | host's loopback, abstract socket, unix socket | `network::…` |
//! | AF_VSOCK, AF_PACKET, raw, AF_ALG | probe |
//! | io_uring, bpf, perf, userfaultfd, syslog, TIOCSTI, int 0x80 | probe |
//! | x32 numbers | `calls_under_other_numbers_…` here |
//! | sysrq, core_pattern, cgroup files, /usr | probe; `mounts::the_root_and_dev_…` |
//! | /dev/vda, kmsg, mem, kvm, fuse | `mounts::the_root_and_dev_…` (the whole of /dev is listed) |
//! | hard link from /usr | `nothing_of_the_host_can_be_linked_into_the_work_tree` here |
//! | launcher: never host id 0; a supplementary group | `launcher::no_id_inside_is_root_outside` |
//! | launcher: dies with the thread that started it | `launcher::a_sandbox_outlives_the_thread_that_made_it` |
//! | launcher: whole of /etc bound; capabilities in the user namespace | `mounts::the_root_and_dev_…`; probe (CapEff … CapAmb) |
//! | launcher: server killed | `life::when_the_launcher_or_the_server_is_killed_…` |
//! | every variable, mount, descriptor, socket | `lists::…` |

use std::fs;
use std::process::Command;
use std::time::Duration;

use backspace_server::sandbox::{ExecSpec, SandboxLimits, SandboxProvider as _, SandboxSpec};

use crate::fixture::Backend;
use crate::inside::{outcome, output, report, spec};

fn limited(limits: SandboxLimits) -> SandboxSpec {
    SandboxSpec { limits, ..spec() }
}

fn outside(command: &str) -> (Option<i32>, String) {
    let run = Command::new("sh").args(["-c", command]).output().unwrap();
    (run.status.code(), String::from_utf8_lossy(&run.stdout).into_owned())
}

#[tokio::test]
async fn a_file_in_memory_counts_as_memory_where_that_is_limited() {
    let backend = Backend::new();
    let limits = SandboxLimits {
        memory_bytes: 128 << 20,
        ..SandboxLimits::default()
    };
    let sandbox = backend.provider.create(limited(limits)).await.unwrap();
    // memfd_create is 319; other machines have the same limit by the same means.
    let fill = |mib: u32| {
        format!(
            "perl -e 'my $name = \"x\"; my $fd = syscall(319, $name, 0); $fd >= 0 or exit 3; open(my $f, \">&=\", $fd) or exit 4; \
             for (1..{mib}) {{ syswrite($f, \"a\" x (1 << 20)) == 1 << 20 or exit 5 }} print \"full\"'"
        )
    };
    assert_eq!(output(sandbox.as_ref(), &fill(16)).await, "full", "the control");
    let enforced = backend.provider.self_test().await.unwrap().enforced;
    let hogged = report(sandbox.as_ref(), &fill(400)).await;
    if enforced.iter().any(|name| name == "memory") {
        assert!(hogged.out_of_memory && hogged.exit_code != Some(0), "{hogged:?}");
    } else {
        assert_eq!(hogged.output, b"full", "said not to be limited, and is not: {hogged:?}");
    }
    assert_eq!(output(sandbox.as_ref(), "echo usable").await, "usable\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn files_without_end_are_refused() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let fill = "perl -e 'for (1..300000) { open(my $f, \">\", \"/tmp/$_\") or do { print $_; exit } } print \"all\"'";
    let first_refused: u32 = output(sandbox.as_ref(), fill).await.parse().unwrap();
    assert!((100_000..=200_001).contains(&first_refused), "{first_refused}");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_hog_of_cpu_gets_its_share() {
    let backend = Backend::new();
    let limits = SandboxLimits {
        cpu_millis: 200,
        ..SandboxLimits::default()
    };
    let sandbox = backend.provider.create(limited(limits)).await.unwrap();
    let hog = "perl -MTime::HiRes=time -e 'my $end = time + 2; 1 while time < $end; my @t = times; printf \"%d\", 1000 * ($t[0] + $t[1])'";
    let used_ms: u32 = output(sandbox.as_ref(), hog).await.parse().unwrap();
    let enforced = backend.provider.self_test().await.unwrap().enforced;
    if enforced.iter().any(|name| name == "cpu") {
        // A fifth of two seconds, and what a period of the quota adds at either end.
        assert!(used_ms <= 700, "{used_ms} ms");
    } else {
        println!("no cpu cgroup here: {used_ms} ms of 2000 were used, as the self-test says");
    }
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn no_environment_of_a_host_process_is_readable() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let names = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | cut -d= -f1 | sort -u";
    let inside = output(sandbox.as_ref(), names).await;
    let constant = ["HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "USER"];
    let tools = [
        "NVM_DIR",
        "PYENV_ROOT",
        "RUSTUP_HOME",
        "SDKMAN_DIR",
        "OLDPWD",
        "SHLVL",
        "_",
    ];
    let strange: Vec<_> = inside
        .lines()
        .filter(|name| !constant.contains(name) && !tools.contains(name))
        .collect();
    assert_eq!(strange, Vec::<&str>::new());
    // The control: outside, this process's own can be read.
    let own = fs::read(format!("/proc/{}/environ", std::process::id())).unwrap();
    assert!(!own.is_empty());
    let (status, _) = outcome(sandbox.as_ref(), &format!("test -e /proc/{}/environ", 1_000_000)).await;
    assert_eq!(status, Some(1));
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn calls_under_other_numbers_are_refused_by_our_filter() {
    const NOT_PERMITTED: &str = "1";
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    // getppid by its x32 number; a kernel without x32 says that there is no such call.
    let call = "perl -e 'my $parent = syscall(0x40000000 | 110); print $parent < 0 ? $!+0 : \"made\"'";
    let (_, without_filter) = outside(call);
    assert_ne!(without_filter, NOT_PERMITTED, "the control");
    assert_eq!(output(sandbox.as_ref(), call).await, NOT_PERMITTED);
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn stopped_and_hopping_processes_are_dead_when_their_command_ends() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let mark = format!("backspace-flock-{}", std::process::id());
    let hidden = format!(
        "setsid perl -e 'while (1) {{ fork and exit }}' {mark} & \
         (setsid perl -e '$SIG{{$_}} = \"IGNORE\" for qw(TERM HUP INT); sleep 1000' {mark} &) & \
         perl -e 'kill STOP => $$; sleep 1000' {mark} & \
         until [ $(grep -la {mark} /proc/[0-9]*/cmdline 2>/dev/null | wc -l) -gt 3 ]; do :; done; echo ready"
    );
    for _ in 0..5 {
        assert_eq!(output(sandbox.as_ref(), &hidden).await, "ready\n");
        // From the host every process of the sandbox can be seen.
        let (_, living) = outside(&format!(
            "grep -la {mark} /proc/[0-9]*/cmdline 2>/dev/null | grep -v self"
        ));
        let living: Vec<_> = living.lines().filter(|path| !is_our_own(path, &mark)).collect();
        assert_eq!(living, Vec::<&str>::new());
    }
    sandbox.destroy().await.unwrap();
}

/// The search has the mark in its own command line.
fn is_our_own(path: &str, mark: &str) -> bool {
    let line = fs::read(path).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    !line.contains(mark) || line.contains("grep")
}

#[tokio::test]
async fn a_fork_bomb_that_is_killed_at_its_height_leaves_nothing() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let bomb = ExecSpec::shell(
        "perl -e 'while (1) { fork }' backspace-bomb",
        Duration::from_millis(700),
    );
    let bombed = sandbox.exec(bomb, None).await.unwrap();
    assert!(bombed.timed_out, "{bombed:?}");
    assert_eq!(
        output(sandbox.as_ref(), "ls -d /proc/[0-9]* | wc -l")
            .await
            .trim()
            .parse::<u32>()
            .unwrap()
            / 8,
        0
    );
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_set_user_id_program_gives_nobodys_rights() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    output(sandbox.as_ref(), "cp /usr/bin/id mine && chmod 6755 mine").await;
    assert_eq!(output(sandbox.as_ref(), "./mine -u; ./mine -ru").await, "1000\n1000\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn nothing_of_the_host_can_be_linked_into_the_work_tree() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    for source in ["/usr/bin/env", "/etc/passwd", "/bin/sh"] {
        assert_ne!(
            outcome(sandbox.as_ref(), &format!("ln -L {source} link")).await.0,
            Some(0),
            "{source}"
        );
    }
    output(sandbox.as_ref(), "touch own && ln own link").await;
    sandbox.destroy().await.unwrap();
}
