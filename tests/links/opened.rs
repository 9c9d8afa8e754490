//! Links that open, in front of a CouchDB.

use std::process::Command;

use super::{NAMES, OLD, REFUSAL, attach, ini_for, link, now, path, place, printed, target, token};
use crate::support::{Couch, Gate};

#[test]
fn a_link_opens_its_attachment_whatever_the_names() {
    let couch = Couch::shared();
    let db = couch.database();
    let gate = Gate::start(&couch.url, &ini_for(couch));
    let place = place(&ini_for(couch));
    let base = format!("http://{}", gate.address);
    for (number, names) in NAMES.iter().enumerate() {
        let bytes = format!("attachment {number}").into_bytes();
        attach(couch, &db, *names, &bytes);
        gate.get(&path(&[&db, names[0], names[1]]), &[]).expect(401);

        let options = format!("--expires 1h --base {base}");
        let url = printed(&mut link(&place, &options, &[&db, names[0], names[1]]));
        let opened = gate.get(target(&url, &base), &[]);
        assert_eq!((opened.status, &opened.body), (200, &bytes), "{names:?} {opened:?}");
        assert_eq!(opened.header("content-type"), Some("application/x-test"), "{names:?}");
        assert_eq!(opened.all("access-control-allow-origin"), ["*"], "{names:?}");
        let head = gate.request("HEAD", target(&url, &base), &[], b"");
        assert_eq!(head.status, 200, "{names:?}");
        assert_eq!(head.header("content-length"), Some(&*bytes.len().to_string()), "{names:?}");

        let curl = Command::new("curl").args(["-sS", "-f", "--noproxy", "*", &url]).output();
        let curl = curl.expect("curl is needed: apt-get install curl");
        assert!(curl.status.success(), "{url}: {curl:?}");
        assert_eq!(curl.stdout, bytes, "{url}");
    }
}

#[test]
fn any_key_that_is_configured_opens() {
    let couch = Couch::shared();
    let db = couch.database();
    attach(couch, &db, ["doc", "a"], b"a");
    let gate = Gate::start(&couch.url, &ini_for(couch));
    let place = place(&ini_for(couch));
    let base = format!("http://{}", gate.address);
    for key in ["app", "old-1"] {
        let options = format!("--expires 90s --key {key} --base {base}");
        let url = printed(&mut link(&place, &options, &[&db, "doc", "a"]));
        assert!(url.contains(&format!("?token=couchgate1.{key}.")), "{url}");
        assert_eq!(gate.get(target(&url, &base), &[]).expect(200).body, b"a");
    }
}

#[test]
fn what_is_not_there_is_couchdbs_404() {
    let couch = Couch::shared();
    let db = couch.database();
    attach(couch, &db, ["doc", "a"], b"a");
    let gate = Gate::start(&couch.url, &ini_for(couch));
    for names in [["doc", "b"], ["none", "a"]] {
        let [doc, attachment] = names;
        let of_names = path(&[&db, doc, attachment]);
        let token = token(OLD, [&db, doc, attachment], now() + 60);
        let missing = gate.get(&format!("{of_names}?token={token}"), &[]).expect(404);
        let couchdbs = couch.request("GET", &of_names, &[], b"").expect(404);
        assert_eq!(missing.body, couchdbs.body, "{names:?}");
        assert_eq!(missing.json()["error"], "not_found");
        assert_eq!(missing.all("access-control-allow-origin"), ["*"], "{names:?}");

        // Who has no link does not learn it.
        let wrong = token.replace(".old-1.", ".app.");
        let refused = gate.get(&format!("{of_names}?token={wrong}"), &[]).expect(403);
        assert_eq!(String::from_utf8(refused.body).unwrap(), REFUSAL);
    }
    let none = format!("{db}-none");
    let token = token(OLD, [&none, "doc", "a"], now() + 60);
    let missing = gate.get(&format!("/{none}/doc/a?token={token}"), &[]).expect(404);
    assert_eq!(missing.json()["error"], "not_found");
    assert_eq!(missing.all("access-control-allow-origin"), ["*"]);
}
