//! Makes a container and tries from inside what must be refused.
//!
//! What is tried is `trial`'s; here is what of it this backend can promise, and what is said where it can't.

use super::container::Maker;
use super::engine::EngineFacts;
use super::request::SUPERVISOR;
use crate::sandbox::trial::{self, DEADLINE, HostSide};
use crate::sandbox::{Capabilities, Sandbox as _, SandboxError, SandboxSpec};

/// What must be the sandbox's own and not the host's. An engine shares the user namespace, unless it is told to.
const NAMESPACES: [&str; 6] = ["mnt", "pid", "net", "ipc", "uts", "cgroup"];

/// Runs the test and says what holds.
pub(super) async fn run(maker: &Maker) -> Result<Capabilities, SandboxError> {
    let facts = maker.engine.facts().await?;
    let host = HostSide::prepare(maker.instance.folder(), &NAMESPACES)?;
    let sandbox = maker.create(SandboxSpec::of_no_task(DEADLINE)).await?;
    let judged = trial::judge(sandbox.as_ref(), SUPERVISOR, &host).await;
    let layers = sandbox.layers().to_vec();
    let destroyed = sandbox.destroy().await;
    judged?;
    destroyed?;
    tracing::debug!(
        version = facts.version,
        cgroup = facts.cgroup_version,
        "the docker engine was tried"
    );
    Ok(capabilities(&facts, layers))
}

fn capabilities(facts: &EngineFacts, layers: Vec<String>) -> Capabilities {
    let mut enforced = layers;
    enforced.extend(["memory", "cpu", "pids", "processes"].map(str::to_owned));
    let mut not_enforced = Vec::new();
    if !facts
        .security
        .iter()
        .any(|option| option.contains("userns") || option.contains("rootless"))
    {
        not_enforced.push(
            "root of a container is root of the engine's machine, because the engine has no user namespaces \
             (userns-remap) and is not rootless; commands are another user"
                .to_owned(),
        );
    }
    not_enforced.push(
        "no disk limit on the work tree as a whole, only on each file: it is a volume of the engine, whose disk keeps no \
         quota"
            .to_owned(),
    );
    enforced.sort();
    enforced.dedup();
    Capabilities { enforced, not_enforced }
}
