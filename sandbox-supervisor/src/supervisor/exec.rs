//! One running command: its pipes, its time limit, what is kept and what is sent.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use crate::protocol::{ExecDone, INITIAL_CREDIT_BYTES, kind};
use crate::supervisor::capture::Capture;
use crate::supervisor::child::{Report, Started, read_report};
use crate::supervisor::herd::Herd;
use crate::supervisor::outgoing::Outgoing;
use crate::supervisor::system;

/// How long a shepherd may take to end its flock before it is killed itself.
const SHEPHERD_GRACE: Duration = Duration::from_secs(5);

/// Most bytes that a pipe holds for a process without rights. Whoever was handed a pipe of a command by a socket may
/// write on when the command has ended; that is not the command's output and must not keep its report.
const MAX_PIPE_BYTES: u64 = 1 << 20;

/// A running command.
pub(super) struct Exec {
    stream: u32,
    process: libc::pid_t,
    process_fd: Option<OwnedFd>,
    stdout: Pipe,
    stderr: Pipe,
    report: Option<OwnedFd>,
    mode: Mode,
    is_shown: bool,
    nested: bool,
    herd: Option<Herd>,
    /// Whether what the command left behind has been ended, or there was nothing.
    culled: bool,
    begun: Instant,
    deadline: Instant,
    /// Set when it was told to end.
    killed: Option<Instant>,
    timed_out: bool,
    disk_exceeded: bool,
    memory_kills: u64,
    ended: Option<Ended>,
}

enum Mode {
    Captured(Box<Capture>),
    /// Bytes that may still be sent.
    Streamed(u64),
}

struct Ended {
    report: Report,
    duration: Duration,
}

struct Pipe {
    fd: Option<OwnedFd>,
    kind: u8,
    offset: u64,
    /// Set at the end of the command: what can have been in the pipe then.
    left: Option<u64>,
}

/// How an exec is to run.
pub(super) struct ExecOptions {
    pub(super) stream: u32,
    /// `None` for a streamed output.
    pub(super) capture: Option<Capture>,
    /// Whether a captured output is also sent as it comes.
    pub(super) is_shown: bool,
    pub(super) timeout: Duration,
    pub(super) nested: bool,
    pub(super) herd: Option<Herd>,
    pub(super) memory_kills: u64,
}

impl Exec {
    pub(super) fn new(started: Started, options: ExecOptions) -> Self {
        let Started {
            process,
            process_fd,
            stdout,
            stderr,
            report,
        } = started;
        let begun = Instant::now();
        Self {
            stream: options.stream,
            process,
            process_fd: Some(process_fd),
            stdout: Pipe {
                fd: Some(stdout),
                kind: kind::STDOUT,
                offset: 0,
                left: None,
            },
            stderr: Pipe {
                fd: Some(stderr),
                kind: kind::STDERR,
                offset: 0,
                left: None,
            },
            report: Some(report),
            mode: options.capture.map_or(Mode::Streamed(INITIAL_CREDIT_BYTES), |capture| {
                Mode::Captured(Box::new(capture))
            }),
            is_shown: options.is_shown,
            nested: options.nested,
            herd: options.herd,
            culled: options.herd.is_none(),
            begun,
            deadline: begun + options.timeout,
            killed: None,
            timed_out: false,
            disk_exceeded: false,
            memory_kills: options.memory_kills,
            ended: None,
        }
    }

    /// Returns the descriptors to wait for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        let reads = matches!(self.mode, Mode::Captured(_) | Mode::Streamed(1..));
        let pipes = [&self.stdout, &self.stderr].into_iter().filter(move |_| reads);
        // A shepherd that says something before its end has found a flock.
        let report = self.report.as_ref().filter(|_| !self.culled);
        pipes
            .filter_map(|pipe| pipe.fd.as_ref())
            .chain(&self.process_fd)
            .chain(report)
    }

    /// Returns when it must be looked at without an event.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        if self.ended.is_some() {
            return None;
        }
        Some(self.killed.map_or(self.deadline, |killed| killed + SHEPHERD_GRACE))
    }

    /// Lets the server have so many bytes more.
    pub(super) fn add_credit(&mut self, bytes: u64) {
        if let Mode::Streamed(credit) = &mut self.mode {
            *credit = credit.saturating_add(bytes);
        }
    }

    /// Ends every process of it.
    pub(super) fn kill(&mut self) {
        if self.ended.is_some() {
            return;
        }
        let signal = if self.nested || self.killed.is_some() {
            libc::SIGKILL
        } else {
            libc::SIGTERM
        };
        self.killed = Some(Instant::now());
        system::kill(self.process, signal);
        self.cull();
    }

    /// Ends what descends from the shepherd, which then has only to wait.
    fn cull(&mut self) {
        if let Some(herd) = self.herd {
            herd.cull(self.process);
            self.culled = true;
        }
    }

    /// Ends it because the work tree has outgrown its limit.
    pub(super) fn kill_for_disk(&mut self) {
        if self.ended.is_none() && self.killed.is_none() {
            self.disk_exceeded = true;
            self.kill();
        }
    }

    /// Looks at the clock, reads what is there, and says when it is over.
    pub(super) fn advance(
        &mut self,
        buffer: &mut [u8],
        outgoing: &mut Outgoing,
        memory_kills: impl Fn() -> u64,
    ) -> Option<ExecDone> {
        if self.wake_at().is_some_and(|at| at <= Instant::now()) {
            self.timed_out |= self.killed.is_none();
            self.kill();
        }
        self.read_pipes(buffer, outgoing);
        self.look_for_end();
        self.ended.as_ref()?;
        // Every writer of the command is dead: what is in the pipes now is all there is.
        let all_read = self.read_pipes(buffer, outgoing);
        if !all_read {
            return None;
        }
        Some(self.finish(memory_kills()))
    }

    fn look_for_end(&mut self) {
        let Some(process_fd) = &self.process_fd else { return };
        let is_over = is_readable(process_fd);
        if !is_over {
            if !self.culled && self.report.as_ref().is_some_and(is_readable) {
                self.cull();
            }
            return;
        }
        // For a nested namespace this returns after the kernel has killed all of it.
        let _ = system::wait(self.process, 0);
        self.process_fd = None;
        for pipe in [&mut self.stdout, &mut self.stderr] {
            pipe.left = Some(MAX_PIPE_BYTES);
        }
        let report = self.report.take().map_or(Report::Silent, read_report);
        self.ended = Some(Ended {
            report,
            duration: self.begun.elapsed(),
        });
    }

    /// Reads what is there; returns whether nothing more can come now.
    fn read_pipes(&mut self, buffer: &mut [u8], outgoing: &mut Outgoing) -> bool {
        let mut all_read = true;
        for pipe in [&mut self.stdout, &mut self.stderr] {
            all_read &= match &mut self.mode {
                Mode::Captured(capture) => pipe.read(buffer, |kind, offset, bytes| {
                    capture.add(bytes);
                    if self.is_shown {
                        outgoing.push_live(kind, self.stream, offset, bytes);
                    }
                    true
                }),
                Mode::Streamed(0) => pipe.fd.is_none(),
                Mode::Streamed(credit) => {
                    let room = usize::try_from(*credit).unwrap_or(usize::MAX).min(buffer.len());
                    let buffer = buffer.get_mut(..room).unwrap_or_default();
                    pipe.read(buffer, |kind, offset, bytes| {
                        *credit -= bytes.len() as u64;
                        outgoing.push(kind, self.stream, offset, bytes);
                        // The next read may take only what credit is left.
                        false
                    })
                }
            };
        }
        all_read
    }

    fn finish(&mut self, memory_kills: u64) -> ExecDone {
        let (report, duration) = match self.ended.take() {
            Some(ended) => (ended.report, ended.duration),
            None => (Report::Silent, self.begun.elapsed()),
        };
        let mut done = ExecDone {
            timed_out: self.timed_out,
            disk_exceeded: self.disk_exceeded,
            out_of_memory: memory_kills > self.memory_kills,
            duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            stdout_bytes: self.stdout.offset,
            stderr_bytes: self.stderr.offset,
            ..ExecDone::default()
        };
        match report {
            Report::Status(status) if libc::WIFEXITED(status) => done.exit_code = Some(libc::WEXITSTATUS(status)),
            Report::Status(status) => done.signal = Some(libc::WTERMSIG(status)),
            Report::NotStarted(message) => done.start_error = Some(message),
            Report::Silent => done.signal = Some(libc::SIGKILL),
        }
        if let Mode::Captured(capture) = std::mem::replace(&mut self.mode, Mode::Streamed(0)) {
            let kept = capture.finish();
            done.head = kept.head;
            done.tail = kept.tail;
            done.omitted_bytes = kept.omitted_bytes;
            done.spill_path = kept.spill_path;
            done.spill_bytes = kept.spill_bytes;
        }
        done
    }
}

fn is_readable(fd: &OwnedFd) -> bool {
    let mut entry = [libc::pollfd {
        fd: std::os::fd::AsRawFd::as_raw_fd(fd),
        events: libc::POLLIN,
        revents: 0,
    }];
    system::poll(&mut entry, 0).is_ok() && entry.iter().any(|entry| entry.revents != 0)
}

impl Pipe {
    /// Reads once, or while `take` says so; returns whether nothing more can come now.
    fn read(&mut self, buffer: &mut [u8], mut take: impl FnMut(u8, u64, &[u8]) -> bool) -> bool {
        // A few rounds, so that one command with endless output does not keep the loop from the others.
        for _ in 0..4 {
            let Some(fd) = &self.fd else { return true };
            if self.left == Some(0) {
                self.fd = None;
                return true;
            }
            match system::read(fd.as_fd(), buffer) {
                Ok(0) => self.fd = None,
                Ok(count) => {
                    let goes_on = take(self.kind, self.offset, buffer.get(..count).unwrap_or_default());
                    self.offset += count as u64;
                    self.left = self.left.map(|left| left.saturating_sub(count as u64));
                    if !goes_on {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.fd = None,
            }
        }
        self.fd.is_none()
    }
}
