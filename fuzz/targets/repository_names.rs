//! Addresses of repositories and names of branches, as callers send them.
//!
//! What is accepted is a fixed point: shown and read again it is the same, and it has nothing but what the
//! grammar allows. The two modules stand alone, so they are taken in as they are: all of the server would
//! have to be built for them otherwise.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../server/src/task/address.rs"]
#[allow(dead_code, unreachable_pub)]
mod address;
#[path = "../../server/src/task/branch.rs"]
#[allow(dead_code, unreachable_pub)]
mod branch;

use address::{AddressPolicy, RepositoryAddress};
use branch::BranchName;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let policy = AddressPolicy {
        hosts: vec![("github.com".into(), None), ("forge.test".into(), Some(8443))],
        local_roots: vec!["/srv/git".into()],
    };
    if let Ok(address) = RepositoryAddress::parse(&text, &policy) {
        let shown = address.to_string();
        assert_eq!(RepositoryAddress::parse(&shown, &policy).as_ref(), Ok(&address));
        match &address {
            RepositoryAddress::Remote {
                host,
                port,
                owner,
                name,
            } => {
                assert!(policy.hosts.contains(&(host.clone(), *port)));
                let is_plain = |text: &str, more: &[u8]| {
                    !text.is_empty()
                        && text
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
                };
                assert!(is_plain(owner, b"-_") && is_plain(name, b"-_."), "{shown}");
                assert!(name != "." && name != "..", "{shown}");
            }
            RepositoryAddress::Local { path } => {
                assert!(path.starts_with("/srv/git"), "{shown}");
                assert!(!path.split('/').any(|part| part == ".." || part == "."), "{shown}");
            }
        }
    }
    if let Ok(branch) = BranchName::parse(&text) {
        assert_eq!(branch.as_str(), text);
        assert_eq!(branch.to_ref(), format!("refs/heads/{text}"));
        assert!(!text.starts_with('-') && !text.contains("..") && !text.bytes().any(|byte| byte < b' '));
    }
});
