//! Why a store did not take the file.

/// Why a store did not take the file, by what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StoreError {
    /// It may well work later.
    #[error("{0}")]
    Busy(String),
    /// It will not, until somebody does what the sentence says.
    #[error("{0}")]
    Refused(String),
    /// The upload in parts is unknown: it was completed, aborted or cleared away.
    #[error("the store does not know the upload in parts any more")]
    UnknownUpload,
}

/// How much of a store's own words is quoted, in characters.
const MAX_QUOTE: usize = 200;

/// A store's own words: one line, not too long.
pub(super) fn quote(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(MAX_QUOTE).collect()
}

/// The text of the first element with a name, in a document as flat as an error's: S3 and Azure write nothing but text into these.
/// What is nested, has attributes or is no XML at all is not found.
pub(super) fn element(xml: &[u8], name: &str) -> Option<String> {
    let xml = std::str::from_utf8(xml).ok()?;
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let plain = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&apos;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::{element, quote};

    #[test]
    fn elements_are_found_by_name_and_unescaped() {
        let xml = b"<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>a &amp;lt; &quot;b&quot;</Message></Error>";
        assert_eq!(element(xml, "Code").as_deref(), Some("NoSuchBucket"));
        assert_eq!(element(xml, "Message").as_deref(), Some("a &lt; \"b\""));
        for missing in [&b""[..], b"<Code>", b"</Code><Code>", b"\xff<Code>x</Code>"] {
            assert_eq!(element(missing, "Code"), None);
        }
    }

    #[test]
    fn quotes_are_one_short_line() {
        assert_eq!(quote("first\u{7}\r\nsecond"), "first");
        assert_eq!(quote(&"x".repeat(1000)).len(), 200);
    }
}
