//! The confined process that parses: one question a line on standard input, one answer a line on standard
//! output.
//!
//! Parsers are C code, and what they read was written by anybody. So they run in a process without a
//! secret, whose only system calls left are those of memory, its two pipes and its end: who takes it over
//! can lie about definitions and nothing else.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Read as _, Write as _};

use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde::{Deserialize, Serialize};

use super::definition::{Language, definitions};

/// The subcommand of the server that is this process.
pub const SUBCOMMAND: &str = "outline";

/// Most bytes of one question.
pub(super) const MAX_LINE_BYTES: u64 = 2 * 1024 * 1024;

const MEMORY_BYTES: u64 = 1 << 30;
const PROCESSOR_SECONDS: u64 = 10;

/// A file to tell the definitions of.
#[derive(Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) language: Language,
    pub(super) text: String,
}

/// What the process may still ask of the kernel.
const ALLOWED: [libc::c_long; 18] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Answers until standard input ends.
pub fn main() -> std::io::Result<()> {
    confine()?;
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let Question { language, text } = serde_json::from_slice(&line)?;
        serde_json::to_writer(&mut output, &definitions(language, &text))?;
        output.write_all(b"\n")?;
    }
}

fn confine() -> std::io::Result<()> {
    for (resource, most) in [
        (Resource::As, MEMORY_BYTES),
        (Resource::Cpu, PROCESSOR_SECONDS),
        (Resource::Core, 0),
    ] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)?;
    }
    let program = filter().map_err(std::io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(std::io::Error::other)
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let filter = SeccompFilter::new(
        ALLOWED
            .iter()
            .map(|&call| (call, Vec::new()))
            .collect::<BTreeMap<_, _>>(),
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    filter.try_into()
}
