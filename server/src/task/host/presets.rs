//! Named groups of hosts: the usual package registries.
//!
//! A registry that takes uploads is also a way out for whoever brings a credential along, which is why no
//! group is allowed unless a server's settings say so.

/// Name of a group, without the `@`, and its patterns.
const PRESETS: &[(&str, &[&str])] = &[
    ("cargo", &["index.crates.io", "static.crates.io", "crates.io"]),
    ("npm", &["registry.npmjs.org", "registry.yarnpkg.com"]),
    ("pypi", &["pypi.org", "files.pythonhosted.org"]),
    ("go", &["proxy.golang.org", "sum.golang.org"]),
    ("maven", &["repo.maven.apache.org", "repo1.maven.org"]),
    (
        "gradle",
        &[
            "plugins.gradle.org",
            "plugins-artifacts.gradle.org",
            "services.gradle.org",
            "downloads.gradle.org",
        ],
    ),
    ("rubygems", &["rubygems.org", "index.rubygems.org"]),
    ("nuget", &["api.nuget.org", "www.nuget.org"]),
    ("packagist", &["packagist.org", "repo.packagist.org"]),
    ("hex", &["hex.pm", "repo.hex.pm", "builds.hex.pm"]),
    ("debian", &["deb.debian.org", "security.debian.org"]),
    (
        "ubuntu",
        &[
            "archive.ubuntu.com",
            "*.archive.ubuntu.com",
            "security.ubuntu.com",
            "ports.ubuntu.com",
        ],
    ),
    ("alpine", &["dl-cdn.alpinelinux.org"]),
];

/// Every group together.
const ALL: &str = "registries";

/// Returns the patterns of a group, by its name without the `@`.
pub fn patterns(name: &str) -> Option<Vec<&'static str>> {
    let chosen: Vec<_> = PRESETS
        .iter()
        .filter(|(preset, _)| name == ALL || *preset == name)
        .flat_map(|(_, patterns)| patterns.iter().copied())
        .collect();
    (!chosen.is_empty()).then_some(chosen)
}

/// Lists the groups, for messages.
pub fn names() -> String {
    let mut names = format!("@{ALL}");
    for (name, _) in PRESETS {
        names.push_str(", @");
        names.push_str(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::host::HostPattern;

    #[test]
    fn every_pattern_of_every_group_is_right() {
        let all = patterns(ALL).unwrap();
        assert!(all.iter().all(|pattern| HostPattern::parse(pattern).is_ok()));
        assert_eq!(
            all.len(),
            PRESETS.iter().map(|(_, patterns)| patterns.len()).sum::<usize>()
        );
        assert_eq!(patterns("pypi").unwrap(), ["pypi.org", "files.pythonhosted.org"]);
        assert_eq!(patterns("@npm"), None);
    }

    #[test]
    fn the_documentation_lists_every_group() {
        let document = include_str!("../../../../docs/backspace-toml.md");
        for (name, hosts) in PRESETS {
            let row = format!("| `@{name}` | {} |", hosts.join(", "));
            assert!(document.contains(&row), "missing: {row}");
        }
    }
}
