//! Where a server is: the grammar of an address, and whether it may be spoken to in the clear.
//!
//! An address without a scheme is `http` on loopback and `https` elsewhere. `http` to another machine
//! would put the token and the code on the network for all to read, so it has to be asked for.

use std::net::IpAddr;

use tonic::transport::Uri;

use crate::error::Error;

/// Whether `http://` may be used to another machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plaintext {
    /// Only to this machine.
    #[default]
    LoopbackOnly,
    /// To any machine: something else protects the connection.
    Anywhere,
}

/// Reads an address: `https://host[:port]`, `http://host[:port]` or `host:port`.
pub(crate) fn parse(address: &str, plaintext: Plaintext) -> Result<Uri, Error> {
    let refuse = |reason: &str| Error::Address {
        address: address.to_owned(),
        reason: reason.to_owned(),
    };
    let trimmed = address.trim();
    let given: Uri = if trimmed.contains("://") {
        trimmed
            .parse()
            .map_err(|error| refuse(&format!("cannot be read: {error}")))?
    } else {
        let bare: Uri = format!("http://{trimmed}").parse().map_err(|_| {
            refuse("cannot be read; write it as https://host:port, or http://127.0.0.1:8000 on this machine")
        })?;
        if is_loopback(&bare) {
            bare
        } else {
            format!("https://{trimmed}")
                .parse()
                .map_err(|error| refuse(&format!("cannot be read: {error}")))?
        }
    };
    let authority = given.authority().ok_or_else(|| refuse("names no host"))?;
    if authority.as_str().contains('@') {
        return Err(refuse("holds a user or password; give a token instead"));
    }
    if given.host().is_none_or(str::is_empty) {
        return Err(refuse("names no host"));
    }
    if given.path_and_query().is_some_and(|path| path.as_str() != "/") {
        return Err(refuse(
            "has a path or query; a server is named by scheme, host and port alone",
        ));
    }
    match given.scheme_str() {
        Some("https") => Ok(given),
        Some("http") if plaintext == Plaintext::Anywhere || is_loopback(&given) => Ok(given),
        Some("http") => Err(refuse(
            "is http to another machine, which would show token and code to the network; use https, or allow \
             plaintext if a tunnel protects it",
        )),
        _ => Err(refuse("has an unknown scheme; use https, or http on this machine")),
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str) -> Result<String, String> {
        parse(address, Plaintext::LoopbackOnly)
            .map(|uri| uri.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn accepted_addresses() {
        let table = [
            ("https://code.example", "https://code.example/"),
            ("https://code.example:8443/", "https://code.example:8443/"),
            ("code.example:8443", "https://code.example:8443/"),
            ("127.0.0.1:8000", "http://127.0.0.1:8000/"),
            ("localhost:8000", "http://localhost:8000/"),
            ("[::1]:8000", "http://[::1]:8000/"),
            ("http://127.9.9.9:1", "http://127.9.9.9:1/"),
            (" https://code.example ", "https://code.example/"),
        ];
        for (address, expected) in table {
            assert_eq!(read(address).as_deref(), Ok(expected), "{address}");
        }
    }

    #[test]
    fn refused_addresses() {
        let table = [
            ("", "cannot be read"),
            ("http://", "cannot be read"),
            ("http://code.example:8000", "another machine"),
            ("http://127.0.0.1.evil.example", "another machine"),
            ("http://localhost.evil.example", "another machine"),
            ("https://user:secret@code.example", "user or password"),
            ("http://localhost@evil.example", "user or password"),
            ("https://code.example/path", "path or query"),
            ("https://code.example/?q=1", "path or query"),
            ("ftp://code.example", "unknown scheme"),
            ("unix:///run/x", "cannot be read"),
        ];
        for (address, reason) in table {
            let error = read(address).unwrap_err();
            assert!(error.contains(reason), "{address}: {error}");
        }
    }

    #[test]
    fn plaintext_to_another_machine_can_be_allowed() {
        let uri = parse("http://code.example:8000", Plaintext::Anywhere).unwrap();
        assert_eq!(uri.to_string(), "http://code.example:8000/");
    }
}
