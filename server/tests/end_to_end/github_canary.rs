//! The token of the server is nowhere but in its requests to GitHub, whatever a command looks for.
//!
//! Looked for as it is and as base64, hex and backwards, in everything the server wrote, told or sent,
//! in the arguments of every process, and by a model that hunts for it in its sandbox.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use prost::Message as _;
use serde_json::json;

use crate::event_log::Follower;
use crate::fake_github::{Answer, Manner, Trouble};
use crate::hub::{Hub, TOKEN};
use crate::script::{bash, finish, turn};
use crate::site::Site;

/// Looks everywhere a command can: the token's own middle, which no script of the test has in one piece.
const HUNT: &str = "printf good >out.txt; \
    { env; cat /proc/*/environ /proc/*/cmdline; git config --list --show-origin; git remote -v; \
      git credential fill </dev/null; cat /proc/*/root/proc/*/environ; \
      find . /tmp /etc /run /dev/shm \"$HOME\" -type f -size -64k -exec cat {} +; } 2>/dev/null \
    | tr '\\0' '\\n' | awk 'index($0, p q) { found++ } END { print \"found \" found+0 }' p=CANARY01234 q=56789_abcdef";

fn forms() -> Vec<Vec<u8>> {
    let base64 = &base64::engine::general_purpose::STANDARD;
    let basic = base64.encode(format!("x-access-token:{TOKEN}"));
    let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    let backwards: String = TOKEN.chars().rev().collect();
    // Without the ends, which depend on what stands around.
    let inner = base64.encode(TOKEN);
    [
        TOKEN.to_owned(),
        basic,
        hex,
        backwards,
        inner[..inner.len() - 4].to_owned(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect()
}

fn holds(bytes: &[u8]) -> bool {
    static SEARCH: LazyLock<AhoCorasick> = LazyLock::new(|| AhoCorasick::new(forms()).unwrap());
    SEARCH.is_match(bytes)
}

/// Larger files are the sparse disks of sandboxes, made ahead; what is in one is looked through from inside.
const LARGEST_FILE_BYTES: u64 = 256 << 20;

/// Returns the files below a folder that hold the token.
fn found_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(found_in(&path));
        } else if kind.is_file()
            && entry.metadata().unwrap().len() <= LARGEST_FILE_BYTES
            && std::fs::read(&path).is_ok_and(|bytes| holds(&bytes))
        {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_nowhere() {
    let site = Site::new();
    let hub = Hub::start(&site).await;
    site.script(
        "hunt",
        json!([
            turn(&[bash(HUNT)]),
            { "expect": "found 0\n", "call": [finish("I looked for the token.")] },
        ]),
    );
    // A forge that repeats in its refusal what it was sent.
    let echo = Answer::error(403, &format!("Resource not accessible by {TOKEN}"));
    hub.hub.trouble(Trouble::at("POST", "/labels", Manner::Answer(echo)));
    let launch = hub.launch(&site).flag("--log-level", "trace");
    let server = launch.start().await;
    let mut spec = hub.spec("hunt");
    spec.publication.get_or_insert_default().labels = vec!["a".into()];
    let mut follower = Follower::run(&server.client(), spec);
    let task = follower.end().await;
    assert_eq!(follower.count("end SUCCEEDED"), 1, "{:?}", follower.visible());
    assert_eq!(
        follower.count("warning the labels of the pull request could not be set"),
        1
    );

    for event in &follower.events {
        assert!(!holds(&event.encode_to_vec()), "{event:?}");
    }
    assert!(!holds(&task.encode_to_vec()));
    let log = server.log();
    assert!(log.iter().any(|line| line.contains("pushed")), "the control");
    for line in log {
        assert!(!holds(line.as_bytes()), "{line}");
    }
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        assert!(!holds(&arguments));
    }
    server.terminate().await;
    assert_eq!(found_in(site.root()), Vec::<PathBuf>::new());
    let branch = hub.repository.only_branch();
    assert!(!holds(hub.repository.git(&["log", "-p", &branch]).as_bytes()));
    for exchange in hub.hub.exchanges() {
        assert!(!holds(exchange.path.as_bytes()) && !holds(exchange.body.to_string().as_bytes()));
    }

    // The controls: it was used, for the API and for git, and the search finds it where it is.
    let bearer = format!("Bearer {TOKEN}");
    assert!(
        hub.hub
            .exchanges()
            .iter()
            .all(|exchange| exchange.authorization.as_ref() == Some(&bearer))
    );
    let git = hub.hub.shared.git_authorizations.lock().unwrap().clone();
    assert!(
        git.iter()
            .any(|(_, header)| header.as_ref().is_some_and(|header| holds(header.as_bytes())))
    );
    std::fs::write(
        site.path("planted"),
        base64::engine::general_purpose::STANDARD.encode(TOKEN),
    )
    .unwrap();
    assert_eq!(found_in(site.root()), [site.path("planted")]);
}
