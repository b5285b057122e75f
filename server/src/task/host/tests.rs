//! What the grammar takes, what a pattern allows, and that both hold for any text.

use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

fn destination(text: &str) -> Destination {
    Destination::parse(text, None).unwrap()
}

#[test]
fn a_host_has_one_form() {
    for (text, right) in [
        ("Crates.IO", "crates.io"),
        ("crates.io.", "crates.io"),
        ("localhost", "localhost"),
        ("a_b.example-1.com", "a_b.example-1.com"),
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:DB8:0::7]", "[2001:db8::7]"),
        ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"),
        ("7zip.org", "7zip.org"),
        ("0xa.org", "0xa.org"),
    ] {
        assert_eq!(Host::parse(text).unwrap().to_string(), right, "{text}");
    }
}

#[test]
fn what_a_resolver_could_read_as_an_address_is_no_name() {
    for text in [
        "127.1",
        "2130706433",
        "0x7f000001",
        "0X7F.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "1.2.3.4.5",
        "256.0.0.1",
        "example.1",
        "example.0x",
        "0x",
        "[127.0.0.1]",
        "[fe80::1%eth0]",
    ] {
        assert_eq!(Host::parse(text), Err(HostError::Number), "{text}");
    }
    let long_label = "a".repeat(64);
    let long_name = ["a".repeat(60).as_str(); 5].join(".");
    for text in [
        "",
        ".",
        "a..b",
        ".a",
        "a b",
        "a/b",
        "a@b",
        "a\0b",
        "a\nb",
        "exämple.org",
        "::1",
        "a%41.org",
        "[::1",
        "*",
        &long_label,
        &long_name,
    ] {
        assert_eq!(Host::parse(text), Err(HostError::Grammar), "{text:?}");
    }
}

#[test]
fn a_destination_has_a_port() {
    assert_eq!(destination("[::1]:8080").to_string(), "[::1]:8080");
    assert_eq!(Destination::parse("a.org", Some(80)).unwrap().to_string(), "a.org:80");
    for text in [
        "a.org",
        "a.org:",
        "a.org:0",
        "a.org:65536",
        "a.org:+80",
        "a.org:80:80",
        "[::1]",
        "a.org:0x50",
    ] {
        assert_eq!(Destination::parse(text, None), Err(HostError::Port), "{text}");
    }
}

#[test]
fn a_pattern_allows_what_it_says_and_no_more() {
    for (text, allowed, refused) in [
        (
            "crates.io",
            vec!["crates.io:443", "CRATES.io.:80"],
            vec![
                "crates.io:8080",
                "x.crates.io:443",
                "crates.io.evil.org:443",
                "notcrates.io:443",
            ],
        ),
        (
            "*.example.com",
            vec!["a.example.com:443", "a.b.example.com:80"],
            vec![
                "example.com:443",
                "badexample.com:443",
                "a.example.com:22",
                "a.example.com.evil.org:443",
            ],
        ),
        (
            "registry.example.com:8443",
            vec!["registry.example.com:8443"],
            vec!["registry.example.com:443", "registry.example.com:80"],
        ),
        (
            "*",
            vec!["a.org:443", "localhost:80"],
            vec!["a.org:22", "1.2.3.4:443", "[2600::1]:443"],
        ),
        ("*:8080", vec!["a.org:8080"], vec!["a.org:443", "1.2.3.4:8080"]),
        (
            "192.0.2.7",
            vec!["192.0.2.7:443"],
            vec!["192.0.2.8:443", "[::ffff:192.0.2.7]:443"],
        ),
        (
            "[2001:db8::7]:99",
            vec!["[2001:db8:0::7]:99"],
            vec!["[2001:db8::7]:443"],
        ),
    ] {
        let pattern = pattern(text);
        for allowed in allowed {
            assert!(pattern.allows(&destination(allowed)), "{text} {allowed}");
        }
        for refused in refused {
            assert!(!pattern.allows(&destination(refused)), "{text} {refused}");
        }
    }
}

#[test]
fn a_pattern_covers_narrower_ones_only() {
    for (wide, narrow) in [
        ("*", "*"),
        ("*", "*.a.org"),
        ("*", "a.org"),
        ("*", "a.org:443"),
        ("*.a.org", "*.a.org"),
        ("*.a.org", "*.b.a.org"),
        ("*.a.org", "b.a.org:80"),
        ("a.org", "A.org."),
        ("1.2.3.4", "1.2.3.4:443"),
    ] {
        assert!(pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
    }
    for (narrow, wide) in [
        ("*.a.org", "*"),
        ("*.a.org", "a.org"),
        ("*.b.a.org", "*.a.org"),
        ("a.org", "*.a.org"),
        ("a.org:443", "a.org"),
        ("a.org", "a.org:8080"),
        ("*", "a.org:22"),
        ("*", "1.2.3.4"),
        ("b.org", "a.org"),
    ] {
        assert!(!pattern(narrow).covers(&pattern(wide)), "{narrow} {wide}");
    }
}

fn any_pattern() -> impl Strategy<Value = HostPattern> {
    "(\\*|\\*\\.(a|b\\.a)|a|b\\.a|c\\.b\\.a|1\\.2\\.3\\.4|\\[::1\\])(:(80|443|99))?"
        .prop_map(|text| HostPattern::parse(&text).unwrap())
}

fn any_destination() -> impl Strategy<Value = Destination> {
    "(a|b\\.a|c\\.b\\.a|ba|1\\.2\\.3\\.4|\\[::1\\]):(80|443|99)"
        .prop_map(|text| Destination::parse(&text, None).unwrap())
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_read_is_written_the_same(text in "\\PC{0,40}|[a-z0-9.*:\\[\\]x-]{0,20}") {
        if let Ok(pattern) = HostPattern::parse(&text) {
            prop_assert_eq!(HostPattern::parse(&pattern.to_string()), Ok(pattern));
        }
        if let Ok(destination) = Destination::parse(&text, Some(80)) {
            prop_assert_eq!(Destination::parse(&destination.to_string(), None), Ok(destination));
        }
    }

    #[test]
    fn what_a_covered_pattern_allows_the_covering_one_allows(
        wide in any_pattern(), narrow in any_pattern(), destination in any_destination()
    ) {
        if wide.covers(&narrow) && narrow.allows(&destination) {
            prop_assert!(wide.allows(&destination), "{} {} {}", wide, narrow, destination);
        }
    }

    #[test]
    fn a_name_that_is_read_is_no_number_to_the_resolver(text in "[0-9a-fx.]{1,15}") {
        if let Ok(Host::Name(name)) = Host::parse(&text) {
            let last = name.rsplit('.').next().unwrap();
            prop_assert!(last.parse::<u64>().is_err(), "{}", name);
            prop_assert!(!last.starts_with("0x") || u64::from_str_radix(&last[2..], 16).is_err(), "{}", name);
        }
    }
}
