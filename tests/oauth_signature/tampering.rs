//! A signature holds for whatever means the same, and for nothing else.

use couchgate::auth::oauth::signature::{Credentials, SignatureMethod, Signer};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use super::Sent;

/// What a request means to a signature, read without couchgate's own code.
#[derive(Debug, PartialEq)]
struct Meaning {
    method: String,
    /// Scheme, host and port.
    origin: (bool, String, String),
    path: String,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Meaning {
    fn of(request: &Sent) -> Self {
        let Sent { method, https, host, path, query, form, .. } = request;
        let host = host.to_ascii_lowercase();
        let name_end = host.find(']').unwrap_or_default();
        let at = host[name_end..].find(':').map_or(host.len(), |colon| name_end + colon);
        let (name, port) = host.split_at(at);
        let is_default = match port.strip_prefix(':').filter(|port| !port.is_empty()) {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse() == Ok(if *https { 443_u64 } else { 80 })
            }
            port => port.is_none(),
        };
        let port = if is_default { "" } else { port };
        let mut pairs: Vec<_> = [query, form].into_iter().flat_map(|text| pairs(text)).collect();
        pairs.sort();
        Self {
            method: method.clone(),
            origin: (*https, name.to_owned(), port.to_owned()),
            path: path.clone(),
            pairs,
        }
    }
}

pub(crate) fn pairs(text: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let pairs = text.split(|byte| b"&;".contains(byte)).filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=').map(decoded);
        (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    })
}

fn decoded(mut text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let [first, rest @ ..] = text {
        let hex = rest.first_chunk::<2>().filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.filter(|_| *first == b'%').map(|hex| str::from_utf8(hex).unwrap());
        bytes.push(match hex {
            Some(hex) => u8::from_str_radix(hex, 16).unwrap(),
            None if *first == b'+' => b' ',
            None => *first,
        });
        text = if hex.is_some() { &rest[2..] } else { rest };
    }
    bytes
}

/// A query or a form: anything, and above all what its readers look for.
pub(crate) fn text() -> impl Strategy<Value = Vec<u8>> {
    let pieces = ["&", ";", "=", "+", "%", "%2", "%2B", "%26", "%3d", "%3D", "%20", "%c3%A4"];
    let piece = prop_oneof![
        4 => select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        4 => "[ab1 ]{1,2}".prop_map(String::into_bytes),
        1 => any::<char>().prop_map(|char| char.to_string().into_bytes()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

fn host() -> impl Strategy<Value = String> {
    let name =
        prop_oneof![Just("localhost".to_owned()), "[a-zA-Z0-9.-]{1,8}", "\\[[0-9a-fA-F:]{2,8}\\]",];
    let port = prop_oneof![
        select(vec!["", ":", ":80", ":080", ":443", ":5984", ":8", ":0", ":65616"])
            .prop_map(str::to_owned),
        ":[0-9]{0,5}",
    ];
    (name, port).prop_map(|(name, port)| name + &port)
}

fn credentials() -> impl Strategy<Value = Credentials> {
    let word = || prop_oneof!["[a-z0-9]{1,8}", any::<String>(), "[&%+=\" ,\\\\]{0,4}"];
    (word(), word(), word(), word()).prop_map(
        |(consumer_key, consumer_secret, token, token_secret)| Credentials {
            consumer_key,
            consumer_secret: consumer_secret.as_str().into(),
            token,
            token_secret: token_secret.as_str().into(),
        },
    )
}

/// A signed request, and the credentials it was signed with.
fn signed(
    method: impl Strategy<Value = SignatureMethod>,
) -> impl Strategy<Value = (Sent, Credentials)> {
    let line = (
        prop_oneof![select(vec!["GET", "PUT", "COPY"]).prop_map(str::to_owned), "[!-~]{1,6}"],
        any::<bool>(),
        host(),
        prop_oneof!["(/[a-z%2fF+;=.]{0,4}){1,4}", "/\\PC{0,8}"],
    );
    let signer = (method, any::<u64>(), prop_oneof!["[a-z0-9]{1,8}", any::<String>()]);
    (line, text(), text(), signer, credentials()).prop_map(
        |((method, https, host, path), query, form, signer, credentials)| {
            let authorization = String::new();
            let mut sent = Sent { method, https, host, path, query, authorization, form };
            let signer = Signer { method: signer.0, timestamp: signer.1, nonce: &signer.2 };
            sent.authorization =
                signer.authorization(&sent.signable(), &sent.query, &sent.form, &credentials);
            (sent, credentials)
        },
    )
}

fn verifies(request: &Sent, credentials: &Credentials) -> bool {
    let secrets = [&credentials.consumer_secret, &credentials.token_secret];
    request.verifies(secrets.map(|secret| str::from_utf8(secret.as_bytes()).unwrap()))
}

const METHODS: [SignatureMethod; 3] =
    [SignatureMethod::HmacSha1, SignatureMethod::HmacSha256, SignatureMethod::Plaintext];

/// One byte more, one less, or another, in one place.
#[derive(Clone, Debug)]
struct Tampering {
    place: u8,
    at: Index,
    byte: u8,
    how: u8,
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let byte = prop_oneof![any::<u8>(), select(&b"&;=+% 0:/aA2bB"[..])];
    (0..6_u8, any::<Index>(), byte, 0..3_u8).prop_map(|(place, at, byte, how)| Tampering {
        place,
        at,
        byte,
        how,
    })
}

impl Tampering {
    fn of(&self, bytes: &mut Vec<u8>) {
        let at = self.at.index(bytes.len() + 1);
        match self.how {
            0 if at < bytes.len() => drop(bytes.remove(at)),
            1 if at < bytes.len() => bytes[at] = self.byte,
            _ => bytes.insert(at, self.byte),
        }
    }

    /// What is still a request afterwards.
    fn of_request(&self, request: &Sent) -> Option<Sent> {
        let mut sent = request.clone();
        let text = match self.place {
            0 => &mut sent.method,
            1 => &mut sent.host,
            2 => &mut sent.path,
            place => {
                match place {
                    3 => self.of(&mut sent.query),
                    4 => self.of(&mut sent.form),
                    _ => sent.https = !sent.https,
                }
                return Some(sent);
            }
        };
        let mut bytes = std::mem::take(text).into_bytes();
        Self { byte: self.byte % 128, ..self.clone() }.of(&mut bytes);
        *text = String::from_utf8(bytes).ok()?;
        // HTTP sends `/` for an empty path.
        (!sent.path.is_empty()).then_some(sent)
    }
}

pub(crate) fn config(cases: u32) -> ProptestConfig {
    // What was found becomes a row of a table instead.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn what_is_signed_verifies((request, credentials) in signed(select(&METHODS[..]))) {
        prop_assert!(verifies(&request, &credentials));
        let parameters = request.parameters().unwrap();
        let name = |name: &str| parameters.get(name).unwrap();
        prop_assert_eq!(name("oauth_consumer_key"), credentials.consumer_key.as_bytes());
        prop_assert_eq!(name("oauth_token"), credentials.token.as_bytes());
    }

    #[test]
    fn other_secrets_do_not_sign(
        (request, credentials) in signed(select(&METHODS[..])),
        others in credentials(),
    ) {
        let secrets = |Credentials { consumer_secret, token_secret, .. }: &Credentials| {
            [consumer_secret, token_secret].map(|secret| secret.as_bytes().to_vec())
        };
        let same = secrets(&credentials) == secrets(&others);
        prop_assert_eq!(verifies(&request, &others), same);
    }

    #[test]
    fn every_protocol_parameter_is_signed((request, credentials) in signed(select(&METHODS[..2]))) {
        let authorization = &request.authorization;
        let sent = |authorization: String| Sent { authorization, ..request.clone() };
        for name in ["consumer_key", "token", "timestamp", "nonce", "version", "signature"] {
            let value = format!("oauth_{name}=\"");
            let changed = sent(authorization.replacen(&value, &format!("{value}1"), 1));
            prop_assert!(!verifies(&changed, &credentials), "{}", name);
        }
        let more = sent(format!("{authorization}, oauth_callback=\"\""));
        prop_assert!(!verifies(&more, &credentials));
        let realm = sent(authorization.replacen("OAuth", "oauth realm=\"a, \\\"=b\",", 1));
        prop_assert!(verifies(&realm, &credentials));
    }
}

proptest! {
    #![proptest_config(config(4096))]

    #[test]
    fn a_signature_holds_exactly_for_what_means_the_same(
        (request, credentials) in signed(select(&METHODS[..2])),
        tampering in tampering(),
    ) {
        let Some(tampered) = tampering.of_request(&request) else { return Ok(()) };
        let same = Meaning::of(&request) == Meaning::of(&tampered);
        prop_assert_eq!(verifies(&tampered, &credentials), same, "{:?}", tampered);
    }
}
