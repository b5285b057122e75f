//! The grammars of addresses and branch names, held against the `url` crate and git itself.

use backspace_server::task::address::{AddressPolicy, RepositoryAddress};
use backspace_server::task::branch::{BranchError, BranchName};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::fixture::run_any;

fn policy() -> AddressPolicy {
    AddressPolicy {
        hosts: vec![("github.com".into(), None), ("forge.test".into(), Some(8443))],
        local_roots: vec!["/srv/git".into()],
    }
}

/// Pieces that good and hostile addresses are made of.
const PIECES: [&str; 58] = [
    "https://",
    "HTTPS://",
    "http://",
    "ssh://",
    "git://",
    "file://",
    "ext::",
    "git@",
    "github.com",
    "GitHub.com",
    "forge.test",
    "evil.test",
    "127.0.0.1",
    "[::1]",
    "0x7f.1",
    "169.254.169.254",
    ":",
    ":443",
    ":8443",
    ":22",
    ":0443",
    ":99999",
    "/",
    "//",
    "\\",
    "octo",
    "hello",
    "hello.git",
    ".git",
    ".",
    "..",
    "-x",
    "--upload-pack=id",
    "@",
    "?q",
    "#f",
    "%2e",
    "%00",
    "%0a",
    "\t",
    "\n",
    "\r",
    " ",
    "\u{0}",
    "\u{ff0f}",
    "\u{3002}",
    "\u{202e}",
    "ⓖithub.com",
    "user:pw@",
    "/srv/git",
    "/srv/git/a.git",
    "/etc/passwd",
    "a b",
    "$(id)",
    "`id`",
    "|id",
    ";id",
    "é",
];

fn address() -> impl Strategy<Value = String> {
    let near = vec(select(&PIECES[..]), 0..9).prop_map(|pieces| pieces.concat());
    // Good ones with one byte changed, put in or taken out.
    let good = select(vec![
        "https://github.com/octo/hello",
        "https://forge.test:8443/octo/hello.git",
        "git@github.com:octo/hello.git",
        "ssh://git@github.com:22/octo/hello",
        "/srv/git/a/b.git",
    ]);
    let mutated = (good, any::<proptest::sample::Index>(), any::<u8>(), 0..3).prop_map(|(text, at, byte, kind)| {
        let mut bytes = text.as_bytes().to_vec();
        let at = at.index(bytes.len());
        match kind {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
        String::from_utf8_lossy(&bytes).into_owned()
    });
    prop_oneof![near, mutated, ".{0,40}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_is_what_every_other_reader_sees(text in address()) {
        let Ok(address) = RepositoryAddress::parse(&text, &policy()) else {
            return Ok(());
        };
        let canonical = address.to_string();
        // The canonical form is a fixed point.
        let again = RepositoryAddress::parse(&canonical, &policy());
        prop_assert_eq!(again.as_ref(), Ok(&address));
        match &address {
            RepositoryAddress::Remote { host, port, owner, name } => {
                prop_assert!(policy().hosts.contains(&(host.clone(), *port)));
                prop_assert!(text.is_ascii());
                let url = url::Url::parse(&canonical).unwrap();
                prop_assert_eq!(url.scheme(), "https");
                prop_assert_eq!(url.host_str(), Some(host.as_str()));
                prop_assert_eq!(url.port(), *port);
                prop_assert_eq!(url.path(), format!("/{owner}/{name}"));
                prop_assert_eq!((url.username(), url.password(), url.query(), url.fragment()), ("", None, None, None));
                prop_assert_eq!(url.as_str(), canonical.as_str());
                // As given, a URL library reads the same host, or does not take it for a URL.
                if text.to_ascii_lowercase().starts_with("https://") {
                    let given = url::Url::parse(&text).unwrap();
                    prop_assert_eq!(given.host_str(), Some(host.as_str()));
                    prop_assert_eq!(given.port(), *port);
                }
            }
            RepositoryAddress::Local { path } => {
                // The root itself may be the repository.
                prop_assert!(path == "/srv/git" || path.starts_with("/srv/git/"));
                let plain: std::path::PathBuf = std::path::Path::new(path).components().collect();
                prop_assert_eq!(plain.to_str(), Some(path.as_str()));
                prop_assert!(!path.split('/').any(|part| part == ".."));
            }
        }
    }

    #[test]
    fn every_good_address_is_accepted(
        owner in "[A-Za-z0-9_][A-Za-z0-9_-]{0,38}",
        name in "[A-Za-z0-9_][A-Za-z0-9._-]{0,60}[A-Za-z0-9_-]",
    ) {
        prop_assume!(!name.to_ascii_lowercase().ends_with(".git"));
        for form in [
            format!("https://github.com/{owner}/{name}"),
            format!("https://github.com/{owner}/{name}.git"),
            format!("git@github.com:{owner}/{name}.git"),
            format!("ssh://git@github.com/{owner}/{name}/"),
        ] {
            let address = RepositoryAddress::parse(&form, &policy());
            prop_assert_eq!(address.map(|address| address.to_string()), Ok(format!("https://github.com/{owner}/{name}")));
        }
    }
}

const BRANCH_PIECES: [&str; 34] = [
    "a",
    "B",
    "main",
    "feature",
    "/",
    "//",
    ".",
    "..",
    ".lock",
    "@",
    "@{",
    "{",
    "}",
    "~",
    "^",
    ":",
    "?",
    "*",
    "[",
    "]",
    "\\",
    " ",
    "-",
    "_",
    "\t",
    "\u{7f}",
    "\u{1}",
    "é",
    "refs/",
    "heads/",
    "HEAD",
    "lock",
    "0123456789",
    "ü",
];

/// Asks git about many names in one call: each is the name of a ref to be made.
fn git_takes(names: &[String]) -> Vec<bool> {
    names
        .iter()
        .map(|name| {
            let full = format!("refs/heads/{name}");
            run_any(None, &[], &["check-ref-format", &full], b"").status.success()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn branch_names_are_judged_as_git_judges_them(
        names in vec(vec(select(&BRANCH_PIECES[..]), 1..6).prop_map(|pieces| pieces.concat()), 60)
    ) {
        for (name, git_takes) in names.iter().zip(git_takes(&names)) {
            match BranchName::parse(name) {
                Ok(branch) => {
                    prop_assert!(git_takes, "git refuses {:?}", name);
                    prop_assert_eq!(branch.as_str(), name);
                    prop_assert_eq!(branch.to_ref(), format!("refs/heads/{name}"));
                }
                // Ours on top of git's: never used as given though git would take them.
                Err(BranchError::Misleading | BranchError::Length) => {}
                Err(BranchError::Malformed) => {
                    prop_assert!(!git_takes || name.starts_with('-'), "git takes {:?}", name);
                }
            }
        }
    }
}
