//! Whatever stands in a query: only the pairs that must go are gone.

#![no_main]

use couchgate::target::{Target, form_pairs};
use http::uri::PathAndQuery;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(sent) = PathAndQuery::try_from(text) else { return };
    let is_unwanted = |name: &[u8]| name.starts_with(b"x");
    let target = Target::new(sent.clone());
    let kept: Vec<_> = target.query_pairs().filter(|(name, _)| !is_unwanted(name)).collect();
    let Some(left) = target.without(is_unwanted).unwrap() else {
        return assert_eq!(kept.len(), target.query_pairs().count());
    };
    assert!(kept.len() < target.query_pairs().count());
    assert_eq!(left.path(), sent.path());
    let query = left.query().unwrap_or_default();
    assert_eq!(form_pairs(query.as_bytes()).collect::<Vec<_>>(), kept);
    // Byte for byte, one pair after another.
    let mut sent = sent.query().unwrap_or_default().split(['&', ';']);
    let mut left_over = query.split(['&', ';']).filter(|pair| !pair.is_empty());
    assert!(left_over.all(|pair| sent.any(|sent| sent == pair)));
    assert!(Target::new(left).without(is_unwanted).unwrap().is_none());
});
