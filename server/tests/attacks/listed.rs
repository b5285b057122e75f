//! What is inside a sandbox of any backend, and how it is compared with lists that don't change.

use backspace_server::sandbox::Sandbox;

use crate::inside::output;

/// Compares the mounts with those that are listed; the lines of `always` must be there.
///
/// A line has place, kind of file system, `ro` or `rw`; the kind `*` stands for any.
pub async fn compare_mounts(sandbox: &dyn Sandbox, always: &[&str], is_listed: impl Fn(&str) -> bool) {
    let mounts = output(sandbox, "cat /proc/self/mountinfo").await;
    let found: Vec<_> = mounts.lines().filter_map(shown).collect();
    let strange: Vec<_> = found.iter().filter(|mount| !is_listed(mount)).collect();
    assert_eq!(strange, Vec::<&String>::new(), "{mounts}");
    let missing: Vec<_> = always
        .iter()
        .filter(|wanted| !found.iter().any(|mount| matches(wanted, mount)))
        .collect();
    assert_eq!(
        missing,
        Vec::<&&str>::new(),
        "the control: the mounts were read\n{mounts}"
    );
}

/// A command has what stands for its input and two pipes, and finds no socket in any folder.
pub async fn compare_descriptors_and_sockets(sandbox: &dyn Sandbox) {
    let descriptors =
        "for fd in /proc/self/fd/*; do test -e $fd && echo ${fd##*/} $(readlink $fd | cut -d: -f1); done; true";
    assert_eq!(output(sandbox, descriptors).await, "0 /dev/null\n1 pipe\n2 pipe\n");
    let sockets = "find / -xdev -type s 2>/dev/null; find /workspace /tmp /run /dev -type s 2>/dev/null; true";
    assert_eq!(output(sandbox, sockets).await, "");
}

/// Tells whether a mount is the one of a list's line.
pub fn matches(wanted: &str, mount: &str) -> bool {
    let (wanted, mount): (Vec<_>, Vec<_>) = (wanted.split(' ').collect(), mount.split(' ').collect());
    wanted[0] == mount[0] && (wanted[1] == "*" || wanted[1] == mount[1]) && wanted[2] == mount[2]
}

/// Returns `place kind ro|rw` of a line of mountinfo.
fn shown(line: &str) -> Option<String> {
    let (before, after) = line.split_once(" - ")?;
    let fields: Vec<_> = before.split(' ').collect();
    let mode = if fields[5].split(',').any(|option| option == "ro") {
        "ro"
    } else {
        "rw"
    };
    Some(format!("{} {} {mode}", fields[4], after.split(' ').next()?))
}
