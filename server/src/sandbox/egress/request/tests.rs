//! What a head must look like, what of it goes on, and that no bytes do harm.

use proptest::prelude::*;

use super::*;

fn destination(text: &str) -> Destination {
    Destination::parse(text, None).unwrap()
}

fn parsed(text: &str) -> Request {
    parse(text.as_bytes()).unwrap().unwrap()
}

/// Returns destination, head and body length of a plain request.
fn forwarded(text: &str) -> (String, String, u64) {
    let request = parsed(text);
    let Action::Forward { head, body_bytes } = request.action else {
        panic!("{text} is no plain request");
    };
    (
        request.destination.to_string(),
        String::from_utf8(head).unwrap(),
        body_bytes,
    )
}

#[test]
fn connect_names_its_destination() {
    for head in [
        "CONNECT crates.io:443 HTTP/1.1\r\nHost: crates.io:443\r\n\r\n",
        "CONNECT crates.io:443 HTTP/1.1\r\nHost: Crates.io.\r\nUser-Agent: x\r\n\r\n",
        "CONNECT CRATES.io:443 HTTP/1.0\r\n\r\n",
    ] {
        let request = parsed(&format!("{head}hello"));
        let expected = Request {
            destination: destination("crates.io:443"),
            action: Action::Connect,
            head_bytes: head.len(),
        };
        assert_eq!(request, expected, "{head}");
    }
}

#[test]
fn a_plain_request_is_written_anew_for_the_other_side() {
    let text = "GET http://a.org/x?y=http://b.org HTTP/1.1\r\nhost: a.org:80\r\nUser-Agent: curl\r\n\
        Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nConnection: X-Hop, Keep-Alive\r\n\
        X-Hop: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nKeep-Alive: 5\r\nAccept: */*\r\n\r\n";
    let head = "GET /x?y=http://b.org HTTP/1.1\r\nHost: a.org\r\nUser-Agent: curl\r\nAccept: */*\r\n\
        Connection: close\r\n\r\n";
    assert_eq!(forwarded(text), ("a.org:80".into(), head.into(), 0));
    let (to, head, body) =
        forwarded("PUT HTTP://a.org:8080 HTTP/1.0\r\nContent-Length: 007\r\nConnection: content-length\r\n\r\n");
    assert_eq!(
        (to.as_str(), head.as_str(), body),
        (
            "a.org:8080",
            "PUT / HTTP/1.0\r\nHost: a.org:8080\r\nContent-Length: 7\r\nConnection: close\r\n\r\n",
            7
        )
    );
    assert!(
        forwarded("GET http://a.org?q HTTP/1.1\r\n\r\n")
            .1
            .starts_with("GET /?q HTTP/1.1\r\nHost: a.org\r\n")
    );
}

#[test]
fn two_hosts_in_one_request_are_refused() {
    for text in [
        "CONNECT a.org:443 HTTP/1.1\r\nHost: b.org:443\r\n\r\n",
        "CONNECT a.org:443 HTTP/1.1\r\nHost: a.org:80\r\n\r\n",
        "GET http://a.org/ HTTP/1.1\r\nHost: b.org\r\n\r\n",
        "GET http://a.org/ HTTP/1.1\r\nHost: a.org:81\r\n\r\n",
        "GET http://a.org/ HTTP/1.1\r\nHost: \r\n\r\n",
        "GET http://a.org/ HTTP/1.1\r\nHost: a.org, b.org\r\n\r\n",
    ] {
        let error = parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error, RequestError::TwoHosts(_)), "{text}: {error:?}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for text in [
        "GET http://a.org/ HTTP/1.1\r\nHost: a.org\r\nHost: a.org\r\n\r\n",
        "GET http://a.org/ HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "GET http://a.org/ HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
        "GET http://a.org/ HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n",
        "GET http://a.org/ HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET http://a.org/ HTTP/1.1\r\nX : y\r\n\r\n",
        "GET http://a.org/ HTTP/1.1\r\nX: y\r\n z\r\n\r\n",
        "GET http://u:p@a.org/ HTTP/1.1\r\n\r\n",
        "GET http://a.org\\@b.org/ HTTP/1.1\r\n\r\n",
        "GET http://a.org/#f HTTP/1.1\r\n\r\n",
        "GET http://127.1/ HTTP/1.1\r\n\r\n",
        "GET http:// HTTP/1.1\r\n\r\n",
        "GET http:/a.org/ HTTP/1.1\r\n\r\n",
        "GET https://a.org/ HTTP/1.1\r\n\r\n",
        "GET ftp://a.org/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.org\r\n\r\n",
        "CONNECT a.org HTTP/1.1\r\n\r\n",
        "CONNECT http://a.org:443 HTTP/1.1\r\n\r\n",
        "CONNECT a.org:443 HTTP/2.0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}",
        "GET http://ä.org/ HTTP/1.1\r\n\r\n",
    ] {
        let error = parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error, RequestError::Malformed(_)), "{text}: {error:?}");
    }
    let chunked = "POST http://a.org/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(parse(chunked.as_bytes()), Err(RequestError::NoLength));
}

#[test]
fn a_head_is_waited_for_and_has_an_end() {
    let whole = b"CONNECT a.org:443 HTTP/1.1\r\nHost: a.org:443\r\n\r\n";
    for end in 0..whole.len() {
        assert_eq!(parse(&whole[..end]), Ok(None), "{end}");
    }
    let long = format!("GET http://a.org/{} HTTP/1.1\r\n", "x".repeat(MAX_HEAD_BYTES));
    assert_eq!(parse(long.as_bytes()), Err(RequestError::TooLong));
    let many = format!(
        "GET http://a.org/ HTTP/1.1\r\n{}\r\n",
        "A: b\r\n".repeat(MAX_HEADERS + 1)
    );
    assert_eq!(parse(many.as_bytes()), Err(RequestError::TooLong));
}

/// Heads that are nearly right.
fn near_request() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof![Just("CONNECT"), Just("GET"), Just("POST"), Just("get")];
    let target = "(http://)?(a\\.org|b\\.org|\\[::1\\]|127\\.1|)(:[0-9]{0,6})?(/[ -~]{0,8})?";
    let field = "(Host|Connection|Content-Length|Transfer-Encoding|X|X-\u{7f}) ?: ?[ -~\u{e4}]{0,12}(\r\n|\n|\r)";
    (method, target, proptest::collection::vec(field, 0..5), any::<bool>()).prop_map(
        |(method, target, fields, ends)| {
            let end = if ends { "\r\n" } else { "" };
            format!("{method} {target} HTTP/1.1\r\n{}{end}", fields.concat()).into_bytes()
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in prop_oneof![proptest::collection::vec(any::<u8>(), 0..300), near_request()]) {
        let Ok(Some(request)) = parse(&bytes) else { return Ok(()) };
        prop_assert!(request.head_bytes <= bytes.len());
        let Action::Forward { head, body_bytes } = request.action else { return Ok(()) };
        // The other side reads one request with one host, the one that was judged, and the same body.
        let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut again = httparse::Request::new(&mut fields);
        prop_assert_eq!(again.parse(&head).unwrap(), httparse::Status::Complete(head.len()));
        prop_assert!(again.path.unwrap().starts_with('/'));
        let fields = Fields(again.headers);
        let hosts: Vec<_> = fields.all("host").collect();
        prop_assert_eq!(hosts.len(), 1);
        let host = Destination::parse(std::str::from_utf8(hosts[0]).unwrap(), Some(80)).unwrap();
        prop_assert_eq!(host, request.destination);
        prop_assert_eq!(fields.all("transfer-encoding").count(), 0);
        prop_assert_eq!(fields.body_length().unwrap().unwrap_or(0), body_bytes);
        let connections: Vec<_> = fields.all("connection").collect();
        prop_assert_eq!(connections, vec![&b"close"[..]]);
    }
}
