//! What a head says before anybody is asked who is asking.

use http::{Method, Version, header, request};

use crate::{auth::Client, error::Error, headers::Forwarded, target::Target};

/// Refuses what a proxy must never carry (RFC 9112 sections 2.2, 3.2 and 6.1), and reads the target.
pub(super) fn receive(head: &request::Parts, flaw: Option<Error>) -> Result<Target, Error> {
    if let Some(flaw) = flaw {
        return Err(flaw);
    }
    let uri = &head.uri;
    let is_path = uri.scheme().is_none() && uri.authority().is_none();
    let target = uri.path_and_query().filter(|target| target.as_str().starts_with('/'));
    let target = match target {
        Some(target) if is_path && head.method != Method::CONNECT => target,
        _ => return Err(not_a_path()),
    };
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => {}
        (None, None) if head.version == Version::HTTP_10 => {}
        _ => return Err(Error::bad_request("There must be one valid Host header.")),
    }
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, None) => {}
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {}
        _ => return Err(Error::bad_request("The only Transfer-Encoding accepted is chunked.")),
    }
    if head.headers.get_all(header::AUTHORIZATION).iter().nth(1).is_some() {
        return Err(Error::bad_request("There must be at most one Authorization header."));
    }
    Ok(Target::new(target.clone()))
}

pub(super) fn not_a_path() -> Error {
    Error::bad_request("The request target must be a path.")
}

/// The host that the client asked for. A trusted proxy that puts its own into `Host` says which it
/// was, after what it was told itself; what is no host is not believed, for a path behind it would
/// be taken for part of what was signed.
pub(super) fn host<'a>(
    head: &'a request::Parts,
    forwarded: &'a Forwarded,
    client: Client,
) -> &'a str {
    let said = forwarded.host.as_ref().filter(|_| client.through_trusted_proxy);
    let said = said.and_then(|said| said.to_str().ok()?.rsplit(',').next()).map(str::trim);
    let said = said.filter(|host| !host.is_empty() && is_host(host.as_bytes()));
    let sent = || head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    said.or_else(sent).unwrap_or_default()
}

/// The characters of a host and port (RFC 3986 section 3.2.2); no user, no path, no list.
fn is_host(host: &[u8]) -> bool {
    let of_host = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(byte);
    host.iter().all(of_host)
}

/// A CORS preflight carries no credentials (Fetch standard, CORS-preflight fetch), and no body.
pub(super) fn is_preflight(head: &request::Parts) -> bool {
    let has_body = head.headers.contains_key(header::CONTENT_LENGTH)
        || head.headers.contains_key(header::TRANSFER_ENCODING);
    head.method == Method::OPTIONS
        && !has_body
        && head.headers.contains_key(header::ORIGIN)
        && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn a_forwarded_host_is_a_host() {
        for (said, trusted, expected) in [
            (Some("couch.example:6984"), true, "couch.example:6984"),
            (Some("evil.example, [::1]:6984"), true, "[::1]:6984"),
            (Some("couch.example"), false, "inner:5994"),
            (Some("couch.example/db"), true, "inner:5994"),
            (Some("couch.example?x"), true, "inner:5994"),
            (Some("couch.example, "), true, "inner:5994"),
            (Some(""), true, "inner:5994"),
            (None, true, "inner:5994"),
        ] {
            let request = http::Request::get("/").header(header::HOST, "inner:5994").body(());
            let (head, ()) = request.unwrap().into_parts();
            let host_header = said.map(|said| said.parse().unwrap());
            let forwarded = Forwarded { host: host_header, ..Forwarded::default() };
            let client = Client {
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
                https: false,
                through_trusted_proxy: trusted,
            };
            assert_eq!(host(&head, &forwarded, client), expected, "{said:?}");
        }
    }
}
