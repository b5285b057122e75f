use super::*;

fn limits() -> SandboxLimits {
    SandboxLimits {
        memory_bytes: 1 << 30,
        cpu_millis: 1500,
        pids: 99,
        ..SandboxLimits::default()
    }
}

fn touch(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "").unwrap();
}

/// Makes the files that the kernel makes in a new group; an ordinary folder has none.
fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn version_one_groups_are_made_below_the_servers_own_or_below_the_root_it_sees() {
    let root = tempfile::tempdir().unwrap();
    touch(&root.path().join("memory/service/cgroup.procs"));
    touch(&root.path().join("memory/cgroup.procs"));
    touch(&root.path().join("pids/cgroup.procs"));
    let own = "5:cpu,cpuacct:/\n4:pids:/not/in/sight\n3:memory:/service\n0::/\n";
    let found = Cgroups::find_for(root.path(), own);
    assert_eq!(
        found,
        Cgroups::One {
            controllers: vec![
                ("memory", root.path().join("memory/service/backspace")),
                ("pids", root.path().join("pids/backspace")),
            ],
            kill: None,
        }
    );
    let id = SandboxId::random();
    let made = found.make(id, &limits()).unwrap();
    let [memory, pids] = made.folders.as_slice() else {
        panic!("{:?}", made.folders);
    };
    assert_eq!(read(memory, "memory.limit_in_bytes"), (1_u64 << 30).to_string());
    assert_eq!(read(memory, "memory.swappiness"), "0");
    assert_eq!(read(pids, "pids.max"), "99");
    assert_eq!(made.oom_counter, Some(memory.join("memory.oom_control")));
}

#[test]
fn version_two_groups_are_made_beside_the_server_where_controllers_can_be_had() {
    let root = tempfile::tempdir().unwrap();
    touch(&root.path().join("cgroup.controllers"));
    fs::create_dir_all(root.path().join("unit/server")).unwrap();
    // Plain files keep only the last word written, so it stands for all.
    let found = Cgroups::find_for(root.path(), "0::/unit/server\n");
    let folder = root.path().join("unit/backspace");
    assert_eq!(
        found,
        Cgroups::Two {
            folder: folder.clone(),
            controllers: vec!["cpu"],
        }
    );
    let id = SandboxId::random();
    let made = found.make(id, &limits()).unwrap();
    assert_eq!(made.folders, [folder.join(id.to_string())]);
    assert_eq!(read(&folder.join(id.to_string()), "cpu.max"), "150000 100000");
}

#[test]
fn without_a_writable_hierarchy_there_are_none() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(Cgroups::find_for(root.path(), "3:memory:/\n0::/\n"), Cgroups::None);
    assert_eq!(
        Cgroups::None.make(SandboxId::random(), &limits()).unwrap().folders,
        Vec::<PathBuf>::new()
    );
}

#[test]
fn groups_that_were_made_can_be_removed_and_that_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("group");
    fs::create_dir(&folder).unwrap();
    let groups = SandboxCgroups {
        folders: vec![folder.clone()],
        ..SandboxCgroups::default()
    };
    groups.remove();
    assert!(!folder.exists());
    groups.remove();
}
