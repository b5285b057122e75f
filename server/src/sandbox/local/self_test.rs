//! Makes a sandbox and tries from inside what must be refused.
//!
//! What is tried is `trial`'s; here is what of it this backend can promise, and what is said where it can't.

use sandbox_supervisor::plan::PROBE;

use super::super::trial::{self, DEADLINE, HostSide};
use super::super::{Capabilities, Sandbox as _, SandboxError, SandboxSpec};
use super::running::{Maker, Probe};

/// What must be the sandbox's own and not the host's.
const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];

/// Runs the test and says what holds. Where images were only to be tried, a second time without them.
pub(super) async fn run(maker: &Maker) -> Result<Capabilities, SandboxError> {
    match try_once(maker).await {
        Err(error) if maker.disk.give_up(&error) => try_once(maker).await,
        result => result,
    }
}

async fn try_once(maker: &Maker) -> Result<Capabilities, SandboxError> {
    let host = HostSide::prepare(maker.folders.root(), &NAMESPACES)?;
    let spec = SandboxSpec::of_no_task(DEADLINE);
    let sandbox = maker.create_with(spec, maker.storage(), Probe::Shown).await?;
    let judged = trial::judge(sandbox.as_ref(), PROBE, &host).await;
    let layers = sandbox.layers().to_vec();
    let destroyed = sandbox.destroy().await;
    judged?;
    destroyed?;
    Ok(capabilities(maker, layers))
}

fn capabilities(maker: &Maker, mut enforced: Vec<String>) -> Capabilities {
    let limited = maker.cgroups.limited();
    enforced.extend(limited.iter().map(|&name| name.to_owned()));
    let mut not_enforced = Vec::new();
    if !limited.contains(&"memory") {
        not_enforced.push(
            "no aggregate memory limit: no memory cgroup can be made here, so each process is limited alone and \
             shared memory is not counted"
                .to_owned(),
        );
    }
    if limited.contains(&"pids") {
        enforced.push("processes".into());
    }
    if !limited.contains(&"cpu") {
        not_enforced.push("no CPU limit: no cpu cgroup can be made here".to_owned());
    }
    match maker.disk.why_not() {
        None => enforced.push("disk".into()),
        Some(why) => not_enforced.push(format!(
            "no disk limit on the work tree that always holds: each file has one, and the whole is watched while commands run; it is a folder of this machine, because {why}"
        )),
    }
    if !maker.host_ids.are_mapped() {
        not_enforced.push(
            "commands run as the server's own user on the host; process namespace, mount tree and seccomp keep them in"
                .into(),
        );
    }
    enforced.sort();
    enforced.dedup();
    Capabilities { enforced, not_enforced }
}
