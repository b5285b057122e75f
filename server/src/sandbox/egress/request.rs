//! The head of a request to the proxy: `CONNECT host:port`, or plain HTTP in absolute form.
//!
//! Strict, and never passed on as it came: what goes to the other side is written anew of what was understood
//! here, so that both sides read the same. A request body has a length that was read here or there is none;
//! a chunked one is refused (411), because its end would be a matter of opinion, and what follows a body could
//! be a second request to another virtual host.

use crate::task::host::Destination;

/// Longest head.
pub(super) const MAX_HEAD_BYTES: usize = 32 << 10;

const MAX_HEADERS: usize = 128;

/// Fields that are between two neighbours, or that are written anew.
const NOT_PASSED_ON: [&str; 11] = [
    "host",
    "connection",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
];

/// A request that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Where it is to go.
    pub(super) destination: Destination,
    /// What is to be done there.
    pub(super) action: Action,
    /// Bytes of the head; what follows is the command's.
    pub(super) head_bytes: usize,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Bytes in both directions.
    Connect,
    /// One request, and its answer.
    Forward {
        /// The head for the other side.
        head: Vec<u8>,
        /// Length of the body.
        body_bytes: u64,
    },
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    /// It can't be understood.
    #[error("{0}")]
    Malformed(&'static str),
    /// Its head is too long.
    #[error("the head of the request is over {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} fields long")]
    TooLong,
    /// Its body has no length.
    #[error("a body needs a Content-Length here; a chunked one is not taken")]
    NoLength,
    /// It names two hosts.
    #[error("its Host field names another host")]
    TwoHosts(Destination),
}

/// Reads a head; `None` until all of it is there.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Request>, RequestError> {
    use RequestError::Malformed;
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut fields);
    let head_bytes = match request.parse(bytes) {
        Ok(httparse::Status::Complete(count)) if count <= MAX_HEAD_BYTES => count,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD_BYTES => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(RequestError::TooLong),
        Err(_) => return Err(Malformed("this is no HTTP/1 request")),
    };
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Malformed("this is no HTTP/1 request"));
    };
    if !target.is_ascii() {
        return Err(Malformed("the target of the request is not ASCII"));
    }
    let fields = Fields(request.headers);
    if method == "CONNECT" {
        let destination = Destination::parse(target, None)
            .map_err(|_| Malformed("CONNECT wants a host and a port, like registry.example.com:443"))?;
        fields.agree_with(&destination, destination.port)?;
        let action = Action::Connect;
        return Ok(Some(Request {
            destination,
            action,
            head_bytes,
        }));
    }
    let (authority, path) = split_target(target)?;
    let destination = Destination::parse(authority, Some(80))
        .map_err(|_| Malformed("the address of the request has no right host"))?;
    fields.agree_with(&destination, 80)?;
    let length = fields.body_length()?;
    let head = fields.write_head(&format!("{method} {path} HTTP/1.{version}"), authority, length);
    Ok(Some(Request {
        destination,
        action: Action::Forward {
            head,
            body_bytes: length.unwrap_or(0),
        },
        head_bytes,
    }))
}

/// Splits `http://authority/path?query` into authority and what the other side is asked for.
fn split_target(target: &str) -> Result<(&str, String), RequestError> {
    let rest = match target.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => rest,
        _ => {
            return Err(RequestError::Malformed(
                "this is a proxy: it takes CONNECT, and requests with an http:// address",
            ));
        }
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if path.contains('#') {
        return Err(RequestError::Malformed("the address of the request has a fragment"));
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((authority, format!("{slash}{path}")))
}

struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value)
    }

    /// A Host field may be missing; what is there must say the same.
    fn agree_with(&self, destination: &Destination, default_port: u16) -> Result<(), RequestError> {
        let mut hosts = self.all("host");
        let (host, more) = (hosts.next(), hosts.next());
        if more.is_some() {
            return Err(RequestError::Malformed("the request has more than one Host field"));
        }
        let Some(host) = host else { return Ok(()) };
        let named = std::str::from_utf8(host)
            .ok()
            .and_then(|host| Destination::parse(host, Some(default_port)).ok());
        if named.as_ref() == Some(destination) {
            Ok(())
        } else {
            Err(RequestError::TwoHosts(destination.clone()))
        }
    }

    fn body_length(&self) -> Result<Option<u64>, RequestError> {
        if self.all("transfer-encoding").next().is_some() {
            return Err(RequestError::NoLength);
        }
        let mut lengths = self.all("content-length");
        let (length, more) = (lengths.next(), lengths.next());
        if more.is_some() {
            return Err(RequestError::Malformed(
                "the request has more than one Content-Length field",
            ));
        }
        let Some(length) = length else { return Ok(None) };
        let digits = std::str::from_utf8(length)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        digits
            .and_then(|digits| digits.parse().ok())
            .map(Some)
            .ok_or(RequestError::Malformed(
                "the Content-Length of the request is no number",
            ))
    }

    /// Writes a head with the fields that may go on. The connection ends with the answer.
    fn write_head(&self, first_line: &str, host: &str, length: Option<u64>) -> Vec<u8> {
        let named: Vec<String> = self
            .all("connection")
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
            .collect();
        let mut head = format!("{first_line}\r\nHost: {host}\r\n").into_bytes();
        for field in self.0 {
            let name = field.name.to_ascii_lowercase();
            if NOT_PASSED_ON.contains(&name.as_str()) || named.contains(&name) {
                continue;
            }
            head.extend_from_slice(field.name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(field.value);
            head.extend_from_slice(b"\r\n");
        }
        if let Some(length) = length {
            head.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        }
        head.extend_from_slice(b"Connection: close\r\n\r\n");
        head
    }
}

#[cfg(test)]
mod tests;
