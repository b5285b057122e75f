//! The creation request as it is sent, whole.

use super::*;

fn request(supervisor: &SupervisorSource, objects: Option<&str>) -> serde_json::Value {
    let image = ImageId::parse(&format!("sha256:{}", "1".repeat(64))).unwrap();
    let id = "00000000000000000000000000000001".parse().unwrap();
    let body = body(&ContainerPlan {
        id,
        instance: "00000000000000000000000000000002".parse().unwrap(),
        image: &image,
        runtime: None,
        limits: SandboxLimits::default(),
        supervisor,
        objects,
    });
    serde_json::to_value(body).unwrap()
}

#[test]
fn the_request_is_the_snapshot() {
    let supervisor = SupervisorSource::Path("/state/supervisor".into());
    let sent = request(&supervisor, Some("/mirror/objects"));
    let expected: serde_json::Value = serde_json::from_str(include_str!("snapshot.json")).unwrap();
    assert_eq!(sent, expected, "{}", serde_json::to_string_pretty(&sent).unwrap());
}

#[test]
fn where_no_path_is_shared_none_is_in_the_request() {
    let sent = request(&SupervisorSource::Volume("backspace-supervisor-0".into()), None);
    let mounts = sent["HostConfig"]["Mounts"].as_array().unwrap();
    let kinds: Vec<_> = mounts.iter().map(|mount| (&mount["Type"], &mount["Source"])).collect();
    let (volume, none) = (serde_json::json!("volume"), serde_json::Value::Null);
    let name = serde_json::json!("backspace-supervisor-0");
    assert_eq!(kinds, [(&volume, &name), (&volume, &none), (&volume, &none)]);
}

#[test]
fn a_socket_of_the_engine_is_never_among_the_mounts() {
    let supervisor = SupervisorSource::Path("/state/supervisor".into());
    assert!(!request(&supervisor, None).to_string().contains("docker.sock"));
}
