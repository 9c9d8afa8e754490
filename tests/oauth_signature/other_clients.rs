//! What others sign: the examples of OAuth Core 1.0 with the test cases of its community
//! (<http://wiki.oauth.net/w/page/12238556/TestCases>), and requests signed by oauthlib.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use couchgate::{
    auth::oauth::signature::{Credentials, Signer},
    secret::HashAlgorithm,
};
use percent_encoding::percent_decode_str;

use super::{Sent, plaintext};

/// OAuth Core 1.0, sections 5.1 and 9.1.1.
#[test]
fn names_and_values_are_encoded_and_sorted() {
    for (text, encoded) in [
        ("abcABC123", "abcABC123"),
        ("-._~", "-._~"),
        ("%", "%25"),
        ("+", "%2B"),
        ("&=*", "%26%3D%2A"),
        ("\n", "%0A"),
        (" ", "%20"),
        ("\u{7f}", "%7F"),
        ("\u{80}", "%C2%80"),
        ("\u{3001}", "%E3%80%81"),
    ] {
        assert_eq!(plaintext(text.as_bytes(), b""), format!("{encoded}&"));
    }
    for (sent, normalized) in [
        ("name", "name="),
        ("a=b", "a=b"),
        ("a=b&c=d", "a=b&c=d"),
        ("a=x!y&a=x+y", "a=x%20y&a=x%21y"),
        ("x!y=a&x=a", "x=a&x%21y=a"),
        ("a=1&c=hi%20there&f=25&f=50&f=a&z=p&z=t", "a=1&c=hi%20there&f=25&f=50&f=a&z=p&z=t"),
        ("z=t&f=a&z=p&f=50&c=hi+there&f=25&a=1", "a=1&c=hi%20there&f=25&f=50&f=a&z=p&z=t"),
    ] {
        for request in [
            Sent::new(&format!("GET http://example.com/?{sent}"), "", ""),
            Sent::new("GET http://example.com/", "", sent),
        ] {
            let base_string = request.base_string();
            let parameters = percent_decode_str(base_string.split('&').nth(2).unwrap());
            assert_eq!(parameters.decode_utf8().unwrap(), normalized, "{request:?}");
        }
    }
}

/// OAuth Core 1.0, section 9.1.3. Where a URL has no path, HTTP sends `/`.
#[test]
fn a_request_is_concatenated() {
    for (request, parameters, expected) in [
        ("GET http://example.com/", "n=v", "GET&http%3A%2F%2Fexample.com%2F&n%3Dv"),
        (
            "POST https://photos.example.net/request_token",
            "oauth_version=1.0&oauth_consumer_key=dpf43f3p2l4k3l03&oauth_timestamp=1191242090\
             &oauth_nonce=hsu94j3884jdopsl&oauth_signature_method=PLAINTEXT&oauth_signature=ignored",
            "POST&https%3A%2F%2Fphotos.example.net%2Frequest_token&oauth_consumer_key%3D\
             dpf43f3p2l4k3l03%26oauth_nonce%3Dhsu94j3884jdopsl%26oauth_signature_method%3DPLAINTEXT\
             %26oauth_timestamp%3D1191242090%26oauth_version%3D1.0",
        ),
        (
            "GET http://photos.example.net/photos",
            "file=vacation.jpg&size=original&oauth_version=1.0&oauth_consumer_key=dpf43f3p2l4k3l03\
             &oauth_token=nnch734d00sl2jdk&oauth_timestamp=1191242096&oauth_nonce=kllo9940pd9333jh\
             &oauth_signature=ignored&oauth_signature_method=HMAC-SHA1",
            "GET&http%3A%2F%2Fphotos.example.net%2Fphotos&file%3Dvacation.jpg%26oauth_consumer_key\
             %3Ddpf43f3p2l4k3l03%26oauth_nonce%3Dkllo9940pd9333jh%26oauth_signature_method%3D\
             HMAC-SHA1%26oauth_timestamp%3D1191242096%26oauth_token%3Dnnch734d00sl2jdk\
             %26oauth_version%3D1.0%26size%3Doriginal",
        ),
    ] {
        let in_query = Sent::new(&format!("{request}?{parameters}"), "", "");
        assert_eq!(in_query.base_string(), expected);
        let mut without_path = Sent::new(request, "", parameters);
        assert_eq!(without_path.base_string(), expected);
        if without_path.path == "/" {
            without_path.path.clear();
            assert_eq!(without_path.base_string(), expected);
        }
    }
}

/// OAuth Core 1.0, section 9.2.
#[test]
fn hmacs_are_keyed_with_both_secrets() {
    for (consumer, token, text, expected) in [
        ("cs", "", "bs", "egQqG5AJep5sJ7anhXju1unge2I="),
        ("cs", "ts", "bs", "VZVjXceV7JgPq/dOTnNmEfO0Fv8="),
    ] {
        let key = plaintext(consumer.as_bytes(), token.as_bytes());
        let mac = HashAlgorithm::Sha.hmac(&[key.as_bytes()], text.as_bytes());
        assert_eq!(BASE64.encode(mac.as_bytes()), expected);
    }
}

/// OAuth Core 1.0, appendix A: two plaintexts in the query, and the photo with a header.
#[test]
fn the_photos_of_oauth_core_are_let_out() {
    const CONSUMER: &str = "kd94hf93k423kf44";
    for (request, authorization, token) in [
        (
            "POST https://photos.example.net/request_token?oauth_consumer_key=dpf43f3p2l4k3l03\
             &oauth_signature_method=PLAINTEXT&oauth_signature=kd94hf93k423kf44%26\
             &oauth_timestamp=1191242090&oauth_nonce=hsu94j3884jdopsl&oauth_version=1.0",
            "",
            "",
        ),
        (
            "POST https://photos.example.net/access_token?oauth_consumer_key=dpf43f3p2l4k3l03\
             &oauth_token=hh5s93j4hdidpola&oauth_signature_method=PLAINTEXT\
             &oauth_signature=kd94hf93k423kf44%26hdhd0244k9j7ao03&oauth_timestamp=1191242092\
             &oauth_nonce=dji430splmx33448&oauth_version=1.0",
            "",
            "hdhd0244k9j7ao03",
        ),
        (
            "GET http://photos.example.net/photos?file=vacation.jpg&size=original",
            "OAuth realm=\"http://photos.example.net/photos\", \
             oauth_consumer_key=\"dpf43f3p2l4k3l03\", oauth_token=\"nnch734d00sl2jdk\", \
             oauth_nonce=\"kllo9940pd9333jh\", oauth_timestamp=\"1191242096\", \
             oauth_signature_method=\"HMAC-SHA1\", oauth_version=\"1.0\", \
             oauth_signature=\"tR3%2BTy81lMeYAr%2FFid0kMTYa%2FWM%3D\"",
            "pfkkdhi9sl3r4s00",
        ),
    ] {
        let request = Sent::new(request, authorization, "");
        assert!(request.verifies([CONSUMER, token]), "{request:?}");
        assert!(!request.verifies([CONSUMER, "x"]), "{request:?}");
    }
}

/// Made by oauthlib 4.0.1: `HMAC-SHA1`, `HMAC-SHA256` and `PLAINTEXT`.
#[test]
fn what_oauthlib_signs_verifies() {
    let ours = ["consumer1", "sekr1t", "token1", "tokensekr1t"];
    let plain = "sekr1t%26tokensekr1t";
    for (request, form, credentials, signatures) in [
        (
            "GET http://localhost:5994/_session",
            "",
            ours,
            [
                "A6y3MhOdipuRHu5aSkZhhGT9XKU%3D",
                "%2BNuerxvOlGchH6rph2nYg%2BDA7qmbszgsbLy78icV%2BPo%3D",
                plain,
            ],
        ),
        (
            "PUT https://[2001:db8::7]:6984/db/_design%2Fx?rev=1-a&new_edits=false",
            "",
            ours,
            [
                "VjX4jFORh12WCUI7xKBvvMriiOY%3D",
                "KQR84p%2FVYVD%2B4JZagST%2F2ekNQd%2B6zrKYp9RYBmhwteM%3D",
                plain,
            ],
        ),
        (
            "GET http://Couch.Example:80/db/_all_docs?keys=%5B%22%C3%A4%22%2C%22b%2Bc%22%5D\
             &limit=&limit=2&a=+",
            "",
            ours,
            [
                "NyXTB%2Bs9KSjTDpEq%2B3U%2Fv3cwdQ8%3D",
                "E%2F6fWHyv%2BYWyi%2FeWzbTKFsjDSxTsLXjX16Xw1pc0Qx4%3D",
                plain,
            ],
        ),
        (
            "POST https://couch.example:443/db/_design/x/_update/y?b=2",
            "b=10&b=1&%3D=%26&a+b=c%2Bd&z&%F0%9F%90%B1=%f0%9f%90%b1",
            ours,
            [
                "OEc6Cg32dM8snZ3GDGbuYbkvN7I%3D",
                "3c1bllEnGl%2F3KKeEyt5mkMNK0cx1nHdlUs0yg9EtZ2k%3D",
                plain,
            ],
        ),
        (
            "GET http://couch.example/",
            "",
            ["k&1", "s e&cret/+", "tök%n", "~-._!*"],
            [
                "KPnHKrQ4AojGNyhw2v2iUKuld%2B8%3D",
                "7MuSLbaYWGPB5p1GGz8I6s0RxCY%2FsZ6PYKdEptC9NVc%3D",
                "s%2520e%2526cret%252F%252B%26~-._%2521%252A",
            ],
        ),
    ] {
        let [consumer_key, consumer_secret, token, token_secret] = credentials;
        let credentials = Credentials {
            consumer_key: consumer_key.to_owned(),
            consumer_secret: consumer_secret.into(),
            token: token.to_owned(),
            token_secret: token_secret.into(),
        };
        for (method, signature) in
            ["HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT"].into_iter().zip(signatures)
        {
            let signer = Signer {
                method: method.parse().unwrap(),
                timestamp: 1_374_561_749,
                nonce: "81430018",
            };
            let mut sent = Sent::new(request, "", form);
            sent.authorization =
                signer.authorization(&sent.signable(), &sent.query, &sent.form, &credentials);
            let ours = sent.authorization.split_once("oauth_signature=").unwrap().1;
            assert_eq!(ours.trim_matches('"'), signature, "{sent:?}");
            assert!(sent.verifies([consumer_secret, token_secret]), "{sent:?}");
            assert!(!sent.verifies([token_secret, consumer_secret]), "{sent:?}");
        }
    }
}
