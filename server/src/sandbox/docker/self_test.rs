//! Makes a container and tries from inside what must be refused.
//!
//! What is tried is `trial`'s; here is what of it this backend can promise, and what is said where it can't. A disk for the
//! work tree is only tried: an engine may not see the server's loop devices, and then there is none.

use super::container::{Keeping, Maker};
use super::engine::EngineFacts;
use super::request::SUPERVISOR;
use crate::sandbox::trial::{self, DEADLINE, HostSide};
use crate::sandbox::{Capabilities, FileReply, FileRequest, Sandbox, SandboxError, SandboxSpec, WORK_TREE};

/// What must be the sandbox's own and not the host's. An engine shares the user namespace, unless it is told to.
const NAMESPACES: [&str; 6] = ["mnt", "pid", "net", "ipc", "uts", "cgroup"];

/// Runs the test and says what holds; a second time without a disk, where that was only to be tried.
pub(super) async fn run(maker: &Maker) -> Result<Capabilities, SandboxError> {
    let facts = maker.engine.facts().await?;
    let tried = match try_once(maker).await {
        Err(error) if maker.disks.give_up(&error.to_string()) => try_once(maker).await,
        tried => tried,
    };
    let layers = tried?;
    tracing::debug!(
        version = facts.version,
        cgroup = facts.cgroup_version,
        "the docker engine was tried"
    );
    Ok(capabilities(maker, &facts, layers))
}

async fn try_once(maker: &Maker) -> Result<Vec<String>, SandboxError> {
    let host = HostSide::prepare(maker.instance.folder(), &NAMESPACES)?;
    let sandbox = maker
        .create(SandboxSpec::of_no_task(DEADLINE), Keeping::Nothing)
        .await?;
    let judged = trial::judge(sandbox.as_ref(), SUPERVISOR, &host).await;
    let has_disk = has_disk(sandbox.as_ref()).await;
    let layers = sandbox.layers().to_vec();
    let destroyed = sandbox.destroy().await;
    judged?;
    destroyed?;
    if !has_disk? {
        maker
            .disks
            .give_up("the engine does not share this machine's devices with the server");
    }
    Ok(layers)
}

/// Looks inside whether the work tree is a file system of its own.
async fn has_disk(sandbox: &dyn Sandbox) -> Result<bool, SandboxError> {
    let request = FileRequest::ReadBytes {
        path: "/proc/self/mountinfo".into(),
        offset: 0,
        max_bytes: 64 << 10,
    };
    let Ok(FileReply::Bytes { data, .. }) = sandbox.file(request).await? else {
        return Ok(false);
    };
    let text = String::from_utf8_lossy(&data);
    let is_disk = |line: &str| line.contains(&format!(" / {WORK_TREE} ")) && line.contains(" - ext4 /dev/loop");
    Ok(text.lines().any(is_disk))
}

fn capabilities(maker: &Maker, facts: &EngineFacts, layers: Vec<String>) -> Capabilities {
    let mut enforced = layers;
    enforced.extend(["memory", "cpu", "pids", "processes"].map(str::to_owned));
    let mut not_enforced = Vec::new();
    let has_users = |option: &String| option.contains("userns") || option.contains("rootless");
    if !facts.security.iter().any(has_users) {
        not_enforced.push(
            "root of a container is root of the engine's machine, because the engine has no user namespaces \
             (userns-remap) and is not rootless; commands are another user"
                .to_owned(),
        );
    }
    match maker.disks.why_not() {
        None => {
            enforced.push("disk".into());
            if maker.checkouts.are_usable() {
                not_enforced.push(
                    "no disk limit on a work tree over a kept checkout, only on each file: it is a volume of the engine"
                        .into(),
                );
            }
        }
        Some(why) => not_enforced.push(format!(
            "no disk limit on the work tree as a whole, only on each file: it is a volume of the engine, because {why}"
        )),
    }
    enforced.sort();
    enforced.dedup();
    Capabilities { enforced, not_enforced }
}
