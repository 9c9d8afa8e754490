//! Looking into a document that strangers can have read: it may be large, and little of it is wanted.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Error, value::RawValue};

/// What some fields of an object hold; the others are passed over. A field that comes twice is an
/// error: CouchDB could read the other one.
pub(super) fn fields<'a, const N: usize>(
    text: &'a [u8],
    names: [&str; N],
) -> Result<[Option<&'a RawValue>; N], Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let found = deserializer.deserialize_map(Fields(names))?;
    deserializer.end()?;
    Ok(found)
}

/// The elements of a list that `wanted` picks.
pub(super) fn elements(
    text: &str,
    wanted: impl Fn(&RawValue) -> bool,
) -> Result<Vec<&RawValue>, Error> {
    serde_json::Deserializer::from_str(text).deserialize_seq(Elements(wanted))
}

struct Fields<'n, const N: usize>([&'n str; N]);

impl<'a, const N: usize> Visitor<'a> for Fields<'_, N> {
    type Value = [Option<&'a RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut found = [None; N];
        while let Some(at) = map.next_key_seed(Position(self.0))? {
            match at {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(at) if found[at].is_none() => found[at] = Some(map.next_value()?),
                Some(_) => return Err(M::Error::custom("a field comes twice")),
            }
        }
        Ok(found)
    }
}

/// Where a name stands among others.
struct Position<'n, const N: usize>([&'n str; N]);

impl<'a, const N: usize> DeserializeSeed<'a> for Position<'_, N> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, name: D) -> Result<Option<usize>, D::Error> {
        name.deserialize_str(self)
    }
}

impl<const N: usize> Visitor<'_> for Position<'_, N> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|wanted| *wanted == name))
    }
}

struct Elements<W>(W);

impl<'a, W: Fn(&RawValue) -> bool> Visitor<'a> for Elements<W> {
    type Value = Vec<&'a RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut list: S) -> Result<Self::Value, S::Error> {
        let mut found = Vec::new();
        while let Some(element) = list.next_element::<&RawValue>()? {
            if self.0(element) {
                found.push(element);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<const N: usize>(found: [Option<&RawValue>; N]) -> [Option<&str>; N] {
        found.map(|found| found.map(RawValue::get))
    }

    #[test]
    fn wanted_fields_are_found_as_they_are_written() {
        let text = br#"{"a": [1, {"b": 2}], "x": {"a": 0, "a": 1}, "\u0062" : 1.0, "x": null}"#;
        let found = fields(text, ["a", "b", "c"]).unwrap();
        assert_eq!(texts(found), [Some(r#"[1, {"b": 2}]"#), Some("1.0"), None]);
        for (text, is_data) in [
            (&br#"{"a": 1, "\u0061": 2}"#[..], true),
            (b"[]", true),
            (b"5", true),
            (br#"{"a": 1"#, false),
            (b"", false),
            (br#"{"a": 1} {}"#, false),
            (b"<html>", false),
        ] {
            let error = fields(text, ["a"]).unwrap_err();
            assert_eq!(error.is_data(), is_data, "{error}");
        }
    }

    #[test]
    fn wanted_elements_are_found() {
        let wanted = |element: &RawValue| element.get().contains('k');
        let found = elements(r#"["k", 1, {"k": 2}, null]"#, wanted).unwrap();
        assert_eq!(
            found.iter().map(|found| found.get()).collect::<Vec<_>>(),
            [r#""k""#, r#"{"k": 2}"#]
        );
        assert!(elements(r#"{"k": 1}"#, wanted).unwrap_err().is_data());
    }
}
