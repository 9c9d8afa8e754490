//! Reading one file, line by line.

use std::path::Path;

use super::{Entry, Fault, Ini, Place};

/// Lays a file's text over what is there.
pub(super) fn read(ini: &mut Ini, file: &Path, text: &[u8], faults: &mut Vec<Fault>) {
    walk(ini, file, text, faults, |_| {});
}

/// The lines of a text, whatever is wrong with them.
pub(super) fn lines(text: &[u8]) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    walk(&mut Ini::default(), Path::new(""), text, &mut Vec::new(), |line| lines.push(line));
    lines
}

/// A line as it is read.
pub(super) struct Line<'a> {
    /// With its end.
    pub(super) bytes: &'a [u8],
    /// The section to which it belongs; none before the first and under a faulty header.
    pub(super) section: Option<String>,
    pub(super) kind: Kind,
}

/// What a line is.
#[derive(PartialEq, Eq)]
pub(super) enum Kind {
    Header,
    /// Begins a key's value.
    Key(String),
    /// Goes on with the value above.
    Continuation,
    /// Empty, or a comment.
    Nothing,
    /// Neither a key nor a header.
    Fault,
}

fn walk<'a>(
    ini: &mut Ini,
    file: &Path,
    text: &'a [u8],
    faults: &mut Vec<Fault>,
    mut seen: impl FnMut(Line<'a>),
) {
    let mut layer = Layer { ini, file, faults, scope: Scope::Start, open: None };
    // The end of a line, and the CR of CRLF, are trimmed with the blanks.
    for (index, bytes) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let text = if index == 0 { bytes.strip_prefix(b"\xef\xbb\xbf") } else { None };
        let kind = layer.line(index + 1, text.unwrap_or(bytes));
        let section = match &layer.scope {
            Scope::Section(name) => Some(name.clone()),
            Scope::Start | Scope::Lost => None,
        };
        seen(Line { bytes, section, kind });
    }
    layer.close();
}

/// One file being read.
struct Layer<'a> {
    ini: &'a mut Ini,
    file: &'a Path,
    faults: &'a mut Vec<Fault>,
    scope: Scope,
    /// The key whose value the next line may continue.
    open: Option<OpenKey>,
}

enum Scope {
    /// No section header yet.
    Start,
    /// Under a faulty section header.
    Lost,
    Section(String),
}

struct OpenKey {
    line: usize,
    indent: usize,
    key: String,
    value: String,
}

const BLANKS: [char; 2] = [' ', '\t'];

impl Layer<'_> {
    fn line(&mut self, number: usize, bytes: &[u8]) -> Kind {
        if str::from_utf8(bytes).is_err() {
            self.fault(number, "not UTF-8");
        }
        // Read it all the same: the section or value it begins gives meaning to the next lines.
        let line = String::from_utf8_lossy(bytes);
        let indent = line.len() - line.trim_start_matches(BLANKS).len();
        let text = without_comment(&line);
        if let Some(key) = self.open.as_mut().filter(|key| key.is_continued_by(indent, text)) {
            key.continue_with(text);
            return Kind::Continuation;
        }
        self.close();
        if let Some(header) = text.strip_prefix('[') {
            self.header(number, header);
            return Kind::Header;
        }
        if text.is_empty() {
            return Kind::Nothing;
        }
        self.key(number, indent, text);
        self.open.as_ref().map_or(Kind::Fault, |open| Kind::Key(open.key.clone()))
    }

    fn header(&mut self, line: usize, rest: &str) {
        self.scope = Scope::Lost;
        match rest.split_once(']').map(|(name, tail)| (name.trim_ascii(), tail)) {
            None => self.fault(line, "a section header without its closing `]`"),
            Some(("", _)) => self.fault(line, "a section header without a name"),
            Some((name, "")) => self.scope = Scope::Section(name.to_owned()),
            Some(_) => self.fault(line, "a section header with text after its closing `]`"),
        }
    }

    fn key(&mut self, line: usize, indent: usize, text: &str) {
        if matches!(self.scope, Scope::Start) {
            self.fault(line, "a line before any `[section]`");
        }
        // `text` is trimmed, as CouchDB's: after ` = ` there is always a value.
        match text.split_once(" = ").or_else(|| text.split_once('=')) {
            None => self.fault(line, "a line without `=` that continues no value"),
            Some(("", _)) => self.fault(line, "a value without a key before its `=`"),
            Some((key, value)) => {
                let (key, value) = (key.trim_ascii().to_owned(), value.trim_ascii().to_owned());
                self.open = Some(OpenKey { line, indent, key, value });
            }
        }
    }

    /// Files the open key, now that its value is complete.
    fn close(&mut self) {
        let Some(OpenKey { line, key, value, .. }) = self.open.take() else { return };
        let Scope::Section(section) = &self.scope else { return };
        let place = Place { file: self.file.to_owned(), line };
        let entry = (!value.is_empty()).then_some(Entry { value, place });
        self.ini.sections.entry(section.clone()).or_default().set(key, entry);
    }

    fn fault(&mut self, line: usize, message: &str) {
        let place = Some(Place { file: self.file.to_owned(), line });
        self.faults.push(Fault { place, message: message.to_owned() });
    }
}

impl OpenKey {
    /// What is indented no deeper is this key's sibling: `a=1` below an equally indented `b=2`.
    fn is_continued_by(&self, indent: usize, text: &str) -> bool {
        let own = text.is_empty() || text.starts_with('[') || has_free_equal_sign(text);
        indent > self.indent && !own
    }

    fn continue_with(&mut self, text: &str) {
        if !self.value.is_empty() {
            self.value.push(' ');
        }
        self.value.push_str(text);
    }
}

fn has_free_equal_sign(text: &str) -> bool {
    text.match_indices('=').any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + 1..]);
        before.ends_with(BLANKS) && (after.is_empty() || after.starts_with(BLANKS))
    })
}

/// The trimmed line up to its comment; empty if it is all comment.
fn without_comment(line: &str) -> &str {
    // ASCII only: CouchDB reads bytes, and does not take a no-break space for a blank.
    let line = line.trim_ascii();
    if line.starts_with([';', '#']) {
        return "";
    }
    let end = line.match_indices(';').map(|(at, _)| at).find(|&at| line[..at].ends_with(BLANKS));
    line[..end.unwrap_or(line.len())].trim_ascii_end()
}
