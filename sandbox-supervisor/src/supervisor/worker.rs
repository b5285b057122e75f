//! A process beside the supervisor that does one thing, writes its answer into a pipe and ends.
//!
//! Whatever hangs there (a FIFO, a dead network file system, a huge folder) hangs that process alone, and it
//! is killed after its time. The supervisor never waits for it but by `poll`.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use crate::supervisor::confine::Confinement;
use crate::supervisor::system::{self, Forked};

/// A running worker.
pub(super) struct Worker {
    process: libc::pid_t,
    reader: OwnedFd,
    answer: Vec<u8>,
    most_bytes: usize,
    deadline: Instant,
}

impl Worker {
    /// Forks a process for `work`, whose answer may have so many bytes.
    pub(super) fn start(time_limit: Duration, most_bytes: usize, work: impl FnOnce() -> Vec<u8>) -> io::Result<Self> {
        let (reader, writer) = system::pipe()?;
        let process = match system::fork(0)? {
            Forked::Parent(process) => process,
            Forked::Child => {
                drop(reader);
                let written = File::from(writer).write_all(&work());
                system::exit_now(i32::from(written.is_err()));
            }
        };
        drop(writer);
        system::set_nonblocking(reader.as_fd())?;
        Ok(Self {
            process,
            reader,
            answer: Vec::new(),
            most_bytes,
            deadline: Instant::now() + time_limit,
        })
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.reader
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Reads what is there and returns the answer when it is over: empty when there is none, because the
    /// process was killed, its time has passed, or it said too much.
    pub(super) fn advance(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match system::read(self.reader.as_fd(), &mut buffer) {
                Ok(0) => break,
                Ok(count) => self.answer.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.deadline > Instant::now() && self.answer.len() <= self.most_bytes {
                        return None;
                    }
                    self.answer.clear();
                    break;
                }
                Err(_) => break,
            }
        }
        system::kill(self.process, libc::SIGKILL);
        let _ = system::wait(self.process, 0);
        if self.answer.len() > self.most_bytes {
            self.answer.clear();
        }
        Some(std::mem::take(&mut self.answer))
    }
}

/// Makes this process, a worker, what a command is.
pub(super) fn become_confined(confinement: &Confinement) -> io::Result<()> {
    // The name /proc/self is this process; nobody else of the user may look into it.
    system::control(libc::PR_SET_DUMPABLE, 0)?;
    confinement.apply()
}
