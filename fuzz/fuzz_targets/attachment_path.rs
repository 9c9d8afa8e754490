//! Whatever stands in a path: a download asks for nothing but an attachment, in one form.

#![no_main]

use couchgate::{auth::download_token::AttachmentPath, target::Target};
use http::uri::PathAndQuery;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(sent) = PathAndQuery::try_from(text) else { return };
    let Some(names) = AttachmentPath::of(&Target::new(sent)) else { return };
    let path = names.path();

    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escapes = path.split('%').skip(1);
    for escape in escapes {
        let digits = escape.get(..2).unwrap_or_default().bytes();
        assert_eq!(digits.filter(u8::is_ascii_hexdigit).count(), 2, "{path}");
    }
    assert!(path.bytes().all(|byte| unreserved(byte) || b"/%".contains(&byte)), "{path}");
    let segments: Vec<&str> = path.split('/').collect();
    assert_eq!((segments.len(), segments[0]), (4, ""), "{path}");
    for segment in &segments[1..] {
        assert!(!segment.is_empty() && !segment.starts_with('_'), "{path}");
        assert!(!matches!(*segment, "." | ".."), "{path}");
    }
    for name in [names.db(), names.doc(), names.attachment()] {
        assert!(!name.starts_with('_') && !name.contains(char::is_control), "{path}");
        assert!(!name.split('/').any(|part| matches!(part, "." | "..")), "{path}");
    }

    // It is read back as what it was written from.
    let again = AttachmentPath::of(&Target::new(path.parse().unwrap()));
    assert_eq!(again.as_ref(), Some(&names));
    assert_eq!(again.unwrap().path(), path);
});
