//! The second half: all tests of this file again, by an ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::fixture::{SUPERVISOR_VARIABLE, is_root, supervisor};

const USER: &str = "nobody";

#[test]
fn everything_here_holds_for_an_ordinary_user_too() {
    if !is_root() {
        println!("not root: the tests beside this one are that half, and root's half is not run");
        return;
    }
    // The build folder may lie where only root can look.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let tests = folder.path().join("tests");
    let binary = folder.path().join("backspace-supervisor");
    fs::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    fs::copy(supervisor(), &binary).unwrap();
    let run = Command::new("runuser")
        .args(["-u", USER, "--"])
        .arg(&tests)
        .args(["--skip", "user::"])
        .args(std::env::args().filter(|argument| argument == "--include-ignored"))
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env(SUPERVISOR_VARIABLE, &binary)
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{text}\n{}", String::from_utf8_lossy(&run.stderr));
    assert!(!text.contains("running 0 tests"), "{text}");
}
