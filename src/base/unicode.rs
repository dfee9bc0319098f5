//! What needs the tables of Unicode: composed text, lower case, and domains in ASCII. The runtime has those tables, so the Worker asks it rather than
//! bringing them along; natively two crates have them.
//!
//! **Invariant:** where both ways give a domain it is the same one. Neither is asked for what is ASCII already, or for what a URL would read
//! as anything else than a domain. The runtime takes some that the crates refuse: letters of Unicode's latest versions, labels that
//! mix directions of writing, and a non-joiner between letters of a cursive script.

/// A text composed (NFC): an `o` and a separate diaeresis are one `ö`.
pub fn composed(text: &str) -> String {
    if text.is_ascii() { text.to_owned() } else { host::normalized(text, Form::Composed) }
}

/// A text in lower case, letter by letter: a sigma at a word's end is the same letter as any other.
pub fn lower(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { host::lower(text).replace('ς', "σ") }
}

/// Unicode's ways to write the same text.
#[derive(Clone, Copy)]
enum Form {
    /// NFC.
    Composed,
    /// NFKC: a letter of another width is a letter.
    Compatible,
}

/// A domain as URLs have it (UTS 46, not transitional): lower case, and in punycode where it is not ASCII. None where it cannot be one:
/// with characters that no domain has, or where a URL would take it for an IPv4 address.
pub fn domain(text: &str) -> Option<String> {
    let is_plain = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if text.is_empty() || !text.chars().all(is_plain) {
        return None;
    }
    if text.is_ascii() {
        return Some(text.to_ascii_lowercase());
    }
    // Punycode is ASCII: a label that begins as punycode does and is not ASCII may be read in two ways.
    let is_punycode = |label: &str| label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"));
    let is_half_encoded = |label: &str| {
        if label.is_ascii() {
            label.eq_ignore_ascii_case("xn--")
        } else {
            is_punycode(&host::normalized(label, Form::Compatible))
        }
    };
    if text.split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']).any(is_half_encoded) {
        return None;
    }
    // What was a letter of another width may have become a slash or a number.
    let is_domain =
        |name: &String| !name.is_empty() && name.is_ascii() && name.chars().all(is_plain) && !is_number(name);
    host::domain(text).filter(is_domain)
}

/// Whether a URL takes a host for an IPv4 address: its last label is a number, in decimal or in hexadecimal.
pub(super) fn is_number(name: &str) -> bool {
    let last = name.strip_suffix('.').unwrap_or(name).rsplit('.').next().unwrap_or_default();
    let is_hex = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_hex || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::Form;

    pub(super) fn normalized(text: &str, form: Form) -> String {
        let form = match form {
            Form::Composed => "NFC",
            Form::Compatible => "NFKC",
        };
        js_sys::JsString::from(text).normalize(form).into()
    }

    pub(super) fn lower(text: &str) -> String {
        js_sys::JsString::from(text).to_lower_case().into()
    }

    pub(super) fn domain(text: &str) -> Option<String> {
        web_sys::Url::new(&format!("http://{text}/")).ok().map(|url| url.hostname())
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    use unicode_normalization::UnicodeNormalization;
    use unicode_normalization::char::canonical_combining_class;

    use super::Form;

    /// The combining class of a virama, behind which joiners may stand (RFC 5892 appendix A).
    const VIRAMA: u8 = 9;

    pub(super) fn normalized(text: &str, form: Form) -> String {
        match form {
            Form::Composed => text.nfc().collect(),
            Form::Compatible => text.nfkc().collect(),
        }
    }

    pub(super) fn lower(text: &str) -> String {
        text.to_lowercase()
    }

    pub(super) fn domain(text: &str) -> Option<String> {
        // This version does not look at joiners.
        let mut before = 0;
        for c in text.nfc() {
            if matches!(c, '\u{200c}' | '\u{200d}') && before != VIRAMA {
                return None;
            }
            before = canonical_combining_class(c);
        }
        idna::domain_to_ascii(text).ok()
    }
}
#[cfg(test)]
mod tests {
    use super::{composed, domain};

    #[test]
    fn a_domain_is_as_urls_have_it() {
        for (text, expected) in [
            ("Example.COM", "example.com"),
            ("MÜLLER.example", "xn--mller-kva.example"),
            ("mu\u{308}ller\u{3002}example", "xn--mller-kva.example"),
            ("faß.example", "xn--fa-hia.example"),
            ("\u{130}stanbul.example", "xn--istanbul-o0e.example"),
            ("\u{2615}.example.", "xn--53h.example."),
            ("\u{ff45}xample.com", "example.com"),
            ("क्\u{200d}ष.example", "xn--11b2ezcw70k.example"),
            ("xn--a", "xn--a"),
            ("1.2", "1.2"),
        ] {
            assert_eq!(domain(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_a_url_would_read_as_something_else_is_no_domain() {
        for text in [
            "",
            "ü.example:80",
            "ü.example/a",
            "ü.example\\a",
            "ü.example?a",
            "ü.example#a",
            "jane@ü.example",
            "ü%41.example",
            "[::1]ü",
            "ü example",
            "ü\t.example",
            "ü\n.example",
            "ü\0",
            "a\u{2100}b",
            "ü\u{ff0f}a",
            "ü\u{ff05}41",
            "\u{ff11}.\u{ff12}",
            "ü.1",
            "ü.0x1f",
            "ü.0x",
            "ü.1.",
            "xn--ü.example",
            "XN--.ü",
            "\u{ff38}\u{ff2e}\u{ff0d}\u{ff0d}.example",
            "\u{ff58}n--mller-kva.example",
            "\u{ad}",
            "\u{200d}ü",
            "\u{fffd}.example",
        ] {
            assert_eq!(domain(text), None, "{text}");
        }
    }

    #[test]
    fn a_letter_and_its_mark_are_composed() {
        assert_eq!(composed("o\u{308}"), "ö");
        assert_eq!(composed("\u{1100}\u{1161}"), "가");
        assert_eq!(composed("plain"), "plain");
    }
}
