//! Reading typed values out of the ini, collecting every fault.

use std::{fmt::Display, path::Path, str::FromStr, time::Duration};

use super::ini::{Entry, Fault, Ini, Place};
use crate::secret::Secret;

/// Where a setting may stand: the section's name of today, and those CouchDB gave it before.
pub(super) type Sections = &'static [&'static str];

/// The values of an ini and the faults found in reading them.
pub(super) struct Fields<'a> {
    pub(super) ini: &'a Ini,
    pub(super) faults: &'a mut Vec<Fault>,
}

impl<'a> Fields<'a> {
    /// A key's entry in the first of `sections` that has it.
    pub(super) fn entry(&self, sections: Sections, key: &str) -> Option<&'a Entry> {
        sections.iter().find_map(|section| self.ini.get(section, key))
    }

    pub(super) fn text(&self, sections: Sections, key: &str) -> Option<&'a str> {
        self.entry(sections, key).map(|entry| entry.value.as_str())
    }

    pub(super) fn path(&self, sections: Sections, key: &str) -> Option<&'a Path> {
        self.text(sections, key).map(Path::new)
    }

    /// A value of a type that parses, or the default and perhaps a fault.
    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        sections: Sections,
        key: &str,
        default: T,
    ) -> T {
        let Some(entry) = self.entry(sections, key) else { return default };
        entry.value.parse().unwrap_or_else(|error| {
            self.fault_at(entry, &format!("{key}: {error}"));
            default
        })
    }

    /// CouchDB's booleans: `true` and `false`.
    pub(super) fn boolean(&mut self, sections: Sections, key: &str, default: bool) -> bool {
        let Some(entry) = self.entry(sections, key) else { return default };
        match entry.value.to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => {
                self.fault_at(entry, &format!("{key}: expected true or false"));
                default
            }
        }
    }

    /// A whole number from `range`.
    pub(super) fn number(
        &mut self,
        sections: Sections,
        key: &str,
        default: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> u32 {
        let Some(entry) = self.entry(sections, key) else { return default };
        match entry.value.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (low, high) = (range.start(), range.end());
                let wanted = format!("{key}: expected a whole number from {low} to {high}");
                self.fault_at(entry, &wanted);
                default
            }
        }
    }

    /// A whole number of seconds, at least one.
    pub(super) fn seconds(&mut self, sections: Sections, key: &str, default: u32) -> Duration {
        Duration::from_secs(self.number(sections, key, default, 1..=u32::MAX).into())
    }

    /// The items of a comma-separated list, each parsed; the default where the key is not set.
    pub(super) fn list<T: FromStr<Err: Display>>(
        &mut self,
        sections: Sections,
        key: &str,
        default: &str,
    ) -> Vec<T> {
        let entry = self.entry(sections, key);
        let text = entry.map_or(default, |entry| entry.value.as_str());
        let mut items = Vec::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item.parse() {
                Ok(item) => items.push(item),
                Err(error) => {
                    let message = format!("{key}: {}: {error}", quoted(item));
                    self.faults.push(Fault { place: entry.map(place), message });
                }
            }
        }
        items
    }

    /// Secrets from `key`, a comma-separated list, or from the file `key_file`, one in a line.
    pub(super) fn secrets(&mut self, sections: Sections, key: &str) -> Vec<Secret> {
        let file_key = format!("{key}_file");
        if let Some(entry) = self.entry(sections, &file_key) {
            return match read_secrets(Path::new(&entry.value)) {
                Ok(secrets) => secrets,
                Err(message) => {
                    self.fault_at(entry, &format!("{file_key}: {message}"));
                    Vec::new()
                }
            };
        }
        let text = self.text(sections, key).unwrap_or_default();
        text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(Secret::from).collect()
    }

    /// Refuses keys of couchgate's own sections that it does not know: they are misspelt. A
    /// secret that ends with `=`, in a line that was to continue another, is read as a key too.
    pub(super) fn known_keys(&mut self, section: &str, known: &[&str]) {
        let of_key = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        for (key, entry) in self.ini.section(section) {
            if known.contains(&key) {
                continue;
            }
            if key.bytes().all(of_key) {
                self.fault_at(entry, &format!("[{section}] has no key {key:?}"));
            } else {
                self.fault_at(entry, &format!("[{section}] has no such key"));
            }
        }
    }

    pub(super) fn fault_at(&mut self, entry: &Entry, message: &str) {
        self.faults.push(Fault { place: Some(place(entry)), message: message.to_owned() });
    }

    pub(super) fn fault(&mut self, message: impl Into<String>) {
        self.faults.push(Fault { place: None, message: message.into() });
    }
}

/// An item as a fault may show it: before the `@` of a URL there may be a password.
pub(super) fn quoted(item: &str) -> String {
    match item.rsplit_once('@') {
        Some((_, host)) => format!("{:?}", format!("...@{host}")),
        None => format!("{item:?}"),
    }
}

fn place(entry: &Entry) -> Place {
    entry.place.clone()
}

pub(super) fn read_secrets(path: &Path) -> Result<Vec<Secret>, String> {
    let text = std::fs::read_to_string(path).map(zeroize::Zeroizing::new);
    let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let secrets: Vec<Secret> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Secret::from).collect();
    if secrets.is_empty() {
        return Err(format!("there is no secret in {}", path.display()));
    }
    Ok(secrets)
}
