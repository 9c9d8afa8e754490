//! Which databases a setting speaks of.

use std::collections::BTreeSet;

/// Databases by name, or all. System databases, whose names begin with `_`, are never among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Databases {
    /// All but these, besides those of the system.
    AllBut(BTreeSet<String>),
    /// These.
    Only(BTreeSet<String>),
}

impl Databases {
    /// Whether the database is one of them.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        is_database_name(name)
            && match self {
                Self::AllBut(names) => !names.contains(name),
                Self::Only(names) => names.contains(name),
            }
    }
}

/// Whether a database that is not the system's may have this name (CouchDB 3.5, `couch_db:validate_dbname`).
#[must_use]
pub fn is_database_name(name: &str) -> bool {
    let of_name =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_$()+-/".contains(&byte);
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(of_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_databases_and_what_is_no_name_are_in_no_list() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let all = Databases::AllBut(names(&["people"]));
        let only = Databases::Only(names(&["a/b+c", "_users", "A"]));
        for (name, in_all, in_only) in [
            ("a/b+c", true, true),
            ("a", true, false),
            ("people", false, false),
            ("_users", false, false),
            ("A", false, false),
            ("a.b", false, false),
            ("a\n", false, false),
            ("", false, false),
        ] {
            assert_eq!(all.contains(name), in_all, "{name:?}");
            assert_eq!(only.contains(name), in_only, "{name:?}");
        }
    }
}
