//! Reads a source file for the paths in it that lead to other files of the crate.
//!
//! It is no compiler: it knows comments, strings, `use` trees, inline modules and `#[cfg(test)]`. A path through a glob import is not
//! followed to its end, and a path that a macro puts together is not seen.

use std::collections::BTreeMap;

/// A path, as it was written somewhere, from the root of the crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    /// The line it stands on.
    pub(crate) line: usize,
    /// Its segments without `crate`.
    pub(crate) path: Vec<String>,
    /// Whether it is a `pub use`.
    pub(crate) reexported: bool,
}

/// What a file says of others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// The module it is, from the root of the crate.
    pub(crate) module: Vec<String>,
    /// The paths in it.
    pub(crate) mentions: Vec<Mention>,
    /// What its own `use` lines bring into it, by name: whoever asks it for such a name means what stands behind it.
    pub(crate) names: BTreeMap<String, Vec<String>>,
    /// The modules in files of their own that it declares for tests alone.
    pub(crate) for_tests: Vec<Vec<String>>,
}

/// The module that a file under `src/` is.
pub(crate) fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod" || last == "lib") {
        module.pop();
    }
    module
}

/// Whether a file is for tests alone.
pub(crate) fn is_for_tests(file: &str) -> bool {
    file.trim_end_matches(".rs").split('/').any(|part| ["tests", "testing", "fakes"].contains(&part))
}

/// Reads one file.
pub(crate) fn read(file: &str, text: &str) -> Source {
    let all = tokens(text);
    let tokens = without_tests(&all);
    let children = declared(&tokens);
    let module = module_of(file);
    let for_tests = declared(&all)
        .into_iter()
        .filter(|name| !children.contains(name))
        .map(|name| module.iter().cloned().chain([name]).collect())
        .collect();
    let source = Source { module, for_tests, ..Source::default() };
    let mut reader = Reader { tokens, at: 0, children, inline: Vec::new(), depth: 0, source };
    while reader.at < reader.tokens.len() {
        reader.step();
    }
    reader.source
}

/// The names of the modules that have files of their own.
fn declared(tokens: &[Token]) -> Vec<String> {
    let declarations = tokens.windows(3).filter(|three| three[0].is("mod") && three[2].is(";"));
    declarations.map(|three| three[1].text.clone()).collect()
}

/// The words and signs of a file with the lines they stand on, without comments, texts and tests.
pub(crate) fn words(text: &str) -> Vec<(usize, String)> {
    without_tests(&tokens(text)).into_iter().map(|token| (token.line, token.text)).collect()
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    /// The modules that the file declares: their names begin a path as `crate` does.
    children: Vec<String>,
    /// The inline modules around this place, each with the depth of its braces.
    inline: Vec<(String, usize)>,
    depth: usize,
    source: Source,
}

impl Reader {
    fn peek(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text.as_str())
    }

    fn before(&self, back: usize) -> &str {
        self.at.checked_sub(back).and_then(|at| self.tokens.get(at)).map_or("", |token| token.text.as_str())
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    fn step(&mut self) {
        match self.peek(0) {
            "{" => {
                self.depth += 1;
                self.at += 1;
            }
            "}" => {
                self.depth = self.depth.saturating_sub(1);
                self.inline.pop_if(|(_, depth)| *depth == self.depth);
                self.at += 1;
            }
            "mod" if self.peek(2) == "{" => {
                self.inline.push((self.peek(1).to_owned(), self.depth));
                self.at += 2;
            }
            "use" => self.import(),
            // `pub(in crate::room)` says who may know it, and knows nothing.
            "in" if self.before(1) == "(" && self.before(2) == "pub" => {
                while ![")", ""].contains(&self.peek(0)) {
                    self.at += 1;
                }
            }
            _ if self.peek(1) == "::" && self.before(1) != "::" => self.expression(),
            _ => self.at += 1,
        }
    }

    /// A `use` line, to its semicolon.
    fn import(&mut self) {
        let reexported = ["pub", ")"].contains(&self.before(1));
        self.at += 1;
        self.tree(&[], reexported);
    }

    /// One branch of a `use` tree: a path, and what stands in its braces.
    fn tree(&mut self, prefix: &[String], reexported: bool) {
        let line = self.line();
        let mut path = prefix.to_vec();
        loop {
            match self.peek(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !["}", ""].contains(&self.peek(0)) {
                        self.tree(&path, reexported);
                        if self.peek(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "," | "}" | ";" | "as" | "" => break,
                "self" if !path.is_empty() => self.at += 1,
                segment => {
                    path.push(segment.to_owned());
                    self.at += 1;
                }
            }
        }
        let mut name = path.last().cloned();
        if self.peek(0) == "as" {
            name = Some(self.peek(1).to_owned());
            self.at += 2;
        }
        if let Some(path) = self.absolute(&path) {
            if let (Some(name), true) = (name, self.inline.is_empty()) {
                self.source.names.insert(name, path.clone());
            }
            self.source.mentions.push(Mention { line, path, reexported });
        }
    }

    /// A path outside of a `use` line.
    fn expression(&mut self) {
        let line = self.line();
        let mut path = vec![self.peek(0).to_owned()];
        self.at += 1;
        while self.peek(0) == "::" && is_word(self.peek(1)) {
            path.push(self.peek(1).to_owned());
            self.at += 2;
        }
        if let Some(path) = self.absolute(&path) {
            self.source.mentions.push(Mention { line, path, reexported: false });
        }
    }

    /// A path from the root of the crate; `None` where it leads elsewhere or is a name that was imported before.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let here = || self.source.module.iter().chain(self.inline.iter().map(|(name, _)| name)).cloned();
        let first = path.first()?.as_str();
        let mut rest = path;
        let mut full: Vec<String> = match first {
            "crate" => Vec::new(),
            "self" | "super" => here().collect(),
            child if self.inline.is_empty() && self.children.iter().any(|name| name == child) => {
                return Some(here().chain(path.iter().cloned()).collect());
            }
            _ => return None,
        };
        while let Some((word, after)) = rest.split_first() {
            match word.as_str() {
                "super" => drop(full.pop()),
                "crate" | "self" => {}
                _ => break,
            }
            rest = after;
        }
        full.extend(rest.iter().cloned());
        Some(full)
    }
}

/// A word or a sign of the source, and the line it stands on.
#[derive(Clone, Debug)]
struct Token {
    text: String,
    line: usize,
}

impl Token {
    fn is(&self, text: &str) -> bool {
        self.text == text
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The words and signs of a text, without comments and without what stands in quotes.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let (mut index, mut line) = (0, 1);
    while index < chars.len() {
        let start = index;
        let begun = line;
        match (at(index), at(index + 1)) {
            ('/', '/') => {
                while index < chars.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            ('/', '*') => {
                let mut depth = 0;
                loop {
                    match (at(index), at(index + 1)) {
                        ('/', '*') => (depth, index) = (depth + 1, index + 2),
                        ('*', '/') => (depth, index) = (depth - 1, index + 2),
                        _ => index += 1,
                    }
                    if depth == 0 || index >= chars.len() {
                        break;
                    }
                }
            }
            ('"', _) => {
                index += 1;
                while index < chars.len() && at(index) != '"' {
                    index += if at(index) == '\\' { 2 } else { 1 };
                }
                index += 1;
            }
            ('\'', '\\') => {
                index += 3;
                while index < chars.len() && at(index) != '\'' {
                    index += 1;
                }
                index += 1;
            }
            ('\'', _) if at(index + 2) == '\'' => index += 3,
            (first, _) if first.is_alphabetic() || first == '_' => {
                while at(index).is_alphanumeric() || at(index) == '_' {
                    index += 1;
                }
                let word: String = chars.get(start..index).unwrap_or_default().iter().collect();
                let hashes = (0..256).take_while(|ahead| at(index + ahead) == '#').count();
                if ["r", "br"].contains(&word.as_str()) && at(index + hashes) == '"' {
                    index += hashes + 1;
                    while index < chars.len()
                        && !(at(index) == '"' && (1..=hashes).all(|ahead| at(index + ahead) == '#'))
                    {
                        index += 1;
                    }
                    index += hashes + 1;
                } else {
                    found.push(Token { text: word, line: begun });
                }
            }
            (':', ':') => {
                found.push(Token { text: "::".to_owned(), line: begun });
                index += 2;
            }
            (sign, _) => {
                if !sign.is_whitespace() {
                    found.push(Token { text: sign.to_string(), line: begun });
                }
                index += 1;
            }
        }
        line += chars.get(start..index.min(chars.len())).unwrap_or_default().iter().filter(|&&c| c == '\n').count();
    }
    found
}

/// The tokens without what is compiled for tests alone.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    let text = |index: usize| tokens.get(index).map_or("", |token: &Token| token.text.as_str());
    while at < tokens.len() {
        if text(at) == "#" && text(at + 1) == "[" {
            let end = closing(tokens, at + 1);
            let inside: Vec<&str> = (at..end).map(text).collect();
            if inside.contains(&"cfg") && inside.contains(&"test") && !inside.contains(&"not") {
                at = item_end(tokens, end);
                continue;
            }
        }
        kept.extend(tokens.get(at).cloned());
        at += 1;
    }
    kept
}

/// The place behind the bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// The place behind the item that begins at `start`: its semicolon, or the end of its braces.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut at = start;
    let mut import = false;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "use" => import = true,
            ";" => return at + 1,
            "{" if !import => return closing(tokens, at),
            "(" | "[" | "{" => {
                at = closing(tokens, at);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    at
}
