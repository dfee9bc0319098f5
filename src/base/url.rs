//! URLs of HTTP, as the URL standard reads them. The runtime has a parser for that, so the Worker asks it rather than bringing one along;
//! natively a crate has it.
//!
//! **Invariant:** both give the same URL. A host that is not ASCII neither of them is asked for: there the crate reads less than the runtime.

use super::unicode::is_number;

/// An absolute URL that begins with `http://` or `https://`, as the standard writes it.
#[derive(Debug)]
pub struct Url {
    text: String,
    /// Where its path begins.
    path: usize,
}

/// Why a text is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoUrl {
    /// Its host has letters that are to be written in another way.
    NotAscii,
    /// It is none, or of something else than HTTP.
    Other,
}

impl Url {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, NoUrl> {
        // A scheme of the web may have any number of slashes behind it, of either kind.
        let is_slash = |c: char| matches!(c, '/' | '\\');
        let behind = text.split_once(':').map_or(text, |(_, rest)| rest.trim_start_matches(is_slash));
        let authority = behind.split(|c| is_slash(c) || matches!(c, '?' | '#')).next().unwrap_or_default();
        if !authority.is_ascii() {
            return Err(NoUrl::NotAscii);
        }
        let text = host::written(text).ok_or(NoUrl::Other)?;
        let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme)).ok_or(NoUrl::Other)?;
        // The standard gives each of them a path.
        let path = text.get(scheme.len()..).and_then(|rest| rest.find('/')).ok_or(NoUrl::Other)? + scheme.len();
        Ok(Self { text, path })
    }

    /// The whole of it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        self.text.split(':').next().unwrap_or_default()
    }

    /// All between the scheme and the path.
    fn authority(&self) -> &str {
        self.text.get(..self.path).and_then(|begin| begin.split_once("://")).map_or("", |(_, authority)| authority)
    }

    /// The host, with its port where that is not the scheme's own.
    pub fn host_and_port(&self) -> &str {
        self.authority().rsplit('@').next().unwrap_or_default()
    }

    /// The host: a name, or an address.
    pub fn host(&self) -> &str {
        let host = self.host_and_port();
        match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => host,
        }
    }

    /// Whether the host is this very machine.
    pub fn is_loopback(&self) -> bool {
        matches!(self.host(), "localhost" | "127.0.0.1" | "[::1]")
    }

    /// Whether the host is an address rather than a name.
    pub fn is_address(&self) -> bool {
        self.host().ends_with(']') || is_number(self.host())
    }

    /// The scheme, the host and the port.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.host_and_port())
    }

    /// The path, from its slash on.
    pub fn path(&self) -> &str {
        self.text.get(self.path..).and_then(|rest| rest.split(['?', '#']).next()).unwrap_or_default()
    }

    /// What stands behind the question mark, where one is.
    pub fn query(&self) -> Option<&str> {
        Some(self.text.split('#').next()?.split_once('?')?.1)
    }

    /// Whether there is a fragment in it, or a name or password before the host.
    pub fn has_fragment_or_credentials(&self) -> bool {
        self.text.contains('#') || self.authority().contains('@')
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    pub(super) fn written(text: &str) -> Option<String> {
        web_sys::Url::new(text).ok().map(|url| url.href())
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(super) fn written(text: &str) -> Option<String> {
        url::Url::parse(text).ok().map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::{NoUrl, Url};

    #[test]
    fn the_parts_are_what_the_crate_says_they_are() {
        for text in [
            "https://acme.example",
            "https://acme.example/",
            "HTTPS://Acme.Example:443/a/../b?c=d&e=%2F#f",
            "http://127.0.0.1:8787/x?",
            "http://[::1]:80/",
            "http://[::1]:8080",
            "https://user:pass@acme.example:8443/p@q:r?s@t",
            "https://user@acme.example",
            "http://0x7f.1/",
            "https://acme.example./a b?c d",
            "https://acme.example/#",
            " https://acme.example\\x\n",
            "https://acme.example/é?filter=userName eq \"Jürgen\"#ü",
            "https:acme.example/é",
        ] {
            let (ours, theirs) = (Url::parse(text).unwrap(), url::Url::parse(text).unwrap());
            assert_eq!(ours.as_str(), theirs.as_str());
            assert_eq!((ours.scheme(), Some(ours.host())), (theirs.scheme(), theirs.host_str()), "{text}");
            assert_eq!((ours.path(), ours.query()), (theirs.path(), theirs.query()), "{text}");
            assert_eq!(ours.origin(), theirs.origin().ascii_serialization(), "{text}");
            assert_eq!(ours.is_address(), theirs.domain().is_none(), "{text}");
            let with_more = theirs.fragment().is_some() || !theirs.username().is_empty() || theirs.password().is_some();
            assert_eq!(ours.has_fragment_or_credentials(), with_more, "{text}");
        }
    }

    #[test]
    fn what_is_no_url_of_http_is_none() {
        for text in
            ["", "acme.example", "//acme.example", "ftp://acme.example/", "mailto:a@b.c", "https://", "http://a b/"]
        {
            assert_eq!(Url::parse(text).err(), Some(NoUrl::Other), "{text}");
        }
        for text in [
            "https://bücher.example",
            "https://bücher.example/x",
            "https:bücher.example",
            "https:\\\\bücher.example",
            "bücher.example",
        ] {
            assert_eq!(Url::parse(text).err(), Some(NoUrl::NotAscii), "{text}");
        }
    }
}
