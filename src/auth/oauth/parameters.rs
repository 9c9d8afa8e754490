//! The parameters of an OAuth 1.0 request, wherever they stand (RFC 5849 section 3.4.1.3.1).

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::target::form_pairs;

/// A decoded name and value.
pub type Parameter<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// All parameters of a request.
#[derive(Debug)]
pub struct Parameters<'a> {
    signed: Vec<Parameter<'a>>,
    signature: Option<Cow<'a, [u8]>>,
}

/// Why parameters cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The header is not what RFC 5849 section 3.5.1 describes.
    #[error("The OAuth Authorization header is malformed.")]
    Header,
    /// The header has parameters that are not the protocol's.
    #[error("An OAuth Authorization header has oauth_ parameters and a realm only.")]
    Stray,
    /// A protocol parameter may stand only once (RFC 5849 section 3.1), in all places together.
    #[error("An OAuth parameter comes twice.")]
    Twice,
}

impl<'a> Parameters<'a> {
    /// Collects the parameters of an `Authorization: OAuth` header, without the scheme, of a query
    /// and of a form body.
    ///
    /// Query and form are taken apart as CouchDB does it, at `;` as well as at `&`: what was signed
    /// must be what is carried out.
    ///
    /// # Errors
    ///
    /// When the header is malformed, or a protocol parameter of a signed request comes twice.
    pub fn collect(header: &'a [u8], query: &'a [u8], body: &'a [u8]) -> Result<Self, Malformed> {
        let mut signed = in_header(header)?;
        signed.extend(form_pairs(query));
        signed.extend(form_pairs(body));
        let mut protocol: Vec<&[u8]> =
            signed.iter().map(|(name, _)| &**name).filter(|name| is_protocol(name)).collect();
        protocol.sort_unstable();
        // Without a consumer key nothing was signed, whatever the names.
        let is_signed = protocol.binary_search(&&b"oauth_consumer_key"[..]).is_ok();
        if is_signed && protocol.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Malformed::Twice);
        }
        let signature = signed.iter().position(|(name, _)| **name == *b"oauth_signature");
        let signature = signature.map(|at| signed.swap_remove(at).1);
        Ok(Self { signed, signature })
    }

    /// The value of a protocol parameter other than the signature.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut parameters = self.signed.iter();
        parameters.find(|(key, _)| **key == *name.as_bytes()).map(|(_, value)| &**value)
    }

    /// `oauth_signature`.
    #[must_use]
    pub fn signature(&self) -> Option<&[u8]> {
        self.signature.as_deref()
    }

    /// What the signature covers, in no order.
    #[must_use]
    pub fn signed(&self) -> &[Parameter<'a>] {
        &self.signed
    }
}

/// Whether a decoded parameter is one of the protocol's, known or not (RFC 5849 section 3.1).
#[must_use]
pub fn is_protocol(name: &[u8]) -> bool {
    name.starts_with(b"oauth_")
}

/// What follows the scheme of an `Authorization` header, where the scheme is OAuth.
#[must_use]
pub fn oauth_parameters(authorization: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"OAuth";
    let (scheme, rest) = authorization.split_at_checked(SCHEME.len())?;
    let is_oauth = scheme.eq_ignore_ascii_case(SCHEME)
        && rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    is_oauth.then_some(rest)
}

/// The parameters of a header: `name="value"`, encoded, separated by commas. Beside those of the
/// protocol there may be a `realm`, which is not signed.
fn in_header(mut text: &[u8]) -> Result<Vec<Parameter<'_>>, Malformed> {
    let mut parameters = Vec::new();
    loop {
        text = text.trim_ascii_start();
        // Empty elements of a list are no error (RFC 9110 section 5.6.1).
        if let Some(rest) = text.strip_prefix(b",") {
            text = rest;
            continue;
        }
        if text.is_empty() {
            return Ok(parameters);
        }
        let end = text.iter().position(|byte| *byte == b'=').ok_or(Malformed::Header)?;
        let (name, rest) = (&text[..end], &text[end + 1..]);
        if name.is_empty() || name.iter().any(|byte| b" \t,\"".contains(byte)) {
            return Err(Malformed::Header);
        }
        let (value, rest) = quoted(rest).ok_or(Malformed::Header)?;
        if !name.eq_ignore_ascii_case(b"realm") {
            let name: Cow<'_, [u8]> = percent_decode(name).into();
            // The RFC would sign it; but a parameter that was meant for the query and stands here
            // would be verified and not be carried out.
            if !is_protocol(&name) {
                return Err(Malformed::Stray);
            }
            parameters.push((name, percent_decode(value).into()));
        }
        text = rest.trim_ascii_start();
        if !text.is_empty() && !text.starts_with(b",") {
            return Err(Malformed::Header);
        }
    }
}

/// A quoted string's content and what follows it. Only a realm has escaped characters.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    Some((&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Result<Vec<String>, Malformed> {
        let shown = |(name, value): &Parameter<'_>| {
            format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
        };
        in_header(text.as_bytes()).map(|parameters| parameters.iter().map(shown).collect())
    }

    #[test]
    fn headers_are_read_as_the_rfc_writes_them() {
        for (text, expected) in [
            ("", Ok(&[][..])),
            (
                " oauth_a=\"1\", oauth_b=\"\",oauth_c=\"%2B+%20\"",
                Ok(&["oauth_a=1", "oauth_b=", "oauth_c=++ "]),
            ),
            ("realm=\"a, \\\"b\\\"=\",oauth%5Fb=\"1\" ,", Ok(&["oauth_b=1"])),
            ("\toauth_a=\"=&\" \t, ,oauth_b=\"2\"", Ok(&["oauth_a==&", "oauth_b=2"])),
            ("oauth_a=\"1\", limit=\"1\"", Err(Malformed::Stray)),
            ("REALM=\"x\"", Ok(&[])),
            ("oauth_a=1", Err(Malformed::Header)),
            ("oauth_a=\"1", Err(Malformed::Header)),
            ("oauth_a=\"1\" oauth_b=\"2\"", Err(Malformed::Header)),
            ("=\"1\"", Err(Malformed::Header)),
            ("oauth_a =\"1\"", Err(Malformed::Header)),
            ("oauth_a= \"1\"", Err(Malformed::Header)),
            ("token", Err(Malformed::Header)),
        ] {
            let expected = expected.map(|list| list.iter().map(ToString::to_string).collect());
            assert_eq!(header(text), expected, "{text}");
        }
    }

    #[test]
    fn a_protocol_parameter_stands_once_in_all_places_together() {
        const KEY: &str = "oauth_consumer_key=\"k\"";
        let collect = |header: &'static str, query: &'static str, form: &'static str| {
            Parameters::collect(header.as_bytes(), query.as_bytes(), form.as_bytes()).err()
        };
        assert_eq!(collect(KEY, "oauth_b=1&c=1&c=1", "oauth_c=1;c=1"), None);
        assert_eq!(collect("", "oauth_a;oauth_a", ""), None);
        for (header, query, form) in [
            ("oauth_consumer_key=\"1\", oauth_consumer_key=\"1\"", "", ""),
            (KEY, "oauth_a;oauth_a=2", ""),
            (KEY, "oauth_a=1", "x&oauth%5Fa"),
            ("", "oauth_consumer_key=1", "oauth_signature=1;oauth_signature=1"),
        ] {
            assert_eq!(collect(header, query, form), Some(Malformed::Twice), "{header} {query}");
        }
    }

    #[test]
    fn the_scheme_is_a_word_of_its_own() {
        assert_eq!(oauth_parameters(b"oAuth a"), Some(&b" a"[..]));
        assert_eq!(oauth_parameters(b"OAuth"), Some(&b""[..]));
        assert_eq!(oauth_parameters(b"OAuth2 a"), None);
        assert_eq!(oauth_parameters(b"OAut"), None);
    }
}
