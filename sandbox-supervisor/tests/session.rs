//! A real supervisor on two pipes, without a launcher: greeting, resuming, credit, and hostile servers.
//!
//! A program of its own without the test harness, because a supervisor forks and must be the only thread of its
//! process: with `serve` as its argument it is that supervisor. It runs commands without namespaces, as
//! they would run in a container, so a shepherd ends them.

#![cfg(test)]

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use sandbox_supervisor::frame::{Decoder, Frame, MAGIC, RESYNC_BYTES};
use sandbox_supervisor::protocol::{Attach, ExecDone, ExecRequest, Hello, INITIAL_CREDIT_BYTES, Output, VERSION, kind};
use sandbox_supervisor::supervisor::{self, SupervisorConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

const FACTS: &[(&str, fn())] = &[
    (
        "nothing_is_done_for_a_server_that_did_not_attach",
        nothing_before_attach,
    ),
    ("the_highest_epoch_is_obeyed", highest_epoch),
    ("a_frame_cut_off_costs_only_itself", cut_frame),
    ("a_report_is_kept_until_it_is_taken", report_kept),
    ("a_streamed_command_waits_for_credit", credit),
    ("live_output_of_a_flood_is_sampled_and_its_report_is_whole", flood),
    ("a_server_that_does_not_read_costs_bounded_memory", unread),
    ("a_hostile_server_ends_its_own_sandbox_at_most", hostile),
    ("processes_that_hide_hop_or_are_stopped_end_with_their_command", flock),
    ("the_end_of_the_input_ends_the_supervisor", end_of_input),
];

fn main() {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        std::process::exit(serve());
    }
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    // Facts wait for frames without an end of their own.
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(300));
        eprintln!("a fact did not end within 300 s");
        std::process::exit(1);
    });
    for (name, fact) in FACTS
        .iter()
        .filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| name.contains(wanted)))
    {
        print!("test {name} ... ");
        std::io::stdout().flush().unwrap();
        fact();
        println!("ok");
    }
}

fn serve() -> i32 {
    let folder = std::env::args_os().nth(2).unwrap();
    let input = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let output = std::io::stdout().as_fd().try_clone_to_owned().unwrap();
    let mut config = SupervisorConfig::new(input, output);
    config.nested_pid_namespace = false;
    config.work_tree = folder.clone().into();
    config.writable = vec![folder.clone().into(), "/dev".into()];
    config.spill_folder = Path::new(&folder).join("spill");
    supervisor::run(config)
}

/// A supervisor and the server's end of its streams.
struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    decoder: Decoder,
    folder: tempfile::TempDir,
}

impl Session {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let decoder = Decoder::default();
        let mut session = Self {
            child,
            input,
            output,
            decoder,
            folder,
        };
        let hello: Hello = session.expect(kind::HELLO);
        assert_eq!((hello.version, hello.epoch, hello.execs), (VERSION, 0, Vec::new()));
        session
    }

    fn attached() -> Self {
        let mut session = Self::start();
        session.attach(1);
        session
    }

    fn send(&mut self, kind: u8, stream: u32, sequence: u64, payload: &[u8]) {
        let payload = payload.to_vec();
        let mut bytes = Vec::new();
        Frame {
            kind,
            stream,
            sequence,
            payload,
        }
        .encode(&mut bytes);
        self.send_raw(&bytes);
    }

    fn send_raw(&mut self, bytes: &[u8]) {
        // A supervisor that has ended takes nothing; facts look at what it answers.
        let _ = self.input.as_mut().unwrap().write_all(bytes);
    }

    fn send_message(&mut self, kind: u8, stream: u32, message: &impl Serialize) {
        self.send(kind, stream, 0, &serde_json::to_vec(message).unwrap());
    }

    /// Returns the next frame, `None` at the end of the stream.
    fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                return Some(frame);
            }
            let mut buffer = [0; 65536];
            match self.output.read(&mut buffer).unwrap() {
                0 => return None,
                count => self.decoder.extend(&buffer[..count]),
            }
        }
    }

    fn expect<T: DeserializeOwned>(&mut self, kind: u8) -> T {
        let frame = self.next().expect("the supervisor has ended");
        assert_eq!(frame.kind, kind, "{frame:?}");
        serde_json::from_slice(&frame.payload).unwrap()
    }

    fn attach(&mut self, epoch: u64) -> Hello {
        // By its text, so that fields which come and go with versions of the protocol don't matter here.
        let attach = serde_json::json!({
            "version": VERSION, "epoch": epoch, "deadline_seconds": 600,
            "environment": [["EPOCH", epoch.to_string()]], "tunnel": false,
        });
        let _: Attach = serde_json::from_value(attach.clone()).unwrap();
        self.send_message(kind::ATTACH, 0, &attach);
        self.expect(kind::HELLO)
    }

    fn exec(&mut self, stream: u32, command: &str, output: Output, timeout: Duration) {
        let request = ExecRequest {
            argv: ["/bin/sh", "-c", command].map(str::to_owned).to_vec(),
            folder: ".".into(),
            environment: Vec::new(),
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap(),
            output,
        };
        self.send_message(kind::EXEC, stream, &request);
    }

    /// Takes output until the report comes; returns both, and how much of the output came live.
    fn report(&mut self) -> (ExecDone, u64) {
        let mut live_bytes = 0;
        loop {
            let frame = self.next().expect("the supervisor has ended");
            match frame.kind {
                kind::STDOUT | kind::STDERR => live_bytes += frame.payload.len() as u64,
                kind::EXEC_DONE => return (serde_json::from_slice(&frame.payload).unwrap(), live_bytes),
                kind => panic!("frame kind {kind}"),
            }
        }
    }

    /// Returns the bytes of output that were sent before the answer to a ping.
    fn output_before_pong(&mut self) -> u64 {
        self.send(kind::PING, 0, 7, &[]);
        let mut bytes = 0;
        while let Some(frame) = self.next() {
            match frame.kind {
                kind::PONG => return bytes,
                kind::STDOUT => bytes += frame.payload.len() as u64,
                kind => panic!("frame kind {kind}"),
            }
        }
        panic!("the supervisor has ended");
    }

    fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const MINUTE: Duration = Duration::from_secs(60);

fn nothing_before_attach() {
    let mut session = Session::start();
    session.exec(1, "touch made", Output::Captured, MINUTE);
    session.send(kind::PING, 0, 0, &[]);
    assert_eq!(session.attach(1).execs, Vec::<u32>::new());
    assert_eq!(session.output_before_pong(), 0);
    assert!(!session.folder.path().join("made").exists());
}

fn highest_epoch() {
    let mut session = Session::start();
    assert_eq!(session.attach(5).epoch, 5);
    assert_eq!(session.attach(3).epoch, 5, "an older server is told who was here");
    session.exec(1, "printf %s $EPOCH", Output::Captured, MINUTE);
    assert_eq!(session.report().0.head, b"5");
    let other = serde_json::json!({
        "version": VERSION + 1, "epoch": 9, "deadline_seconds": 1, "environment": [], "tunnel": false,
    });
    session.send_message(kind::ATTACH, 0, &other);
    assert_eq!(
        session.expect::<Hello>(kind::HELLO).epoch,
        5,
        "another version changes nothing"
    );
}

fn cut_frame() {
    let mut session = Session::attached();
    let mut whole = Vec::new();
    let payload = vec![b'x'; 500];
    Frame {
        kind: kind::EXEC,
        stream: 9,
        sequence: 0,
        payload,
    }
    .encode(&mut whole);
    for cut in [1, MAGIC.len(), 20, 32, 300] {
        session.send_raw(&whole[..cut]);
        // A whole header promises a payload, which is waited for; so does a server that comes anew.
        session.send_raw(&vec![0; RESYNC_BYTES]);
        session.exec(1, "echo well", Output::Captured, MINUTE);
        assert_eq!(session.report().0.head, b"well\n", "cut at {cut}");
        session.send(kind::FORGET, 1, 0, &[]);
    }
}

fn report_kept() {
    let mut session = Session::attached();
    session.exec(4, "echo kept; exit 3", Output::Captured, MINUTE);
    let (first, _) = session.report();
    assert_eq!((first.exit_code, first.head.as_slice()), (Some(3), &b"kept\n"[..]));
    assert_eq!(session.attach(2).execs, [4]);
    assert_eq!(session.report().0, first);
    // The same stream again starts nothing as long as its report is there.
    session.exec(4, "echo other", Output::Captured, MINUTE);
    assert_eq!(session.output_before_pong(), 0);
    session.send(kind::FORGET, 4, 0, &[]);
    assert_eq!(session.attach(3).execs, Vec::<u32>::new());
}

fn credit() {
    let mut session = Session::attached();
    session.exec(1, "yes; echo never", Output::Streamed, MINUTE);
    let mut bytes = 0;
    while bytes < INITIAL_CREDIT_BYTES {
        bytes += session.output_before_pong();
    }
    assert_eq!(bytes, INITIAL_CREDIT_BYTES);
    assert_eq!((session.output_before_pong(), session.output_before_pong()), (0, 0));
    session.send(kind::CREDIT, 1, 1000, &[]);
    let mut more = 0;
    while more < 1000 {
        more += session.output_before_pong();
    }
    assert_eq!(more, 1000);
    session.send(kind::KILL, 1, 0, &[]);
    session.send(kind::CREDIT, 1, u64::MAX, &[]);
    assert_eq!(session.report().0.signal, Some(libc::SIGKILL));
}

fn flood() {
    const FLOOD_BYTES: u64 = 200 << 20;
    let mut session = Session::attached();
    session.exec(1, &format!("head -c {FLOOD_BYTES} /dev/zero"), Output::Live, MINUTE);
    let (done, live_bytes) = session.report();
    assert_eq!((done.exit_code, done.stdout_bytes), (Some(0), FLOOD_BYTES));
    // A quarter of a MiB at once, one MiB a second, and what a clock of milliseconds adds.
    let most = (256 << 10) + (done.duration_us + 500_000) * (1 << 20) / 1_000_000;
    assert!(live_bytes > 0 && live_bytes <= most, "{live_bytes} of {most} bytes");
    // The control: what is little comes whole.
    session.exec(2, "seq 1 1000", Output::Live, MINUTE);
    let (done, live_bytes) = session.report();
    assert_eq!(live_bytes, done.stdout_bytes);
}

fn unread() {
    let mut session = Session::attached();
    for stream in 1..=20 {
        session.exec(stream, "head -c 20000000 /dev/zero; touch $$", Output::Live, MINUTE);
    }
    // All of it is produced while nobody reads here.
    let ended = || std::fs::read_dir(session.folder.path()).unwrap().count() == 21;
    while !ended() {
        std::thread::yield_now();
    }
    let peak_kib = session.peak_memory_kib();
    assert!(peak_kib < 32 << 10, "{peak_kib} KiB");
    let bytes: u64 = (1..=20).map(|_| session.report().0.stdout_bytes).sum();
    assert_eq!(bytes, 20 * 20_000_000);
}

fn hostile() {
    for seed in 1..=20_u64 {
        let mut session = Session::attached();
        let mut random = Random(seed);
        for _ in 0..300 {
            let kind = [2, 4, 6, 8, 10, 12, 14, 18, 20, 15, 99][random.below(11)];
            let payload = match random.below(5) {
                0 => b"{}".to_vec(),
                1 => br#"{"operation":"read","path":"\u0000/../../..","first_line":0,"lines":0,"max_bytes":0}"#.to_vec(),
                2 => br#"{"argv":[],"folder":"","environment":[],"timeout_ms":0,"output":"live"}"#.to_vec(),
                3 => br#"{"operation":"grep","pattern":"(((((a{9}){9}){9}){9}){9}){9}","path":".","glob":"**","limit":0}"#.to_vec(),
                _ => (0..random.below(200)).map(|_| random.next() as u8).collect(),
            };
            session.send(kind, random.next() as u32 % 4, random.next(), &payload);
            if random.below(4) == 0 {
                let garbage: Vec<u8> = (0..random.below(100)).map(|_| random.next() as u8).collect();
                session.send_raw(&garbage);
            }
        }
        // It is there, or it has ended by itself; a panic would be another status.
        session.send(kind::SHUTDOWN, 0, 0, &[]);
        while session.next().is_some() {}
        assert_eq!(session.child.wait().unwrap().code(), Some(0), "seed {seed}");
    }
}

fn flock() {
    let mut session = Session::attached();
    let mark = format!("flock-{}", std::process::id());
    // They fork on and on while each parent ends at once, each in a session of its own.
    let hopper = format!("setsid perl -e 'while (1) {{ fork and exit }}' {mark} &");
    let daemon = format!("(setsid perl -e '$SIG{{$_}}=\"IGNORE\" for qw(TERM HUP INT); sleep 1000' {mark} &) &");
    let stopped = format!("perl -e 'kill STOP => $$; sleep 1000' {mark} &");
    let ready = format!(
        "until [ $(grep -laz {mark} /proc/[0-9]*/cmdline 2>/dev/null | wc -l) -gt 12 ]; do :; done; echo ready"
    );
    let command = format!("{}{}{stopped} {ready}", hopper.repeat(10), daemon.repeat(10));
    for round in 0..5 {
        session.exec(round, &command, Output::Captured, MINUTE);
        let (done, _) = session.report();
        assert_eq!(
            (done.exit_code, done.head.as_slice()),
            (Some(0), &b"ready\n"[..]),
            "round {round}: {done:?}"
        );
        assert_eq!(living(&mark), Vec::<String>::new(), "round {round}");
    }
    // A time limit and a kill end them too.
    session.exec(
        8,
        &format!("{command}; sleep 1000"),
        Output::Captured,
        Duration::from_secs(3),
    );
    assert!(session.report().0.timed_out);
    assert_eq!(living(&mark), Vec::<String>::new());
}

/// Returns the processes of this machine with a word in their command line, but for shells of the command itself.
fn living(mark: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let texts = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
    texts.filter(|line| line.contains(mark)).collect()
}

fn end_of_input() {
    let mut session = Session::attached();
    session.exec(1, "sleep 1000", Output::Captured, MINUTE);
    drop(session.input.take());
    while session.next().is_some() {}
    assert_eq!(session.child.wait().unwrap().code(), Some(0));
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: u64) -> usize {
        (self.next() % count) as usize
    }
}
