//! The worked examples of RFC 5849.
//!
//! Its erratum 2550 corrects the signature of section 3.1; those of section 1.2 are right as they
//! are printed.

use percent_encoding::percent_decode_str;

use super::{Sent, plaintext};

/// The request of section 3.1, with a signature.
fn request(signature: &str) -> Sent {
    let authorization = format!(
        "OAuth realm=\"Example\", oauth_consumer_key=\"9djdj82h48djs9d2\", \
         oauth_token=\"kkk9d7dh3k39sjv7\", oauth_signature_method=\"HMAC-SHA1\", \
         oauth_timestamp=\"137131201\", oauth_nonce=\"7d8f3e4a\", oauth_signature=\"{signature}\""
    );
    let target = "POST http://example.com/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b";
    Sent::new(target, &authorization, "c2&a3=2+q")
}

fn normalized(request: &Sent) -> String {
    let base_string = request.base_string();
    let parameters = base_string.split('&').nth(2).unwrap();
    percent_decode_str(parameters).decode_utf8().unwrap().into_owned()
}

#[test]
fn the_photos_of_section_1_2_are_let_out() {
    const CONSUMER: &str = "kd94hf93k423kf44";
    for (request, token, authorization) in [
        (
            "POST https://photos.example.net/initiate",
            "",
            "oauth_signature_method=\"HMAC-SHA1\", oauth_timestamp=\"137131200\", \
             oauth_nonce=\"wIjqoS\", oauth_callback=\"http%3A%2F%2Fprinter.example.com%2Fready\", \
             oauth_signature=\"74KNZJeDHnMBp0EMJ9ZHt%2FXKycU%3D\"",
        ),
        (
            "POST https://photos.example.net/token",
            "hdhd0244k9j7ao03",
            "oauth_token=\"hh5s93j4hdidpola\", oauth_signature_method=\"HMAC-SHA1\", \
             oauth_timestamp=\"137131201\", oauth_nonce=\"walatlh\", \
             oauth_verifier=\"hfdp7dh39dks9884\", \
             oauth_signature=\"gKgrFCywp7rO0OXSjdot%2FIHF7IU%3D\"",
        ),
        (
            "GET http://photos.example.net/photos?file=vacation.jpg&size=original",
            "pfkkdhi9sl3r4s00",
            "oauth_token=\"nnch734d00sl2jdk\", oauth_signature_method=\"HMAC-SHA1\", \
             oauth_timestamp=\"137131202\", oauth_nonce=\"chapoH\", \
             oauth_signature=\"MdpQcU8iPSUjWoN%2FUDMsK2sui9I%3D\"",
        ),
    ] {
        let authorization = format!(
            "OAuth realm=\"Photos\", oauth_consumer_key=\"dpf43f3p2l4k3l03\", {authorization}"
        );
        let mut request = Sent::new(request, &authorization, "");
        assert!(request.verifies([CONSUMER, token]), "{request:?}");
        assert!(!request.verifies([token, CONSUMER]), "{request:?}");
        assert!(!request.verifies([CONSUMER, ""]) || token.is_empty(), "{request:?}");
        request.https = !request.https;
        assert!(!request.verifies([CONSUMER, token]), "{request:?}");
    }
}

#[test]
fn the_plaintexts_of_sections_2_1_and_2_3_are_the_secrets() {
    for (path, token, authorization) in [
        (
            "/request_temp_credentials",
            "",
            "oauth_callback=\"http%3A%2F%2Fclient.example.net%2Fcb%3Fx%3D1\", \
             oauth_signature=\"ja893SD9%26\"",
        ),
        (
            "/request_token",
            "xyz4992k83j47x0b",
            "oauth_token=\"hdk48Djdsa\", oauth_verifier=\"473f82d3\", \
             oauth_signature=\"ja893SD9%26xyz4992k83j47x0b\"",
        ),
    ] {
        let authorization = format!(
            "OAuth realm=\"Example\", oauth_consumer_key=\"jd83jd92dhsh93js\", \
             oauth_signature_method=\"PLAINTEXT\", {authorization}"
        );
        let url = format!("POST https://server.example.com{path}");
        let request = Sent::new(&url, &authorization, "");
        assert!(request.verifies(["ja893SD9", token]), "{request:?}");
        assert!(!request.verifies(["ja893SD9", "x"]), "{request:?}");
    }
}

#[test]
fn the_request_of_section_3_1_is_signed_as_erratum_2550_says() {
    let secrets = ["j49sk3j29djd", "dh893hdasih9"];
    assert!(request("r6%2FTJjbCOr97%2F%2BUU0NsvSne7s5g%3D").verifies(secrets));
    // What the RFC prints signs a GET.
    let mut printed = request("bYT5CMsGcbgUdFHObYMEfcx6bsw%3D");
    assert!(!printed.verifies(secrets));
    "GET".clone_into(&mut printed.method);
    assert!(printed.verifies(secrets));
}

#[test]
fn the_base_string_is_that_of_section_3_4_1_1() {
    let expected = "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q\
                    %26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26oauth_consumer_\
                    key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_m\
                    ethod%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk\
                    9d7dh3k39sjv7";
    assert_eq!(request("x").base_string(), expected);
    // A method of one's own is encoded.
    let own = Sent::new("M&M http://example.com/", "", "").base_string();
    assert_eq!(own, "M%26M&http%3A%2F%2Fexample.com%2F&");
}

#[test]
fn base_string_uris_are_those_of_section_3_4_1_2() {
    for (url, expected) in [
        ("http://EXAMPLE.COM:80/r%20v/X?id=123", "http://example.com/r%20v/X"),
        ("https://www.example.net:8080/?q=1", "https://www.example.net:8080/"),
        // A default port is one of its scheme only.
        ("https://example.com:443/", "https://example.com/"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("https://example.com:80/", "https://example.com:80/"),
        ("http://example.com:8080/", "http://example.com:8080/"),
        // A port may be empty and have zeros before it (RFC 3986 section 3.2.3).
        ("http://example.com:/", "http://example.com/"),
        ("http://example.com:080/", "http://example.com/"),
        ("http://example.com:+80/", "http://example.com:+80/"),
        ("http://example.com:65616/", "http://example.com:65616/"),
        ("http://example.com:8:/", "http://example.com:8:/"),
        ("http://[2001:DB8::80]/", "http://[2001:db8::80]/"),
        ("http://[2001:db8::80]:80/", "http://[2001:db8::80]/"),
        ("https://[::1]:6984/", "https://[::1]:6984/"),
        // Paths are nobody's to rewrite.
        ("http://a//db/./%2e/../%c3%A4+b;c/", "http://a//db/./%2e/../%c3%A4+b;c/"),
    ] {
        let base_string = Sent::new(&format!("GET {url}"), "", "").base_string();
        let uri = percent_decode_str(base_string.split('&').nth(1).unwrap());
        assert_eq!(uri.decode_utf8().unwrap(), expected, "{url}");
    }
}

#[test]
fn parameters_are_those_of_section_3_4_1_3_1() {
    let request = request("djosJKDKJSD8743243%2Fjdk33klY%3D");
    let parameters = request.parameters().unwrap();
    let shown = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut signed: Vec<_> =
        parameters.signed().iter().map(|(name, value)| (shown(name), shown(value))).collect();
    signed.sort();
    let mut expected = [
        ("b5", "=%3D"),
        ("a3", "a"),
        ("c@", ""),
        ("a2", "r b"),
        ("oauth_consumer_key", "9djdj82h48djs9d2"),
        ("oauth_token", "kkk9d7dh3k39sjv7"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "137131201"),
        ("oauth_nonce", "7d8f3e4a"),
        ("c2", ""),
        ("a3", "2 q"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    expected.sort();
    assert_eq!(signed, expected);
    assert_eq!(parameters.signature().unwrap(), b"djosJKDKJSD8743243/jdk33klY=");
}

#[test]
fn parameters_are_normalized_as_in_section_3_4_1_3_2() {
    assert_eq!(
        normalized(&request("x")),
        "a2=r%20b&a3=2%20q&a3=a&b5=%3D%253D&c%40=&c2=&oauth_consumer_key=9dj\
         dj82h48djs9d2&oauth_nonce=7d8f3e4a&oauth_signature_method=HMAC-SHA1\
         &oauth_timestamp=137131201&oauth_token=kkk9d7dh3k39sjv7"
    );
    for (query, expected) in [
        // The bytes of the encoded names decide, and only between equal names the values.
        ("a=2&a=10&a=1", "a=1&a=10&a=2"),
        ("ab=1&a=2&a%20=3&a-=4&A=5", "A=5&a=2&a%20=3&a-=4&ab=1"),
        ("~=1&%C3%A4=2&z=3&_=4&0=5", "%C3%A4=2&0=5&_=4&z=3&~=1"),
        ("a=%C3%A4&a=z&a=", "a=&a=%C3%A4&a=z"),
        ("=&&;a&=b", "=&=b&a="),
        ("a=b=c&%61%3Db=%2b", "a=b%3Dc&a%3Db=%2B"),
        // Only a header's realm is not signed.
        ("realm=x", "realm=x"),
    ] {
        let url = format!("GET http://example.com/?{query}");
        assert_eq!(normalized(&Sent::new(&url, "OAuth Realm=\"y\"", "")), expected, "{query}");
    }
}

#[test]
fn the_three_places_of_section_3_5_say_the_same() {
    let pairs = [
        ("oauth_consumer_key", "0685bd9184jfhq22"),
        ("oauth_token", "ad180jjd733klru7"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_signature", "wOJIO9A2W5mFwDgiDvZbTSMK%2FPY%3D"),
        ("oauth_timestamp", "137131200"),
        ("oauth_nonce", "4572616e48616d6d65724c61686176"),
        ("oauth_version", "1.0"),
    ];
    let header = pairs.map(|(name, value)| format!("{name}=\"{value}\"")).join(", \t");
    let form = pairs.map(|(name, value)| format!("{name}={value}")).join("&");
    let url = "GET http://example.com/example/path";
    let in_header = Sent::new(url, &format!("OAuth realm=\"Example\",{header}"), "");
    let in_form = Sent::new(url, "", &form);
    let in_query = Sent::new(&format!("{url}?{form}"), "", "");
    for request in [&in_header, &in_form, &in_query] {
        assert_eq!(
            normalized(request),
            "oauth_consumer_key=0685bd9184jfhq22&oauth_nonce=4572616e48616d6d65724c61686176\
             &oauth_signature_method=HMAC-SHA1&oauth_timestamp=137131200\
             &oauth_token=ad180jjd733klru7&oauth_version=1.0",
            "{request:?}"
        );
        let parameters = request.parameters().unwrap();
        assert_eq!(parameters.signature().unwrap(), b"wOJIO9A2W5mFwDgiDvZbTSMK/PY=");
        assert_eq!(parameters.get("oauth_version").unwrap(), b"1.0");
    }
}

#[test]
fn all_but_the_unreserved_characters_of_section_3_6_are_encoded() {
    for byte in 0..=u8::MAX {
        let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let encoded =
            if is_unreserved { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        assert_eq!(plaintext(&[byte], &[byte]), format!("{encoded}&{encoded}"));
    }
}

#[test]
fn the_ampersand_between_the_secrets_is_always_there() {
    for (consumer, token, expected) in
        [("", "", "&"), ("a", "", "a&"), ("", "a", "&a"), ("a&b", "c", "a%26b&c")]
    {
        assert_eq!(plaintext(consumer.as_bytes(), token.as_bytes()), expected);
    }
}
