//! The names of an attachment.

use http::uri::{InvalidUri, PathAndQuery};
use percent_encoding::utf8_percent_encode;

use crate::{
    couch::is_database_name,
    target::{RESERVED, Target},
};

/// A database, a document and an attachment, by names that can mean nothing else in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentPath {
    db: String,
    doc: String,
    attachment: String,
}

impl AttachmentPath {
    /// `None` for names of the system's, and for those that a server between couchgate and CouchDB
    /// could read as another path.
    #[must_use]
    pub fn new(db: &str, doc: &str, attachment: &str) -> Option<Self> {
        let is_path = is_database_name(db)
            && is_plain(doc)
            && is_plain(attachment)
            && ![db, doc].iter().any(|name| name.contains("/_"));
        is_path.then(|| Self {
            db: db.to_owned(),
            doc: doc.to_owned(),
            attachment: attachment.to_owned(),
        })
    }

    /// The attachment that CouchDB would read a target as; an attachment's name may have slashes
    /// (CouchDB 3.5, `chttpd_db:db_attachment_req`).
    #[must_use]
    pub fn of(target: &Target) -> Option<Self> {
        let segments = target.segments().map(|segment| String::from_utf8(segment.into_owned()));
        let segments: Vec<String> = segments.collect::<Result<_, _>>().ok()?;
        match &*segments {
            [db, doc, attachment @ ..] => Self::new(db, doc, &attachment.join("/")),
            _ => None,
        }
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> &str {
        &self.db
    }

    /// The document's id.
    #[must_use]
    pub fn doc(&self) -> &str {
        &self.doc
    }

    /// The attachment's name.
    #[must_use]
    pub fn attachment(&self) -> &str {
        &self.attachment
    }

    /// The path: three segments, in which everything but unreserved characters is encoded.
    #[must_use]
    pub fn path(&self) -> String {
        let names = [&self.db, &self.doc, &self.attachment];
        let [db, doc, attachment] = names.map(|name| utf8_percent_encode(name, RESERVED));
        format!("/{db}/{doc}/{attachment}")
    }

    /// What to request: the attachment of a revision, or of the current one.
    ///
    /// # Errors
    ///
    /// When it is longer than a target may be.
    pub(super) fn target(&self, rev: Option<&str>) -> Result<PathAndQuery, InvalidUri> {
        let path = self.path();
        match rev {
            Some(rev) => format!("{path}?rev={}", utf8_percent_encode(rev, RESERVED)).try_into(),
            None => path.try_into(),
        }
    }
}

/// Whether a document or an attachment of this name can be opened.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('_')
        && !name.contains(char::is_control)
        && !name.split('/').any(|part| matches!(part, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_attachments_are_read_and_they_are_written_in_one_way() {
        for (path, expected) in [
            ("/db/doc/a.txt", Some("/db/doc/a.txt")),
            ("//db/doc//dir/a.txt/", Some("/db/doc/dir%2Fa.txt")),
            ("/a%2Fb/do%20c/+%2B?x=/y", Some("/a%2Fb/do%20c/%20%2B")),
            ("/db/do%2Fc/a%2f%2fb", Some("/db/do%2Fc/a%2F%2Fb")),
            ("/db/caf%C3%A9/%61%3F", Some("/db/caf%C3%A9/a%3F")),
            ("/db/doc", None),
            ("/db", None),
            ("/", None),
            ("/_users/doc/a", None),
            ("/%5Fusers/doc/a", None),
            ("/Db/doc/a", None),
            ("/db/_design/d/a", None),
            ("/db/%5Flocal%2Fd/a", None),
            ("/db/doc/_a", None),
            ("/db/doc/css/_a", Some("/db/doc/css%2F_a")),
            ("/a%2F_design%2Fd/_show/a", None),
            ("/a%2F_design/d/a", None),
            ("/db/d%2F_show/a", None),
            ("/db/doc/..", None),
            ("/db/%2e%2e/_all_dbs", None),
            ("/db/doc/a%2F..%2F..%2Fdoc2", None),
            ("/db/./a", None),
            ("/db/doc/%FF", None),
            ("/db/doc/a%00", None),
            ("/db/d%0Ac/a", None),
        ] {
            let target = Target::new(path.parse().unwrap());
            let written = AttachmentPath::of(&target).map(|path| path.path());
            assert_eq!(written.as_deref(), expected, "{path}");
        }
    }
}
