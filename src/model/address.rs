//! E-mail addresses. One mailbox is written in many ways: `JÖRG@müller.example`, the same in lower case, with its domain in punycode, with an
//! `o` and a separate diaeresis, with a blank behind it. Whoever compares addresses does it here.

use crate::base::unicode;

/// Cloudflare takes addresses of this many characters at most (`reference/cloudflare.md` 2.3).
const MAX_CHARS: usize = 90;

/// An address as it is compared and looked up: case folded, composed (NFC), the domain as IDNA has it in ASCII. Two addresses with one
/// such form are one mailbox.
pub fn folded(address: &str) -> String {
    let address = address.trim();
    let Some((local, domain)) = address.rsplit_once('@') else { return folded_text(address) };
    format!("{}@{}", folded_text(local), folded_domain(domain))
}

/// Whether two addresses are one mailbox.
pub fn same(left: &str, right: &str) -> bool {
    folded(left) == folded(right)
}

/// A domain as IDNA has it in ASCII; one that IDNA does not take is folded as any text.
pub fn folded_domain(domain: &str) -> String {
    let domain = domain.trim();
    unicode::domain(domain).unwrap_or_else(|| folded_text(domain))
}

/// Whether a text may be an address. Cloudflare has the last word; this keeps out what cannot be one.
pub fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let plain = |c: char| !c.is_whitespace() && !c.is_control();
    !local.is_empty()
        && !domain.is_empty()
        && !domain.contains('@')
        && text.chars().all(plain)
        && text.chars().count() <= MAX_CHARS
}

fn folded_text(text: &str) -> String {
    // Those of all members are folded, and nearly all of them are ASCII.
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    unicode::composed(&unicode::lower(&unicode::composed(text)))
}

/// Reads a list of addresses as people paste them: with commas, semicolons, blanks or line ends between them, in quotes, in `<>`, with a
/// name before (`Jane Doe <jane@example.com>`). Gives their folded forms; `Err` is the first text that is no address.
pub fn read_list(text: &str) -> Result<Vec<String>, String> {
    let mut addresses: Vec<String> = Vec::new();
    for part in parts(text) {
        let mut name = None;
        for word in words(&part) {
            let bare = word.trim_matches(|c| "\"'“”‘’<>".contains(c)).trim();
            if bare.contains('@') {
                if !is_listed(bare) || (name.is_some() && !word.starts_with('<')) {
                    return Err(name.unwrap_or_else(|| bare.to_owned()));
                }
                name = None;
                let folded = folded(bare);
                if !addresses.contains(&folded) {
                    addresses.push(folded);
                }
            } else if word.starts_with('<') {
                return Err(word);
            } else if name.is_none() {
                name = Some(bare.to_owned());
            }
        }
        // A name without an address behind it protects nobody.
        if let Some(name) = name {
            return Err(name);
        }
    }
    Ok(addresses)
}

/// What is meant to be an address, and would match one: a domain with a dot in it, and none of the characters that only stand around one.
fn is_listed(text: &str) -> bool {
    let domain = text.rsplit_once('@').map(|(_, domain)| domain.trim_matches('.')).unwrap_or_default();
    is_address(text)
        && domain.contains('.')
        && !text.contains(|c: char| "<>()[]\\,;:\"|".contains(c) || is_invisible(c))
}

/// Whether a character cannot be seen, and may come along when a text is copied from a page or a mail: an address with one is nobody's.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// The parts between commas, semicolons and line ends, but for those within quotes.
fn parts(text: &str) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for c in text.chars() {
        quoted ^= c == '"';
        match parts.last_mut() {
            Some(part) if quoted || !matches!(c, ',' | ';' | '\n' | '\r') => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// The words of a part: what is in quotes is one, and so is what is in `<>`.
fn words(part: &str) -> Vec<String> {
    let (mut words, mut quoted, mut angled) = (vec![String::new()], false, false);
    for c in part.chars() {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => {
                angled = true;
                words.push(String::new());
            }
            _ => {}
        }
        match words.last_mut() {
            Some(word) if quoted || angled || !c.is_whitespace() => word.push(c),
            _ => words.push(String::new()),
        }
        if c == '>' && angled {
            angled = false;
            words.push(String::new());
        }
    }
    words.retain(|word| !word.trim().is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::{folded, is_address, read_list, same};

    #[test]
    fn one_mailbox_is_one_however_it_is_written() {
        let jorg = "jörg@xn--mller-kva.example";
        for written in [
            "JÖRG@müller.example",
            "jörg@müller.example",
            "jörg@XN--MLLER-KVA.example",
            "jo\u{308}rg@mu\u{308}ller.example",
            "JO\u{308}RG@MÜLLER.EXAMPLE",
            " jörg@müller.example ",
            "jörg@müller。example",
        ] {
            assert_eq!(folded(written), jorg, "{written}");
        }
        assert!(same("ΟΔΥΣΣΕΥΣ@example.gr", "οδυσσευς@example.gr"));
        assert_eq!(folded("Jane@Example.COM"), "jane@example.com");
        assert_eq!(folded("JANE"), "jane");
    }

    #[test]
    fn other_mailboxes_stay_others() {
        for (left, right) in [
            ("jorg@example.com", "jörg@example.com"),
            ("strasse@example.com", "straße@example.com"),
            ("jane@example.com", "jane+x@example.com"),
            ("jane@example.com", "ja\u{ad}ne@example.com"),
            ("jane@example.com", "jаne@example.com"),
        ] {
            assert!(!same(left, right), "{left} {right}");
        }
    }

    #[test]
    fn an_address_has_ninety_characters_not_bytes() {
        let long = |c: char, n: usize| format!("{}@example.com", c.to_string().repeat(n - "@example.com".len()));
        assert!(is_address(&long('ö', 90)) && !is_address(&long('ö', 91)) && !is_address(&long('o', 91)));
        for no in ["jane", "@example.com", "jane@", "ja ne@example.com", "jane@a@b.example", "jane@example.com\n"] {
            assert!(!is_address(no), "{no}");
        }
    }

    #[test]
    fn a_list_is_read_as_people_paste_it() {
        let two = Ok(vec!["jane@example.com".to_owned(), "joe@example.com".to_owned()]);
        for text in [
            "jane@example.com,joe@example.com",
            "jane@example.com; joe@example.com;",
            "jane@example.com joe@example.com",
            "JANE@example.com\r\n\tjoe@example.com\n",
            "<jane@example.com>, <joe@example.com>",
            "Jane Doe <jane@example.com>, Joe <joe@example.com>",
            "Jane Doe <jane@example.com> Joe<joe@example.com>",
            "\"Doe, Jane\" <jane@example.com>; \"joe@example.com\"",
            "'jane@example.com' “joe@example.com”",
            "jane@example.com,,joe@example.com,jane@example.com",
        ] {
            assert_eq!(read_list(text), two, "{text}");
        }
        assert_eq!(read_list(" ,; \n"), Ok(Vec::new()));
        assert_eq!(read_list("JÖRG@müller.example"), Ok(vec!["jörg@xn--mller-kva.example".to_owned()]));
    }

    #[test]
    fn what_would_protect_nobody_is_named() {
        for (text, named) in [
            ("jane", "jane"),
            ("jane@example.com, joe", "joe"),
            ("jane@example.com, joe@localhost", "joe@localhost"),
            ("jane@example.com|joe@example.com", "jane@example.com|joe@example.com"),
            ("mailto:jane@example.com", "mailto:jane@example.com"),
            ("Jane jane@example.com", "Jane"),
            ("Jane <jane>", "<jane>"),
            ("*@example.com@", "*@example.com@"),
            ("@example.com", "@example.com"),
            ("\u{feff}jane@example.com", "\u{feff}jane@example.com"),
            ("jane@example.com\u{200b}", "jane@example.com\u{200b}"),
            ("joe@example.com, ja\u{ad}ne@example.com", "ja\u{ad}ne@example.com"),
            ("\u{202a}jane@example.com\u{202c}", "\u{202a}jane@example.com\u{202c}"),
        ] {
            assert_eq!(read_list(text), Err(named.to_owned()), "{text}");
        }
    }
}
