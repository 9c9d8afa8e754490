//! Changing keys in a file's text, all else of which stays byte for byte.
//!
//! ```
//! use couchgate::config::ini::edit::{remove, set};
//!
//! let text = b"[log]\nlevel = info ; for now\n\n[couchgate]\nport = 5994\n";
//! let text = set(text, "log", "format", "json").unwrap();
//! assert_eq!(&*text, b"[log]\nlevel = info ; for now\nformat = json\n\n[couchgate]\nport = 5994\n");
//! assert_eq!(&*remove(&text, "log", "level"), b"[log]\nformat = json\n\n[couchgate]\nport = 5994\n");
//! ```

use std::path::Path;

use zeroize::Zeroizing;

use super::{
    Ini,
    layer::{Kind, Line, lines},
};

/// What cannot be written so that it is read back as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ini file cannot hold this name or value: it would be read as another")]
pub struct Unwritable;

/// Sets a key, at the end of the last section of that name or, where there is none, in a new one.
///
/// # Errors
///
/// [`Unwritable`], for a section, key or value that this dialect cannot carry.
pub fn set(
    text: &[u8],
    section: &str,
    key: &str,
    value: &str,
) -> Result<Zeroizing<Vec<u8>>, Unwritable> {
    let mut text = remove(text, section, key);
    let eol = line_end(&text);
    // With blanks, for the key may contain `=`.
    let line = [key, " = ", value, eol].concat();
    let (at, header) = match place(&lines(&text), section) {
        Some(at) => (at, String::new()),
        None => (text.len(), ["[", section, "]", eol].concat()),
    };
    let mut new = Zeroizing::new(Vec::with_capacity(text.len() + header.len() + line.len() + 4));
    new.extend_from_slice(&text[..at]);
    if !new.is_empty() && !new.ends_with(b"\n") {
        new.extend_from_slice(eol.as_bytes());
    }
    if !header.is_empty() && !ends_with_empty_line(&new) {
        new.extend_from_slice(eol.as_bytes());
    }
    new.extend_from_slice(header.as_bytes());
    new.extend_from_slice(Zeroizing::new(line).as_bytes());
    new.extend_from_slice(&text[at..]);
    std::mem::swap(&mut text, &mut new);

    let mut ini = Ini::default();
    ini.parse_layer(Path::new(""), &text, &mut Vec::new());
    let carried = ini.get(section, key).is_some_and(|entry| entry.value == value);
    if carried { Ok(text) } else { Err(Unwritable) }
}

/// Removes a key wherever the section has it, with the lines that continue its value. Without the
/// key, the text stays as it is.
#[must_use]
pub fn remove(text: &[u8], section: &str, key: &str) -> Zeroizing<Vec<u8>> {
    let eol = line_end(text);
    let mut left = Zeroizing::new(Vec::with_capacity(text.len() + eol.len()));
    let mut removing = false;
    for Line { bytes, section: of, kind } in lines(text) {
        let was_removing = removing;
        removing = match &kind {
            Kind::Key(name) => of.as_deref() == Some(section) && name == key,
            Kind::Continuation => was_removing,
            Kind::Header | Kind::Nothing | Kind::Fault => false,
        };
        if removing {
            continue;
        }
        // What is indented must not become the continuation of what now stands above it.
        if was_removing && matches!(kind, Kind::Key(_) | Kind::Fault) && is_indented(bytes) {
            left.extend_from_slice(eol.as_bytes());
        }
        left.extend_from_slice(bytes);
    }
    left
}

/// Where a key of a section is added: after the last section's last key or, where there is none,
/// after the comment below its header.
fn place(lines: &[Line<'_>], section: &str) -> Option<usize> {
    let is_header =
        |line: &Line<'_>| line.kind == Kind::Header && line.section.as_deref() == Some(section);
    let header = lines.iter().rposition(is_header)?;
    let below = &lines[header + 1..];
    let end = below.iter().position(|line| line.kind == Kind::Header).unwrap_or(below.len());
    let below = &below[..end];
    let is_key =
        |line: &Line<'_>| matches!(line.kind, Kind::Key(_) | Kind::Continuation | Kind::Fault);
    let is_empty = |line: &Line<'_>| line.bytes.trim_ascii().is_empty();
    let count = match below.iter().rposition(is_key) {
        Some(last) => last + 1,
        None => below.iter().position(is_empty).unwrap_or(below.len()),
    };
    Some(lines[..=header + count].iter().map(|line| line.bytes.len()).sum())
}

/// How the text's lines end.
fn line_end(text: &[u8]) -> &'static str {
    let first = text.split_inclusive(|byte| *byte == b'\n').next();
    if first.is_some_and(|line| line.ends_with(b"\r\n")) { "\r\n" } else { "\n" }
}

fn ends_with_empty_line(text: &[u8]) -> bool {
    let last = text.split_inclusive(|byte| *byte == b'\n').next_back();
    last.is_none_or(|line| line.trim_ascii().is_empty())
}

fn is_indented(line: &[u8]) -> bool {
    line.starts_with(b" ") || line.starts_with(b"\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_key_is_set_at_the_end_of_its_section() {
        for (before, after) in [
            ("", "[s]\nk = v\n"),
            ("[s]", "[s]\nk = v\n"),
            ("[s]\n", "[s]\nk = v\n"),
            ("[s]\r\n", "[s]\r\nk = v\r\n"),
            ("\u{feff}[ s ] ; x\n", "\u{feff}[ s ] ; x\nk = v\n"),
            ("[s]\na=b", "[s]\na=b\nk = v\n"),
            ("[s]\n  a = b\n   c\n\n; t\n[t]\n", "[s]\n  a = b\n   c\nk = v\n\n; t\n[t]\n"),
            ("[s]\n; k = x\n# y\n\n; t\n[t]\n", "[s]\n; k = x\n# y\nk = v\n\n; t\n[t]\n"),
            ("[s]\n\n[t]\n", "[s]\nk = v\n\n[t]\n"),
            ("[s]\na=b\n[t]\n[s]\nc=d\n[t]\n", "[s]\na=b\n[t]\n[s]\nc=d\nk = v\n[t]\n"),
            ("[t]\na=b\n", "[t]\na=b\n\n[s]\nk = v\n"),
            ("[t]\r\na=b", "[t]\r\na=b\r\n\r\n[s]\r\nk = v\r\n"),
            ("[t]\na=b\n\n", "[t]\na=b\n\n[s]\nk = v\n"),
            ("; only a comment", "; only a comment\n\n[s]\nk = v\n"),
            ("[S]\n", "[S]\n\n[s]\nk = v\n"),
            // Where it is set already.
            ("[s]\nk=a\n  b\nl=c\n", "[s]\nl=c\nk = v\n"),
            ("[s]\nk = a\n[t]\nk = a\n[s]\nk =\n", "[s]\n[t]\nk = a\n[s]\nk = v\n"),
        ] {
            assert_eq!(text(&set(before.as_bytes(), "s", "k", "v").unwrap()), after, "{before:?}");
        }
    }

    #[test]
    fn a_key_is_removed_wherever_it_stands() {
        for (before, after) in [
            ("[s]\nk = v\n", "[s]\n"),
            ("[s]\nk = v", "[s]\n"),
            ("[s]\r\nk=v ; w\r\nl=w\r\n", "[s]\r\nl=w\r\n"),
            ("[s]\nk = a\n  b\n\tc=d\nl = w", "[s]\nl = w"),
            ("[s]\nk =\nl = w\n[s]\n k=v\n", "[s]\nl = w\n[s]\n"),
            ("[s]\nk = a\n; of nobody\n\nl=w\n", "[s]\n; of nobody\n\nl=w\n"),
            // The next key was no continuation and does not become one.
            ("[s]\na = b\n  k = v\n  c=d\n", "[s]\na = b\n\n  c=d\n"),
            ("[s]\na = b\n  k = v\n    w\n  c=d\n", "[s]\na = b\n\n  c=d\n"),
            ("[s]\r\na = b\r\n\tk = v\r\n\tc=d", "[s]\r\na = b\r\n\r\n\tc=d"),
            // Others.
            (
                "[s]\nK = v\nkk = v\n; k = v\n[t]\nk = v\n",
                "[s]\nK = v\nkk = v\n; k = v\n[t]\nk = v\n",
            ),
            ("[s]\na = b\n  k=v\n", "[s]\na = b\n  k=v\n"),
            ("k = v\n[s\nk = v\n\u{0}", "k = v\n[s\nk = v\n\u{0}"),
        ] {
            assert_eq!(text(&remove(before.as_bytes(), "s", "k")), after, "{before:?}");
        }
        assert_eq!(&*remove(b"[s]\nx = \xff\nk = v\n", "s", "k"), b"[s]\nx = \xff\n");
    }

    #[test]
    fn what_would_be_read_as_another_is_refused() {
        for name in [
            "", " ", " k", "k ", "\tk", "k\n", "k\nl = w", "k\r\nl", "\rk", "; k", ";k", "#k",
            "[k", "[k]", "k ; l", "k\t;l", "k = l", " = ", "\u{c}k",
        ] {
            assert_eq!(set(b"[s]\n", "s", name, "v").err(), Some(Unwritable), "{name:?}");
        }
        for value in ["", " ", " v", "v\t", "v\nw", "v\n", "v\r", "v ;w", "v\t; w", ";v", "v\n\tw"]
        {
            assert_eq!(set(b"[s]\n", "s", "k", value).err(), Some(Unwritable), "{value:?}");
        }
        for section in ["", " ", " s", "s]", "s]t", "s\n", "[t]\na = b\n[s", "s ; t"] {
            assert_eq!(set(b"", section, "k", "v").err(), Some(Unwritable), "{section:?}");
        }
    }

    /// What section `s` says without one key, and all else and the number of faults.
    fn without(text: &[u8], key: &str) -> (Vec<String>, usize) {
        let (mut ini, mut faults) = (Ini::default(), Vec::new());
        ini.parse_layer(Path::new(""), text, &mut faults);
        let said = ["s", "t"].into_iter().flat_map(|section| {
            let others = ini.section(section).filter(|(of, _)| section != "s" || *of != key);
            let said = others.map(|(key, entry)| format!("[{section}] {key:?} {:?}", entry.value));
            said.collect::<Vec<_>>()
        });
        let mut said: Vec<_> = said.collect();
        said.sort();
        (said, faults.len())
    }

    fn value(text: &[u8], key: &str) -> Option<String> {
        let mut ini = Ini::default();
        ini.parse_layer(Path::new(""), text, &mut Vec::new());
        ini.get("s", key).map(|entry| entry.value.clone())
    }

    #[test]
    fn all_else_says_what_it_said() {
        const LINES: [&str; 13] = [
            "[s]", "[t]", "[t", "k = a", " k=a", "  k = a", "  l=b", "  =b=", "   b", "\tx = y",
            "", "; c", "z",
        ];
        const ODD: &str = "k|=|=k|k=|a=b|k=]|\u{a0}k\u{a0}|a b|'\"\\|k;|a;b=c|k#";
        let odd: Vec<&str> = ODD.split('|').collect();
        let mut texts = vec![String::new(), "[s]\na = b\n".to_owned()];
        for _ in 0..3 {
            let longer = texts.iter().flat_map(|text| LINES.map(|line| format!("{text}{line}\n")));
            texts = longer.collect();
            // Each with one of the names and values, in turn.
            for (index, text) in texts.iter().enumerate() {
                let (key, new) = (odd[index % odd.len()], odd[index / 7 % odd.len()]);
                let crlf = text.replace('\n', "\r\n");
                for before in [text.as_str(), text.trim_end_matches('\n'), &crlf] {
                    let before = before.as_bytes();
                    let after = set(before, "s", key, new).unwrap();
                    assert_eq!(value(&after, key).as_deref(), Some(new), "{text:?}");
                    assert_eq!(without(&after, key), without(before, key), "{text:?}");
                    for (before, key) in [(after.as_slice(), key), (before, "k")] {
                        let after = remove(before, "s", key);
                        assert_eq!(value(&after, key), None, "{text:?}");
                        assert_eq!(without(&after, key), without(before, key), "{text:?}");
                    }
                }
            }
        }
        assert_eq!(texts.len(), 2 * LINES.len().pow(3));
    }
}
