//! Filters (RFC 7644 section 3.4.2.2): `and`, `or`, `not`, parentheses, `pr`, `eq`, `ne`, `co`, `sw`, `ew` and a value filter in
//! brackets. The ordering operators are left out: no attribute here has a useful order.

use serde_json::Value;

use super::ScimError;
use crate::base::json;
use crate::base::unicode;
use crate::model::address;

/// A filter is this many bytes at most, and nested this deep: it is parsed by recursion.
const LIMITS: (usize, usize) = (4096, 16);

/// A filter that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Both.
    And(Box<Filter>, Box<Filter>),
    /// One of them or both.
    Or(Box<Filter>, Box<Filter>),
    /// Not.
    Not(Box<Filter>),
    /// An attribute has a value.
    Present(Vec<String>),
    /// An attribute compares to a value so; as it is written, where the last says so.
    Compare(Vec<String>, Operator, Value, bool),
    /// One of an attribute's values matches as a whole.
    Within(Vec<String>, Box<Filter>),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Contains.
    Co,
    /// Starts with.
    Sw,
    /// Ends with.
    Ew,
}

/// Reads a filter over the attributes in `known` (in lower case, sub-attributes after a dot). `schema` is the URN that may stand before a name.
pub fn parse(text: &str, known: &[&str], schema: &str) -> Result<Filter, ScimError> {
    if text.len() > LIMITS.0 {
        return Err(invalid(format!("the filter is longer than {} bytes", LIMITS.0)));
    }
    let mut parser = Parser { tokens: tokens(text)?, place: 0, depth: 0, known, schema, prefix: Vec::new() };
    let filter = parser.or()?;
    match parser.next() {
        None => Ok(filter),
        Some(token) => Err(invalid(format!("nothing was expected after the filter, but there is {token:?}"))),
    }
}

/// Attributes whose values are compared as they are written: ids (RFC 7643 section 2.2, `caseExact`).
const CASE_EXACT: [&str; 5] = ["id", "externalid", "value", "$ref", "schemas"];

fn invalid(detail: impl Into<String>) -> ScimError {
    ScimError::new("invalidFilter", detail)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(Value),
    Open,
    Close,
    OpenBracket,
    CloseBracket,
}

fn tokens(text: &str) -> Result<Vec<Token>, ScimError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let single = match first {
            '(' => Some(Token::Open),
            ')' => Some(Token::Close),
            '[' => Some(Token::OpenBracket),
            ']' => Some(Token::CloseBracket),
            _ => None,
        };
        let length = if let Some(token) = single {
            tokens.push(token);
            1
        } else if first.is_whitespace() {
            first.len_utf8()
        } else if first == '"' {
            // A JSON string (RFC 7644 figure 1): its escapes are JSON's.
            let (quoted, length) =
                json::read_quoted(rest).ok_or_else(|| invalid("a text in quotation marks does not end"))?;
            tokens.push(Token::Text(Value::String(quoted)));
            length
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || "()[]\"".contains(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest.get(..end).unwrap_or_default().to_owned()));
            end
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    place: usize,
    depth: usize,
    known: &'a [&'a str],
    schema: &'a str,
    /// The attribute whose brackets we are in.
    prefix: Vec<String>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.place)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.place += 1;
        token
    }

    /// Takes the next word, if it is this one.
    fn word(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word));
        if is {
            self.place += 1;
        }
        is
    }

    fn expect(&mut self, token: &Token) -> Result<(), ScimError> {
        match self.next() {
            Some(next) if next == *token => Ok(()),
            other => Err(invalid(format!("{token:?} was expected, not {other:?}"))),
        }
    }

    fn or(&mut self) -> Result<Filter, ScimError> {
        self.depth += 1;
        if self.depth > LIMITS.1 {
            return Err(invalid(format!("the filter is nested more than {} deep", LIMITS.1)));
        }
        let mut filter = self.and()?;
        while self.word("or") {
            filter = Filter::Or(Box::new(filter), Box::new(self.and()?));
        }
        self.depth -= 1;
        Ok(filter)
    }

    fn and(&mut self) -> Result<Filter, ScimError> {
        let mut filter = self.one()?;
        while self.word("and") {
            filter = Filter::And(Box::new(filter), Box::new(self.one()?));
        }
        Ok(filter)
    }

    fn one(&mut self) -> Result<Filter, ScimError> {
        let negated = self.word("not");
        if negated || self.peek() == Some(&Token::Open) {
            self.expect(&Token::Open)?;
            let filter = self.or()?;
            self.expect(&Token::Close)?;
            return Ok(if negated { Filter::Not(Box::new(filter)) } else { filter });
        }
        let Some(Token::Word(name)) = self.next() else { return Err(invalid("the name of an attribute was expected")) };
        let path = self.attribute(&name)?;
        if self.peek() == Some(&Token::OpenBracket) {
            if !self.prefix.is_empty() {
                return Err(invalid("brackets within brackets are not allowed"));
            }
            self.place += 1;
            self.prefix.clone_from(&path);
            let filter = self.or()?;
            self.prefix.clear();
            self.expect(&Token::CloseBracket)?;
            return Ok(Filter::Within(path, Box::new(filter)));
        }
        if self.word("pr") {
            return Ok(Filter::Present(path));
        }
        let operator = match self.next() {
            Some(Token::Word(word)) => match word.to_ascii_lowercase().as_str() {
                "eq" => Operator::Eq,
                "ne" => Operator::Ne,
                "co" => Operator::Co,
                "sw" => Operator::Sw,
                "ew" => Operator::Ew,
                _ => {
                    return Err(invalid(format!(
                        "the operator {word:?} is not supported; use eq, ne, co, sw, ew or pr"
                    )));
                }
            },
            _ => return Err(invalid(format!("an operator was expected after {name}: eq, ne, co, sw, ew or pr"))),
        };
        let value = match self.next() {
            Some(Token::Text(value)) => value,
            Some(Token::Word(word)) => match json::read_str(&word.to_ascii_lowercase()) {
                Ok(value @ (Value::Bool(_) | Value::Null | Value::Number(_))) => value,
                _ => return Err(invalid(format!("the value {word:?} must stand in quotation marks"))),
            },
            _ => return Err(invalid(format!("a value was expected after the operator of {name}"))),
        };
        if !matches!(operator, Operator::Eq | Operator::Ne) && !value.is_string() {
            return Err(invalid(format!("co, sw and ew of {name} compare texts")));
        }
        let mut whole = self.prefix.iter().chain(&path).map(String::as_str);
        let is_exact = path.last().is_some_and(|name| CASE_EXACT.contains(&name.as_str()))
            // The address of a person is not an id.
            && whole.next() != Some("emails");
        Ok(Filter::Compare(path, operator, value, is_exact))
    }

    fn attribute(&self, name: &str) -> Result<Vec<String>, ScimError> {
        let plain = name.get(self.schema.len() + 1..).filter(|_| {
            let (schema, rest) = name.split_at_checked(self.schema.len()).unwrap_or_default();
            schema.eq_ignore_ascii_case(self.schema) && rest.starts_with(':')
        });
        let path: Vec<String> = plain.unwrap_or(name).split('.').map(str::to_ascii_lowercase).collect();
        let full: Vec<&str> = self.prefix.iter().chain(&path).map(String::as_str).collect();
        if self.known.contains(&full.join(".").as_str()) {
            return Ok(path);
        }
        Err(invalid(format!("there is no filter on {name:?}; supported are: {}", self.known.join(", "))))
    }
}

impl Filter {
    /// Whether a resource matches.
    pub fn matches(&self, resource: &Value) -> bool {
        match self {
            Self::And(left, right) => left.matches(resource) && right.matches(resource),
            Self::Or(left, right) => left.matches(resource) || right.matches(resource),
            Self::Not(filter) => !filter.matches(resource),
            Self::Present(path) => values(resource, path).iter().any(|value| present(value)),
            Self::Within(path, filter) => values(resource, path).iter().any(|value| filter.matches(value)),
            Self::Compare(path, operator, wanted, exact) => {
                let found = values(resource, path);
                let equal = || found.iter().any(|value| compare(*operator, comparable(value), wanted, *exact));
                match operator {
                    // An attribute without a value is not equal to anything, except to null.
                    Operator::Eq | Operator::Ne if wanted.is_null() => {
                        found.iter().any(|value| present(value)) == (*operator == Operator::Ne)
                    }
                    Operator::Ne => !found.iter().any(|value| compare(Operator::Eq, comparable(value), wanted, *exact)),
                    _ => equal(),
                }
            }
        }
    }

    /// The id that alone can match, where the filter says so: then nothing else need be read.
    pub fn only_id(&self) -> Option<&str> {
        match self {
            Self::And(left, right) => left.only_id().or_else(|| right.only_id()),
            one => one.only("id"),
        }
    }

    /// The value that an attribute has, where that is all that is asked for.
    pub fn only(&self, attribute: &str) -> Option<&str> {
        match self {
            Self::Compare(path, Operator::Eq, Value::String(text), _) if path.as_slice() == [attribute] => Some(text),
            _ => None,
        }
    }

    /// The texts that an attribute is to be equal to, wherever in the filter.
    pub fn named(&self, attribute: &str) -> Vec<&str> {
        match self {
            Self::And(left, right) | Self::Or(left, right) => [left.named(attribute), right.named(attribute)].concat(),
            one => one.only(attribute).into_iter().collect(),
        }
    }

    /// Whether an attribute takes part, such as `members`.
    pub fn reads(&self, attribute: &str) -> bool {
        match self {
            Self::And(left, right) | Self::Or(left, right) => left.reads(attribute) || right.reads(attribute),
            Self::Not(filter) => filter.reads(attribute),
            Self::Present(path) | Self::Compare(path, ..) | Self::Within(path, _) => {
                path.first().is_some_and(|first| first == attribute)
            }
        }
    }
}

/// What is at a path; a list stands for each of its items.
fn values<'a>(resource: &'a Value, path: &[String]) -> Vec<&'a Value> {
    let mut found = vec![resource];
    for name in path {
        found = found
            .into_iter()
            .filter_map(Value::as_object)
            .filter_map(|object| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)))
            .flat_map(|(_, value)| match value {
                Value::Array(items) => items.iter().collect(),
                other => vec![other],
            })
            .collect();
    }
    found
}

/// A complex value is compared by its `value` (RFC 7643 section 2.4).
fn comparable(value: &Value) -> &Value {
    value.get("value").unwrap_or(value)
}

fn present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.values().any(present),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn compare(operator: Operator, found: &Value, wanted: &Value, exact: bool) -> bool {
    let (Value::String(found), Value::String(wanted)) = (found, wanted) else {
        return operator == Operator::Eq && found == wanted;
    };
    let fold = |text: &str| match text.contains('@') {
        _ if exact => text.to_owned(),
        true => address::folded(text),
        false => unicode::lower(text),
    };
    let (found, wanted) = (fold(found), fold(wanted));
    match operator {
        Operator::Eq | Operator::Ne => found == wanted,
        Operator::Co => found.contains(&wanted),
        Operator::Sw => found.starts_with(&wanted),
        Operator::Ew => found.ends_with(&wanted),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse;
    use crate::scim::USER;

    const KNOWN: [&str; 9] =
        ["id", "username", "name.familyname", "externalid", "active", "emails", "emails.value", "emails.type", "title"];

    fn check(filter: &str) -> bool {
        let jane = json!({
            "id": "2819c223", "userName": "bjensen@example.com", "name": { "familyName": "O'Malley" }, "active": true,
            "emails": [{ "value": "bjensen@example.com", "type": "work" }, { "value": "babs@jensen.org", "type": "home" }],
        });
        parse(filter, &KNOWN, USER).unwrap().matches(&jane)
    }

    #[test]
    fn the_examples_of_the_rfc_match_as_it_says() {
        for (filter, expected) in [
            (r#"userName Eq "BJensen@example.com""#, true),
            (r#"name.familyName co "O'Malley""#, true),
            (r#"userName sw "J""#, false),
            (r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "b""#, true),
            ("title pr", false),
            (r#"title pr and emails.type eq "work""#, false),
            (r#"title pr or userName sw "b""#, true),
            (r#"emails[type eq "work" and value co "@example.com"]"#, true),
            (r#"emails[type eq "home" and value co "@example.com"]"#, false),
            (r#"userName ne "x" and not (emails.value co "example.com" or emails.value co "example.org")"#, false),
            (r#"emails co "jensen.org""#, true),
            (r#"emails.value eq "BJensen@Example.com""#, true),
            (r#"emails[type eq "work" and value eq "BJensen@Example.com"]"#, true),
            (r#"emails[type eq "home" and value eq "BJensen@Example.com"]"#, false),
            (r#"emails[value ew "EXAMPLE.com"]"#, true),
        ] {
            assert_eq!(check(filter), expected, "{filter}");
        }
    }

    #[test]
    fn a_text_in_quotation_marks_has_the_escapes_of_json_and_an_end() {
        assert!(check(r#"name.familyName eq "O\u0027M\u0061lley" and(userName sw "b")"#));
        assert!(!check(r#"name.familyName eq "O\"Malley\n" or emails[type eq "\\"]"#));
        for filter in [r#"userName eq "b"#, r#"userName eq "b\""#, r#"userName eq "\x""#, r#"userName eq "\ud800""#] {
            let error = parse(filter, &KNOWN, USER).unwrap_err();
            assert_eq!(
                (error.scim_type, error.detail.as_str()),
                ("invalidFilter", "a text in quotation marks does not end")
            );
        }
    }

    #[test]
    fn operators_bind_and_before_or_and_know_types() {
        for (filter, expected) in [
            ("active eq true", true),
            ("active eq False", false),
            ("active ne false", true),
            (r#"id eq "2819C223""#, false),
            (r#"userName ew ".COM""#, true),
            ("title eq null and userName ne null", true),
            ("active eq true or title pr and title pr", true),
            ("(active eq true or title pr) and title pr", false),
            (r#"userName eq "a \"quoted\" (text)""#, false),
        ] {
            assert_eq!(check(filter), expected, "{filter}");
        }
    }

    #[test]
    fn what_is_not_supported_or_not_a_filter_is_an_invalid_filter() {
        let deep = format!("{}active pr{}", "(".repeat(40), ")".repeat(40));
        let long = format!("userName eq \"{}\"", "x".repeat(5000));
        for filter in [
            "",
            "userName",
            "userName eq",
            "userName eq jane",
            r#"userName gt "a""#,
            r#"password eq "x""#,
            r#"userName eq "x"#,
            r#"(userName eq "x""#,
            r#"userName eq "x" title"#,
            r#"not userName eq "x""#,
            "active co true",
            r#"emails[emails[type eq "x"]]"#,
            "emails[type pr",
            "][",
            &deep,
            &long,
        ] {
            assert_eq!(parse(filter, &KNOWN, USER).unwrap_err().scim_type, "invalidFilter", "{filter}");
        }
    }

    #[test]
    fn a_filter_for_one_id_says_so() {
        let only = |filter: &str| parse(filter, &KNOWN, USER).unwrap().only_id().map(str::to_owned);
        assert_eq!(only(r#"id eq "a""#).as_deref(), Some("a"));
        assert_eq!(only(r#"active eq true and id eq "a""#).as_deref(), Some("a"));
        assert_eq!(only(r#"active eq true or id eq "a""#), None);
    }
}
