//! CouchDB's ini dialect, read in layers: a later file wins over an earlier one, key by key.
//!
//! ```
//! use couchgate::config::ini::Ini;
//! use std::path::Path;
//!
//! let (mut ini, mut faults) = (Ini::default(), Vec::new());
//! ini.parse_layer(Path::new("default.ini"), b"[chttpd]\nport = 5984\n", &mut faults);
//! ini.parse_layer(Path::new("local.ini"), b"[chttpd]\nport = 5994 ; ours\n", &mut faults);
//! assert!(faults.is_empty());
//! assert_eq!(ini.get("chttpd", "port").map(|entry| entry.value.as_str()), Some("5994"));
//! ```
//!
//! # The dialect
//!
//! * `;` or `#` as a line's first character other than blanks makes the line a comment; `;` after a
//!   blank or tab begins one anywhere. (To CouchDB, a leading `#` is part of a key.)
//! * `key = value` is split at the first ` = `, so that a key may contain `=`; a line without ` = `
//!   at its first `=`. Keys and section names are case-sensitive and trimmed.
//! * `key =` unsets the key, whatever earlier lines and layers said. (CouchDB skips such a line.)
//! * An indented line continues the value above it, joined with one blank, as in CouchDB before
//!   3.3. But CouchDB takes an indented `key = value` for a key, and people indent the keys of a
//!   section. So a line continues the one above only if that is a key's line or itself continues
//!   one, with no empty line or comment between, and if the line is indented deeper than the key's
//!   line, does not begin with `[`, and contains no `=` with blanks on both sides (the line's end
//!   counts as a blank). Every other line is read as if it were not indented.
//! * Where CouchDB silently skips a line that it cannot read, there is a [`Fault`] here. Faults do
//!   not quote the line: it may be a secret.

pub mod edit;
mod layer;
pub mod replace;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Something wrong in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it is, if it is on a certain line.
    pub place: Option<Place>,
    /// What is wrong, for the operator.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A line of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named to us.
    pub file: PathBuf,
    /// The line's number, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A key's value and where it was set.
#[derive(Clone)]
pub struct Entry {
    /// The value: trimmed, not empty.
    pub value: String,
    /// The line of its key.
    pub place: Place,
}

/// Does not print the value, which may be a secret.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("value", &"[redacted]").field("place", &self.place).finish()
    }
}

/// The layers read so far, as one. `Debug` prints sections and keys but, as with [`Entry`], no
/// values.
#[derive(Debug, Default)]
pub struct Ini {
    sections: HashMap<String, Section>,
}

impl Ini {
    /// Reads files in order, later ones winning key by key; a directory means its `*.ini` in byte
    /// order of their names.
    ///
    /// A file or directory that cannot be read becomes a fault without a place; the others are read
    /// all the same.
    pub fn load(paths: &[PathBuf], faults: &mut Vec<Fault>) -> Self {
        let mut ini = Self::default();
        for path in paths {
            let files = if path.is_dir() { ini_files(path) } else { Ok(vec![path.clone()]) };
            for file in files.unwrap_or_else(|error| unreadable(path, &error, faults)) {
                let text = fs::read(&file);
                let text = text.unwrap_or_else(|error| unreadable(&file, &error, faults));
                ini.parse_layer(&file, &text, faults);
            }
        }
        ini
    }

    /// Lays one file's text over what is there. Every faulty line adds to `faults`, and the lines
    /// after it still count.
    ///
    /// The keys under a faulty section header are checked but not stored: their section is not
    /// known. (CouchDB files them under the section above.) A value that is not UTF-8 is a fault,
    /// and stored with replacement characters.
    pub fn parse_layer(&mut self, file: &Path, text: &[u8], faults: &mut Vec<Fault>) {
        layer::read(self, file, text, faults);
    }

    /// A key's value, unless it is unset.
    #[must_use]
    pub fn get(&self, section: &str, key: &str) -> Option<&Entry> {
        let section = self.sections.get(section)?;
        section.entries[*section.index.get(key)?].1.as_ref()
    }

    /// The keys and values of a section, in the order in which the keys first appeared.
    pub fn section<'a>(
        &'a self,
        section: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Entry)> + use<'a> {
        let entries = self.sections.get(section).map_or(&[][..], |section| &section.entries);
        entries.iter().filter_map(|(key, entry)| Some((key.as_str(), entry.as_ref()?)))
    }
}

/// An unset key stays in its place as `None`, so that setting it again does not change the order.
#[derive(Debug, Default)]
struct Section {
    entries: Vec<(String, Option<Entry>)>,
    index: HashMap<String, usize>,
}

impl Section {
    fn set(&mut self, key: String, entry: Option<Entry>) {
        if let Some(&at) = self.index.get(&key) {
            self.entries[at].1 = entry;
        } else {
            self.index.insert(key.clone(), self.entries.len());
            self.entries.push((key, entry));
        }
    }
}

/// As CouchDB's wildcard, this takes names with a leading dot, too.
fn ini_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let mut files = entries.collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.as_os_str().as_encoded_bytes().ends_with(b".ini"));
    files.sort();
    Ok(files)
}

fn unreadable<T>(path: &Path, error: &io::Error, faults: &mut Vec<Fault>) -> Vec<T> {
    faults.push(Fault { place: None, message: format!("cannot read {}: {error}", path.display()) });
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(texts: &[&[u8]]) -> (Ini, Vec<String>) {
        let (mut ini, mut faults) = (Ini::default(), Vec::new());
        for (index, text) in texts.iter().enumerate() {
            ini.parse_layer(Path::new(&format!("{index}.ini")), text, &mut faults);
        }
        (ini, faults.iter().map(ToString::to_string).collect())
    }

    /// Section `s` of a text without faults.
    fn pairs(text: &str) -> String {
        let (ini, faults) = layers(&[text.as_bytes()]);
        assert_eq!(faults, [""; 0], "{text:?}");
        show(&ini)
    }

    fn show(ini: &Ini) -> String {
        let pairs = ini.section("s").map(|(key, entry)| format!("<{key}|{}>", entry.value));
        pairs.collect::<Vec<_>>().concat()
    }

    #[test]
    fn keys_and_values_are_split_as_couchdb_splits_them() {
        let text =
            "[ s ]\na=v\n\tB  =  v w  \nc==v\nd = =v\ne=v=w\nf = v = w\ng= = v\n= = v\ni = \u{a0}v";
        let expected = "<a|v><B|v w><c|=v><d|=v><e|v=w><f|v = w><g=|v><=|v><i|\u{a0}v>";
        assert_eq!(pairs(text), expected);
        assert_eq!(pairs("[s]\nhmac:a2V5== = c2VjcmV0=="), "<hmac:a2V5==|c2VjcmV0==>");
    }

    #[test]
    fn comments_begin_lines_and_follow_blanks() {
        for (text, expected) in [
            ("; a = b\n # a = b\n\t;;\n#\n[s] ; [t]\nk = v", "<k|v>"),
            ("[s]\nk = v1;v2; ; c ; d", "<k|v1;v2;>"),
            ("[s]\nk = v\t;c", "<k|v>"),
            ("[s]\nk =;v;", "<k|;v;>"),
            ("[s]\nk = v # w", "<k|v # w>"),
            ("[s]\nk = ;v", ""),
            ("[s]\nk = a,;\n b, ;c\n c", "<k|a,; b, c>"),
        ] {
            assert_eq!(pairs(text), expected, "{text:?}");
        }
    }

    #[test]
    fn indented_lines_continue_a_value_unless_they_are_keys_or_headers() {
        for (text, expected) in [
            ("k = {a, b},\n    {c, d}\n\t{e}\nl=1", "<k|{a, b}, {c, d} {e}><l|1>"),
            ("k =\n  a\n  =b= c", "<k|a =b= c>"),
            ("k = a\n  x=b", "<k|a x=b>"),
            ("k = a\n  x = b", "<k|a><x|b>"),
            ("k = a\n  x\t=\tb", "<k|a><x|b>"),
            ("k = a\nl = a\n  k =", "<l|a>"),
            ("  k=a\n  x=b\n   c", "<k|a><x|b c>"),
            ("k = a\n\n  x=b", "<k|a><x|b>"),
            ("k = a\n  ;\n  x=b", "<k|a><x|b>"),
            ("k = a\n  [t]\n  k=b", "<k|a>"),
        ] {
            assert_eq!(pairs(&format!("[s]\n{text}")), expected, "{text:?}");
        }
    }

    #[test]
    fn line_ends_and_byte_order_mark() {
        assert_eq!(pairs("\u{feff}[s]\r\na = 1\r\n  2\r\n\r\n  b=3"), "<a|1 2><b|3>");
        assert!(layers(&[b"[s]\r\n\r\n[]\r\n"]).1[0].starts_with("0.ini:3: "));
    }

    #[test]
    fn later_wins_and_empty_unsets() {
        let one = b"[s]\na = 1\nb = 1\na = 2\nc = 1\n[t]\na = 3";
        let two = b"[t]\nz = 0\n[s]\nd = 4\nc =\n\nb = 5";
        let (ini, faults) = layers(&[one, two]);
        assert_eq!((show(&ini).as_str(), faults), ("<a|2><b|5><d|4>", vec![]));
        assert!([("s", "c"), ("s", "A"), ("S", "a")].iter().all(|(s, k)| ini.get(s, k).is_none()));
        let places = [("s", "a"), ("s", "b"), ("t", "a")]
            .map(|(s, k)| ini.get(s, k).unwrap().place.to_string());
        assert_eq!(places, ["0.ini:4", "1.ini:7", "0.ini:7"]);
        assert_eq!(show(&layers(&[one, two, b"[s]\nc = 6"]).0), "<a|2><b|5><c|6><d|4>");
    }

    #[test]
    fn every_fault_is_reported_without_quoting_its_line() {
        let text = b"pw=1\n pw2\npw\n[s]\npw\n= pw\n[pw\nk=pw\nx = \xff\n[]\n[pw] x\n[s]\na = 1\n\
            k = \xffpw\n y";
        let (ini, faults) = layers(&[text]);
        let expected = "0.ini:1: a line before any `[section]`
0.ini:3: a line before any `[section]`
0.ini:3: a line without `=` that continues no value
0.ini:5: a line without `=` that continues no value
0.ini:6: a value without a key before its `=`
0.ini:7: a section header without its closing `]`
0.ini:9: not UTF-8
0.ini:10: a section header without a name
0.ini:11: a section header with text after its closing `]`
0.ini:14: not UTF-8";
        assert_eq!(faults.join("\n"), expected);
        assert_eq!(show(&ini), "<a|1><k|\u{fffd}pw y>");
    }

    #[test]
    fn debug_prints_no_values() {
        let (ini, _) = layers(&[b"[admins]\nalice = pa55word"]);
        let shown = format!("{ini:?} {:?}", ini.get("admins", "alice"));
        assert!(shown.contains("alice") && shown.contains("0.ini"), "{shown}");
        assert!(!shown.contains("pa55word"), "{shown}");
    }

    #[test]
    fn directories_are_read_in_order_and_missing_files_named() {
        let root = std::env::temp_dir().join(format!("couchgate-ini-{}", std::process::id()));
        let dir = root.join("local.d");
        fs::create_dir_all(&dir).unwrap();
        for name in ["b.ini", "B.ini", "z.ini.bak", "zini"] {
            fs::write(dir.join(name), format!("[s]\nk={name}\n{name}=1")).unwrap();
        }
        fs::create_dir(dir.join("x.ini")).unwrap();
        fs::write(root.join("last.ini"), "[s]\nl=1\noops").unwrap();
        let mut faults = Vec::new();
        let paths = [dir.clone(), root.join("none.ini"), root.join("last.ini")];
        let ini = Ini::load(&paths, &mut faults);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(show(&ini), "<k|b.ini><B.ini|1><b.ini|1><l|1>");
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 3, "{faults:?}");
        let directory = format!("cannot read {}: ", dir.join("x.ini").display());
        assert!(faults[0].starts_with(&directory), "{faults:?}");
        assert!(faults[1].contains("none.ini: No such file"), "{faults:?}");
        assert!(faults[2].contains("last.ini:3: "), "{faults:?}");
    }
}
