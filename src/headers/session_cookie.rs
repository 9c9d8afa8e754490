//! Taking the session cookie out of a request, as CouchDB would find it.

use http::{HeaderMap, HeaderValue, header};

/// The cookie's name.
const AUTH_SESSION: &[u8] = b"AuthSession";

/// Removes every `AuthSession` cookie that CouchDB would find, and returns the value of the first,
/// which is the one CouchDB takes. The other cookies stay as they are.
pub(super) fn take(headers: &mut HeaderMap) -> Option<Vec<u8>> {
    let finder = |value: &HeaderValue| {
        value.as_bytes().windows(AUTH_SESSION.len()).any(|window| window == AUTH_SESSION)
    };
    if !headers.get_all(header::COOKIE).iter().any(finder) {
        return None;
    }
    let header::Entry::Occupied(entry) = headers.entry(header::COOKIE) else { return None };
    let (_, lines) = entry.remove_entry_mult();
    let lines: Vec<HeaderValue> = lines.collect();
    let mut first = None;
    for line in lines {
        let (kept, session) = split_session_cookie(line.as_bytes());
        first = first.or(session);
        if let Ok(kept) = HeaderValue::from_bytes(&kept)
            && !kept.is_empty()
        {
            headers.append(header::COOKIE, kept);
        }
    }
    first
}

/// mochiweb begins a cookie after `;` and after `,` (`mochiweb_cookies:parse_cookie`), skips
/// blanks, and ends its name at the first character that is no token.
fn split_session_cookie(line: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut kept: Vec<u8> = Vec::with_capacity(line.len());
    let mut session = None;
    for piece in line.split_inclusive(|byte| matches!(byte, b';' | b',')) {
        match session_value(piece) {
            Some(value) => session = session.or(Some(value)),
            None => kept.extend_from_slice(piece),
        }
    }
    if session.is_some() {
        let end = kept.trim_ascii_end().len();
        kept.truncate(end);
        if kept.ends_with(b";") {
            kept.pop();
        }
        return (kept.trim_ascii().to_vec(), session);
    }
    (kept, session)
}

fn session_value(piece: &[u8]) -> Option<Vec<u8>> {
    let rest = piece.trim_ascii_start().strip_prefix(AUTH_SESSION)?;
    let is_token = |byte: &u8| *byte > b' ' && !b"()<>@,;:\\\"/[]?={}".contains(byte);
    if rest.first().is_some_and(is_token) {
        return None;
    }
    let value = rest.trim_ascii_start().strip_prefix(b"=").unwrap_or_default();
    let value = value.strip_suffix(b";").or(value.strip_suffix(b",")).unwrap_or(value);
    let value = value.trim_ascii();
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some(unquoted.unwrap_or(value).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let value = |line: &&str| HeaderValue::from_bytes(line.as_bytes()).unwrap();
        lines.iter().map(|line| (header::COOKIE, value(line))).collect()
    }

    #[test]
    fn the_session_cookie_is_taken_and_the_others_stay() {
        for (cookie, kept, session) in [
            ("a=b; AuthSession=x; c=d", "a=b; c=d", Some("x")),
            ("AuthSession=x", "", Some("x")),
            ("AuthSession=x; c=d", "c=d", Some("x")),
            ("a=b; AuthSession=x", "a=b", Some("x")),
            ("a=b, AuthSession=x", "a=b,", Some("x")),
            ("a=b;AuthSession = \"x\" ;c", "a=b;c", Some("x")),
            ("AuthSession=x; AuthSession=y", "", Some("x")),
            ("AuthSession", "", Some("")),
            ("AuthSession=", "", Some("")),
            ("a=b; AuthSessionX=x;  c=d ", "a=b; AuthSessionX=x;  c=d ", None),
            ("a=AuthSession=x", "a=AuthSession=x", None),
        ] {
            let mut headers = headers(&[cookie]);
            let taken = take(&mut headers);
            assert_eq!(
                headers.get("cookie").map_or("", |value| value.to_str().unwrap()),
                kept,
                "{cookie}"
            );
            assert_eq!(taken.as_deref(), session.map(str::as_bytes), "{cookie}");
        }
    }

    #[test]
    fn a_session_cookie_in_a_second_line_is_taken_too() {
        let mut headers = headers(&["a=b", "AuthSession=x; c=d"]);
        let taken = take(&mut headers);
        assert_eq!(taken.as_deref(), Some(&b"x"[..]));
        let kept: Vec<_> = headers.get_all("cookie").iter().collect();
        assert_eq!(kept, ["a=b", "c=d"]);
    }
}
