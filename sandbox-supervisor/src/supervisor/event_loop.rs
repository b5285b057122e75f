//! The loop: waits for the server, the commands and the clock, and does what is next.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::frame::{Decoder, Frame};
use crate::protocol::{Attach, ExecDone, ExecRequest, FIRST_TUNNEL_STREAM, FileRequest, Hello, Output, VERSION, kind};
use crate::supervisor::SupervisorConfig;
use crate::supervisor::capture::Capture;
use crate::supervisor::child::{self, Command};
use crate::supervisor::confine::Confinement;
use crate::supervisor::exec::{Exec, ExecOptions};
use crate::supervisor::files::FileJob;
use crate::supervisor::growth::GrowthWatch;
use crate::supervisor::herd::Herd;
use crate::supervisor::memory::count_kills;
use crate::supervisor::outgoing::Outgoing;
use crate::supervisor::spill::Spills;
use crate::supervisor::survey::ChangeWatch;
use crate::supervisor::system;
use crate::supervisor::tunnel::Tunnel;
use crate::supervisor::worker::Worker;

/// Bytes read at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// Commands and file operations at once; more is refused.
const MAX_JOBS: usize = 64;

/// Without a server that ever attached, a sandbox that outlives its input ends after this long: it may have been made
/// before there was anything to do.
const FIRST_DEADLINE: Duration = Duration::from_secs(3600);

/// The state of a supervisor.
pub(super) struct EventLoop {
    config: SupervisorConfig,
    confinement: Confinement,
    input: Option<OwnedFd>,
    decoder: Decoder,
    outgoing: Outgoing,
    spills: Rc<Spills>,
    epoch: u64,
    attached: bool,
    environment: Vec<(String, String)>,
    execs: BTreeMap<u32, Exec>,
    /// Reports that the server has not taken, by stream.
    done: BTreeMap<u32, ExecDone>,
    jobs: VecDeque<FileJob>,
    tunnel: Tunnel,
    changes: ChangeWatch,
    growth: GrowthWatch,
    deadline: Option<Instant>,
    over: bool,
}

impl EventLoop {
    pub(super) fn new(mut config: SupervisorConfig) -> io::Result<Self> {
        system::control(libc::PR_SET_DUMPABLE, 0)?;
        system::ignore_signal(libc::SIGPIPE);
        let confinement = Confinement::new(&config)?;
        config.layers.extend(confinement.layers());
        let input = system::move_up(config.input.try_clone()?)?;
        let output = system::move_up(config.output.try_clone()?)?;
        // What the launcher gave is closed: nothing of the protocol stays where a command could find it.
        for kept in [&mut config.input, &mut config.output] {
            *kept = system::move_up(std::fs::File::open("/dev/null")?.into())?;
        }
        system::set_nonblocking(input.as_fd())?;
        system::set_nonblocking(output.as_fd())?;
        system::grow_pipe(output.as_fd());
        let deadline = config.survives_end_of_input.then(|| Instant::now() + FIRST_DEADLINE);
        let mut event_loop = Self {
            confinement,
            input: Some(input),
            decoder: Decoder::default(),
            outgoing: Outgoing::new(output),
            spills: Spills::new(&config.spill_folder),
            epoch: 0,
            attached: false,
            environment: config.environment.clone(),
            execs: BTreeMap::new(),
            done: BTreeMap::new(),
            jobs: VecDeque::new(),
            tunnel: Tunnel::default(),
            changes: ChangeWatch::new(),
            growth: GrowthWatch::new(config.watched_bytes),
            deadline,
            over: false,
            config,
        };
        event_loop.greet();
        Ok(event_loop)
    }

    /// Serves until the end; returns the exit status.
    pub(super) fn run(&mut self) -> i32 {
        let mut buffer = vec![0; BUFFER_BYTES];
        while !self.over {
            if self.outgoing.flush().is_err() {
                self.lose_server();
            }
            if self.wait().is_err() {
                return 1;
            }
            self.read_input(&mut buffer);
            self.advance_execs(&mut buffer);
            self.advance_jobs();
            self.advance_survey();
            self.watch_growth();
            self.tunnel.advance(&mut buffer, &mut self.outgoing);
            self.reap_orphans();
            if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                self.over = true;
            }
        }
        let _ = self.outgoing.flush();
        0
    }

    fn greet(&mut self) {
        let execs = self.execs.keys().chain(self.done.keys()).copied().collect();
        let hello = Hello {
            version: VERSION,
            epoch: self.epoch,
            execs,
            layers: self.config.layers.clone(),
        };
        self.outgoing.push_message(kind::HELLO, 0, &hello);
    }

    fn wait(&self) -> io::Result<()> {
        let entry = |fd: &OwnedFd, events| libc::pollfd {
            fd: fd.as_raw_fd(),
            events,
            revents: 0,
        };
        let mut entries = Vec::with_capacity(16);
        if !self.outgoing.is_full() {
            entries.extend(self.input.iter().map(|input| entry(input, libc::POLLIN)));
            entries.extend(
                self.execs
                    .values()
                    .flat_map(Exec::descriptors)
                    .map(|fd| entry(fd, libc::POLLIN)),
            );
        }
        entries.extend(self.workers().map(|worker| entry(worker.descriptor(), libc::POLLIN)));
        self.tunnel.add_entries(&mut entries, &self.outgoing);
        if !self.outgoing.is_empty() {
            entries.push(entry(self.outgoing.descriptor(), libc::POLLOUT));
        }
        let wakes = self
            .execs
            .values()
            .filter_map(Exec::wake_at)
            .chain(self.workers().map(Worker::deadline))
            .chain(self.growth.wake_at().filter(|_| !self.execs.is_empty()));
        let timeout_ms = wakes.chain(self.deadline).min().map_or(-1, |at| {
            let left = at.saturating_duration_since(Instant::now());
            i32::try_from(left.as_millis()).unwrap_or(i32::MAX).saturating_add(1)
        });
        system::poll(&mut entries, timeout_ms)
    }

    fn workers(&self) -> impl Iterator<Item = &Worker> {
        let jobs = self.jobs.iter().map(FileJob::worker);
        jobs.chain(self.changes.worker()).chain(self.growth.worker())
    }

    fn read_input(&mut self, buffer: &mut [u8]) {
        loop {
            let Some(input) = &self.input else { return };
            if self.outgoing.is_full() {
                return;
            }
            match system::read(input.as_fd(), buffer) {
                Ok(0) => {
                    // Nothing can come any more, and the end would be told again and again.
                    self.input = None;
                    return self.lose_server();
                }
                Ok(count) => {
                    self.decoder.extend(buffer.get(..count).unwrap_or_default());
                    while let Some(frame) = self.decoder.next_frame() {
                        self.handle(frame);
                    }
                    if self.decoder.is_hopeless() {
                        return self.lose_server();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.lose_server(),
            }
        }
    }

    /// The server is gone: the sandbox ends, or lives on to its deadline.
    fn lose_server(&mut self) {
        if self.config.survives_end_of_input {
            self.outgoing.clear();
        } else {
            self.over = true;
        }
    }

    fn handle(&mut self, frame: Frame) {
        if frame.kind == kind::ATTACH {
            return self.attach(&frame);
        }
        if !self.attached {
            return;
        }
        match frame.kind {
            kind::EXEC => self.start_exec(&frame),
            kind::KILL => {
                if let Some(exec) = self.execs.get_mut(&frame.stream) {
                    exec.kill();
                }
            }
            kind::FORGET => drop(self.done.remove(&frame.stream)),
            kind::FILE => self.start_file(&frame),
            kind::CREDIT if frame.stream >= FIRST_TUNNEL_STREAM => self.tunnel.add_credit(frame.stream, frame.sequence),
            kind::TUNNEL_DATA_DOWN => self.tunnel.take(frame, &mut self.outgoing),
            kind::TUNNEL => {
                let outcome = self.tunnel.open();
                self.outgoing.push_message(kind::TUNNEL_DONE, frame.stream, &outcome);
            }
            kind::CREDIT => {
                if let Some(exec) = self.execs.get_mut(&frame.stream) {
                    exec.add_credit(frame.sequence);
                }
            }
            kind::CHANGES => self.look_for_changes(frame.stream),
            kind::PING => self.outgoing.push(kind::PONG, frame.stream, frame.sequence, &[]),
            kind::SHUTDOWN => self.over = true,
            // From a newer or a hostile server.
            _ => {}
        }
    }

    fn attach(&mut self, frame: &Frame) {
        let Ok(attach) = serde_json::from_slice::<Attach>(&frame.payload) else {
            return;
        };
        if attach.version != VERSION || attach.epoch < self.epoch {
            // The answer says why: our version, or the higher epoch.
            return self.greet();
        }
        self.epoch = attach.epoch;
        self.attached = true;
        self.deadline = self
            .deadline
            .map(|_| Instant::now() + Duration::from_secs(attach.deadline_seconds.min(1 << 31)));
        self.environment = self.config.environment.clone();
        self.environment.extend(attach.environment);
        // A server asks for it anew; what another one's connections were is nothing to this one.
        self.tunnel = Tunnel::default();
        self.greet();
        for (stream, done) in &self.done {
            self.outgoing.push_message(kind::EXEC_DONE, *stream, done);
        }
    }

    fn start_exec(&mut self, frame: &Frame) {
        let stream = frame.stream;
        if self.execs.contains_key(&stream) || self.done.contains_key(&stream) {
            return;
        }
        if let Err(message) = self.try_start_exec(stream, &frame.payload) {
            self.finish_exec(
                stream,
                ExecDone {
                    start_error: Some(message),
                    ..ExecDone::default()
                },
            );
        }
    }

    fn try_start_exec(&mut self, stream: u32, payload: &[u8]) -> Result<(), String> {
        let request: ExecRequest = serde_json::from_slice(payload).map_err(|error| format!("bad request: {error}"))?;
        if self.execs.len() >= MAX_JOBS {
            return Err(format!("{MAX_JOBS} commands are running already"));
        }
        let mut environment = self.environment.clone();
        environment.extend(self.tunnel.environment());
        environment.extend(request.environment);
        let nested = self.config.nested_pid_namespace;
        let folder = self.config.work_tree.join(&request.folder);
        let command = Command {
            argv: &request.argv,
            folder: &folder,
            environment: &environment,
            nested,
        };
        let started = child::start(&command, &self.confinement).map_err(|error| error.to_string())?;
        self.changes.note();
        let options = ExecOptions {
            stream,
            capture: (request.output != Output::Streamed).then(|| Capture::new(&self.spills, stream)),
            is_shown: request.output == Output::Live,
            timeout: Duration::from_millis(request.timeout_ms),
            nested,
            herd: Herd::of(&self.config),
            memory_kills: self.memory_kills(),
        };
        self.execs.insert(stream, Exec::new(started, options));
        Ok(())
    }

    fn advance_execs(&mut self, buffer: &mut [u8]) {
        let memory_events = &self.config.memory_events;
        let mut finished = Vec::new();
        for (stream, exec) in &mut self.execs {
            if let Some(done) = exec.advance(buffer, &mut self.outgoing, || count_kills(memory_events.as_ref())) {
                finished.push((*stream, done));
            }
        }
        for (stream, done) in finished {
            self.execs.remove(&stream);
            self.finish_exec(stream, done);
        }
    }

    fn finish_exec(&mut self, stream: u32, done: ExecDone) {
        self.outgoing.push_message(kind::EXEC_DONE, stream, &done);
        self.done.insert(stream, done);
    }

    fn start_file(&mut self, frame: &Frame) {
        let stream = frame.stream;
        let started = serde_json::from_slice::<FileRequest>(&frame.payload)
            .map_err(|error| format!("bad request: {error}"))
            .and_then(|request| {
                if self.jobs.len() >= MAX_JOBS {
                    return Err(format!("{MAX_JOBS} file operations are running already"));
                }
                if request.writes() {
                    self.changes.note();
                }
                FileJob::start(stream, request, &self.config.work_tree, &self.confinement)
                    .map_err(|error| error.to_string())
            });
        match started {
            Ok(job) => self.jobs.push_back(job),
            Err(message) => self
                .outgoing
                .push(kind::FILE_DONE, stream, 0, &FileJob::failure(&message)),
        }
    }

    fn advance_jobs(&mut self) {
        for _ in 0..self.jobs.len() {
            let Some(mut job) = self.jobs.pop_front() else { return };
            match job.advance() {
                Some(outcome) => self.outgoing.push(kind::FILE_DONE, job.stream(), 0, &outcome),
                None => self.jobs.push_back(job),
            }
        }
    }

    fn look_for_changes(&mut self, stream: u32) {
        let running = !self.execs.is_empty() || self.jobs.iter().any(FileJob::writes);
        let (work_tree, confinement) = (&self.config.work_tree, &self.confinement);
        if let Some(reply) = self.changes.ask(stream, running, work_tree, confinement) {
            self.outgoing.push_message(kind::CHANGES_DONE, stream, &reply);
        }
    }

    fn watch_growth(&mut self) {
        let is_idle = self.execs.is_empty() && self.growth.worker().is_none();
        if !is_idle && self.growth.advance(&self.config.watched, &self.confinement) {
            self.execs.values_mut().for_each(Exec::kill_for_disk);
        }
    }

    fn advance_survey(&mut self) {
        if let Some((stream, reply)) = self.changes.advance() {
            self.outgoing.push_message(kind::CHANGES_DONE, stream, &reply);
        }
    }

    /// PID 1 inherits what other processes of its namespace leave; commands have inits of their own.
    fn reap_orphans(&self) {
        if self.execs.is_empty() && self.workers().next().is_none() {
            while matches!(system::wait(-1, libc::WNOHANG), Ok((process, _)) if process > 0) {}
        }
    }

    fn memory_kills(&self) -> u64 {
        count_kills(self.config.memory_events.as_ref())
    }
}
