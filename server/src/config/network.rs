//! Settings of the network: what sandboxes may reach, and where people reach the server.

use super::Reader;
use crate::sandbox::egress::address::AddressRange;
use crate::task::host::rules::HostRules;

impl Reader<'_> {
    /// Reads an address that is put into pull requests: no more than scheme, host and path.
    pub(super) fn public_url(&mut self) -> Option<String> {
        let url = self
            .values
            .text("BACKSPACE_PUBLIC_URL")?
            .trim_end_matches('/')
            .to_owned();
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/[]".contains(&byte);
        if rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_plain)) {
            return Some(url);
        }
        let fault = format!("BACKSPACE_PUBLIC_URL={url} must look like https://backspace.example.com");
        self.faults.push(fault);
        None
    }

    pub(super) fn allowed_hosts(&mut self) -> HostRules {
        let variable = "BACKSPACE_ALLOWED_HOSTS";
        let entries = self.values.list(variable);
        HostRules::parse(&entries).unwrap_or_else(|faults| {
            for (index, fault) in faults {
                let entry = entries.get(index).map_or("", String::as_str);
                self.faults.push(format!("{variable}: {entry}: {fault}"));
            }
            HostRules::default()
        })
    }

    pub(super) fn private_ranges(&mut self) -> Vec<AddressRange> {
        let variable = "BACKSPACE_PRIVATE_RANGES";
        let mut ranges = Vec::new();
        for entry in self.values.list(variable) {
            match entry.parse() {
                Ok(range) => ranges.push(range),
                Err(error) => self.faults.push(format!("{variable}: {entry} {error}")),
            }
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::config::settings::{self, Values};
    use crate::config::{Config, ConfigFaults};

    fn config(hosts: &str, ranges: &str) -> Result<Config, ConfigFaults> {
        let environment = BTreeMap::from([
            ("BACKSPACE_ALLOWED_HOSTS".to_owned(), hosts.to_owned()),
            ("BACKSPACE_PRIVATE_RANGES".to_owned(), ranges.to_owned()),
        ]);
        let flags = settings::command().get_matches_from(["backspace-server"]);
        let values = Values::gather(&flags, &environment, &BTreeMap::new());
        Config::new(&values, Some("/home/x/.local/share".into()))
    }

    #[test]
    fn hosts_and_ranges_are_read() {
        let read = config("@pypi,*.example.com", "10.1.0.0/16").unwrap();
        assert_eq!(
            read.allowed_hosts.to_string(),
            "pypi.org, files.pythonhosted.org, *.example.com"
        );
        assert_eq!(read.private_ranges, ["10.1.0.0/16".parse().unwrap()]);
        let nothing = config("", "").unwrap();
        assert!(nothing.allowed_hosts.is_empty() && nothing.private_ranges.is_empty());
    }

    #[test]
    fn a_public_address_is_one_that_can_stand_in_a_link() {
        let read = |url: &str| {
            let environment = BTreeMap::from([("BACKSPACE_PUBLIC_URL".to_owned(), url.to_owned())]);
            let flags = settings::command().get_matches_from(["backspace-server"]);
            let values = Values::gather(&flags, &environment, &BTreeMap::new());
            Config::new(&values, Some("/home/x/.local/share".into())).map(|config| config.public_url)
        };
        assert_eq!(
            read("https://b.example.com/x/"),
            Ok(Some("https://b.example.com/x".into()))
        );
        assert_eq!(read(""), Ok(None));
        for wrong in ["b.example.com", "https://", "https://b.example.com/)", "https://b <x>"] {
            assert_eq!(read(wrong).unwrap_err().0.len(), 1, "{wrong}");
        }
    }

    #[test]
    fn every_wrong_entry_is_a_fault() {
        let faults = config("@nothing,a.org,http://b.org", "10.1.0.0,::/0").unwrap_err();
        assert_eq!(faults.0.len(), 3, "{faults}");
        assert!(faults.0[0].starts_with("BACKSPACE_ALLOWED_HOSTS: @nothing: there is no group of that name"));
        assert!(faults.0[2].starts_with("BACKSPACE_PRIVATE_RANGES: 10.1.0.0 is no range"));
    }
}
