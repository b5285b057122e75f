//! The creation request as it is sent, whole.

use super::*;

fn request(supervisor: &SupervisorSource, work_tree: &FolderVolume, objects: Option<&str>) -> serde_json::Value {
    let image = ImageId::parse(&format!("sha256:{}", "1".repeat(64))).unwrap();
    let id = "00000000000000000000000000000001".parse().unwrap();
    let body = body(&ContainerPlan {
        id,
        instance: "00000000000000000000000000000002".parse().unwrap(),
        image: &image,
        runtime: None,
        limits: SandboxLimits::default(),
        supervisor,
        work_tree,
        home: None,
        objects,
    });
    serde_json::to_value(body).unwrap()
}

#[test]
fn the_request_is_the_snapshot() {
    let supervisor = SupervisorSource::Path("/state/supervisor".into());
    let sent = request(&supervisor, &FolderVolume::Own, Some("/mirror/objects"));
    let expected: serde_json::Value = serde_json::from_str(include_str!("snapshot.json")).unwrap();
    assert_eq!(sent, expected, "{}", serde_json::to_string_pretty(&sent).unwrap());
}

#[test]
fn where_no_path_is_shared_none_is_in_the_request() {
    let sent = request(
        &SupervisorSource::Volume("backspace-supervisor-0".into()),
        &FolderVolume::Own,
        None,
    );
    let mounts = sent["HostConfig"]["Mounts"].as_array().unwrap();
    let kinds: Vec<_> = mounts.iter().map(|mount| (&mount["Type"], &mount["Source"])).collect();
    let (volume, none) = (serde_json::json!("volume"), serde_json::Value::Null);
    let name = serde_json::json!("backspace-supervisor-0");
    assert_eq!(kinds, [(&volume, &name), (&volume, &none), (&volume, &none)]);
}

#[test]
fn a_socket_of_the_engine_is_never_among_the_mounts() {
    let supervisor = SupervisorSource::Path("/state/supervisor".into());
    assert!(
        !request(&supervisor, &FolderVolume::Own, None)
            .to_string()
            .contains("docker.sock")
    );
}

#[test]
fn a_checkout_lies_under_a_work_tree_that_goes_with_the_container() {
    let over = FolderVolume::Over {
        lower: vec!["/v/tree/_data".into(), "/v/setup/_data".into()],
        upper: "/v/upper/_data".into(),
        scratch: "/v/scratch/_data".into(),
    };
    let sent = request(&SupervisorSource::Volume("backspace-supervisor-0".into()), &over, None);
    let expected = serde_json::json!({
        "Target": "/workspace",
        "Type": "volume",
        "VolumeOptions": {
            "NoCopy": true,
            "Labels": {
                "backspace.instance": "00000000000000000000000000000002",
                "backspace.sandbox": "00000000000000000000000000000001",
            },
            "DriverConfig": {
                "Name": "local",
                "Options": {
                    "type": "overlay",
                    "device": "overlay",
                    "o": "lowerdir=/v/tree/_data:/v/setup/_data,upperdir=/v/upper/_data,workdir=/v/scratch/_data",
                },
            },
        },
    });
    assert_eq!(sent["HostConfig"]["Mounts"][1], expected);
}

#[test]
fn a_home_folder_in_a_volume_is_none_of_memory_and_is_watched() {
    let image = ImageId::parse(&format!("sha256:{}", "1".repeat(64))).unwrap();
    let home = FolderVolume::Named("backspace-1-home".into());
    let sent = body(&ContainerPlan {
        id: SandboxId::random(),
        instance: "00000000000000000000000000000002".parse().unwrap(),
        image: &image,
        runtime: None,
        limits: SandboxLimits::default(),
        supervisor: &SupervisorSource::Volume("backspace-supervisor-0".into()),
        work_tree: &FolderVolume::Named("backspace-1-tree".into()),
        home: Some(&home),
        objects: None,
    });
    let sent = serde_json::to_value(sent).unwrap();
    let mounts = sent["HostConfig"]["Mounts"].as_array().unwrap();
    let places: Vec<_> = mounts
        .iter()
        .map(|mount| (&mount["Target"], &mount["Source"]))
        .collect();
    let text = |text: &str| serde_json::json!(text);
    assert_eq!(places[1], (&text("/workspace"), &text("backspace-1-tree")));
    assert_eq!(places[3], (&text("/home/agent"), &text("backspace-1-home")));
    assert_eq!(sent["HostConfig"]["Tmpfs"].get("/home/agent"), None);
    assert_eq!(
        sent["Cmd"],
        serde_json::json!(["contain", SandboxLimits::default().disk_bytes.to_string()])
    );
}

#[test]
fn a_sandbox_is_known_by_the_name_of_its_container() {
    let id = SandboxId::random();
    assert_eq!(id_of_name(&format!("/{}", name(id))), Some(id));
    assert_eq!((id_of_name("/other"), id_of_name("/backspace-x")), (None, None));
}
