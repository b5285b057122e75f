//! What `.backspace.toml` may say, and how its faults are told.

use super::*;

/// The example of docs/backspace-toml.md, so that the documentation can't be wrong.
fn documented_example() -> String {
    let document = include_str!("../../../../../docs/backspace-toml.md");
    let (_, after) = document.split_once("```toml\n").unwrap();
    after.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_documented_example_is_read_whole() {
    let right = RepositorySettings {
        setup: SetupSettings {
            list: CommandList {
                commands: vec!["npm ci".into()],
                timeout: Some(Duration::from_secs(600)),
            },
            network_hosts: Some(vec!["@npm".into()]),
            cache: SetupCache::Allowed,
            inputs: vec!["proto/**".into()],
        },
        verify: CommandList {
            commands: vec!["npm test".into(), "npm run lint".into()],
            timeout: None,
        },
        sandbox: SandboxSettings {
            image: Some("node:22-bookworm".into()),
            network_hosts: vec!["api.example.com".into(), "*.example.org".into()],
        },
        limits: LimitSettings {
            max_turns: Some(100),
            max_tokens: Some(1_000_000),
            max_duration: Some(Duration::from_secs(1800)),
            max_cost_micro_usd: Some(2_500_000),
        },
        protected_paths: vec!["migrations/**".into(), "*.lock".into()],
    };
    assert_eq!(RepositorySettings::parse(&documented_example()), Ok(right));
    assert_eq!(RepositorySettings::parse(""), Ok(RepositorySettings::default()));
}

#[test]
fn each_fault_names_its_line_and_column_and_what_is_right() {
    for (text, line, column, right) in [
        ("[setup]\ncommand = []", 2, 1, "expected"),
        ("\n[nets]\n", 2, 2, "expected"),
        ("[setup]\ncommands = [\"a\", 7]", 2, 18, "expected a string"),
        ("[setup\n", 1, 7, ""),
        ("[verify]\ncommands = [\"ä\", \" \"]", 2, 18, "a command is one line"),
        ("[setup]\ntimeout_seconds = 9999", 2, 19, "from 1 to 1800"),
        ("[sandbox]\nimage = \"-v /:/host\"", 2, 9, "an image is a reference"),
        (
            "[sandbox]\nnetwork_hosts = [\"https://a.b\"]",
            2,
            18,
            "a host is a name",
        ),
        ("[setup]\nnetwork_hosts = [\"*\"]", 2, 18, "a host is a name"),
        ("[setup]\ninputs = [\"/etc\"]", 2, 11, "a path is a glob"),
        ("[setup]\ncache = \"no\"", 2, 9, "expected a boolean"),
        ("[sandbox]\nnetwork_hosts = [\"*\"]", 2, 18, "a host is a name"),
        ("[limits]\nmax_duration_seconds = 60", 2, 24, "from 120"),
        ("[limits]\nmax_cost_usd = -1.0", 2, 16, "from 0.01"),
        ("[paths]\nprotected = [\"a\",\n  \"../x\"]", 3, 3, "a path is a glob"),
    ] {
        let error = RepositorySettings::parse(text).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
        assert!(error.message.contains(right), "{text:?}: {error}");
    }
    let error = SettingsError {
        line: 3,
        column: 5,
        message: "is wrong".into(),
    };
    assert_eq!(error.to_string(), ".backspace.toml:3:5: is wrong");
}

#[test]
fn limits_only_ever_go_down() {
    let limits = Limits {
        max_turns: 50,
        max_cost_micro_usd: None,
        ..Limits::default()
    };
    let stated = LimitSettings {
        max_turns: Some(100),
        max_tokens: Some(10),
        max_duration: Some(Duration::from_secs(120)),
        max_cost_micro_usd: Some(7),
    };
    let right = Limits {
        max_turns: 50,
        max_tokens: 10,
        max_duration: Duration::from_secs(120),
        max_cost_micro_usd: Some(7),
    };
    assert_eq!(stated.narrow(limits), right);
    assert_eq!(LimitSettings::default().narrow(limits), limits);
}

#[test]
fn a_set_up_without_hosts_is_told_from_one_that_wants_none() {
    let setup = |text: &str| RepositorySettings::parse(text).unwrap().setup;
    assert_eq!(setup("[setup]\ncache = true"), SetupSettings::default());
    let stated = setup("[setup]\nnetwork_hosts = []\ncache = false");
    assert_eq!(
        (stated.network_hosts, stated.cache),
        (Some(Vec::new()), SetupCache::Refused)
    );
}
