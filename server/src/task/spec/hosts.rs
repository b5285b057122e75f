//! The hosts of a request: right ones, and only what the server allows.

use super::{Faults, MAX_LIST, MAX_NAME_BYTES};
use crate::task::host::rules::HostRules;

impl Faults {
    pub(super) fn hosts(&mut self, entries: &[String], allowed: &HostRules) {
        let field = "spec.environment.allowed_hosts";
        self.list(field, entries, MAX_NAME_BYTES);
        for (index, entry) in entries.iter().take(MAX_LIST).enumerate() {
            let place = format!("{field}[{index}]");
            match HostRules::parse(&[entry]) {
                // An empty entry has been told already.
                Err(_) if entry.trim().is_empty() => {}
                Err(faults) => {
                    for (_, fault) in faults {
                        self.add::<()>(&place, fault.to_string());
                    }
                }
                Ok(asked) => {
                    let (_, outside) = allowed.divide(asked);
                    if !outside.is_empty() {
                        self.add::<()>(
                            &place,
                            format!("{outside} is not allowed by this server; it allows {allowed}"),
                        );
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_may_ask_only_for_what_the_server_allows() {
        let allowed = HostRules::parse(&["@npm", "*.a.org"]).unwrap();
        let asked = [
            "registry.npmjs.org",
            "@npm",
            "none",
            "b.a.org",
            "a.org",
            "@cargo",
            "http://b.org",
            "",
        ];
        let mut faults = Faults::default();
        faults.hosts(&asked.map(str::to_owned), &allowed);
        let told: Vec<_> = faults
            .0
            .iter()
            .map(|fault| (fault.field.as_str(), fault.description.as_str()))
            .collect();
        let [empty, name, group, wrong] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(*empty, ("spec.environment.allowed_hosts[7]", "is required"));
        assert_eq!(
            *name,
            (
                "spec.environment.allowed_hosts[4]",
                "a.org is not allowed by this server; it allows registry.npmjs.org, registry.yarnpkg.com, *.a.org"
            )
        );
        assert_eq!(group.0, "spec.environment.allowed_hosts[5]");
        assert!(
            group
                .1
                .starts_with("index.crates.io, static.crates.io, crates.io is not allowed")
        );
        assert_eq!(wrong.0, "spec.environment.allowed_hosts[6]");
        assert!(wrong.1.starts_with("a host is a name"), "{}", wrong.1);
    }
}
