//! `#[derive(Deserialize)]`, smaller than serde's: for a struct with named fields, a struct around one value, or an enum of plain words.
//!
//! It implements serde's own trait and understands those of serde's attributes that are used here; anything else is an error when
//! compiled, and such a type takes serde's derive. Serde compiles into each type a search for its fields' names, and for each field what
//! is said of one that comes twice or not at all. What is made here names the fields in a table, asks `json::fields` for the next one,
//! and has one arm for each that reads its value.

use std::fmt::Write as _;

use proc_macro::{Delimiter, TokenStream, TokenTree};

/// Derives `serde::Deserialize`.
#[proc_macro_derive(Deserialize, attributes(serde))]
pub fn deserialize(item: TokenStream) -> TokenStream {
    let written = Item::read(item).and_then(|item| item.written());
    let written = written.unwrap_or_else(|fault| format!("compile_error!({:?});", format!("json-derive: {fault}")));
    written
        .parse()
        .unwrap_or_else(|fault| format!("compile_error!(\"json-derive: {fault}\");").parse().unwrap_or_default())
}

/// What is said of serde in attributes, as names and values.
#[derive(Default)]
struct SerdeAttributes(Vec<(String, Option<String>)>);

impl SerdeAttributes {
    /// Takes what one attribute says, if it is serde's; `group` is what stands in its brackets.
    fn add(&mut self, group: TokenStream) {
        let mut tokens = group.into_iter();
        let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(list))) = (tokens.next(), tokens.next()) else {
            return;
        };
        if name.to_string() != "serde" {
            return;
        }
        for part in parts(list.stream()) {
            let mut part = part.into_iter();
            let Some(name) = part.next() else { continue };
            let value = part.nth(1).map(|value| value.to_string().trim_matches('"').to_owned());
            self.0.push((name.to_string(), value));
        }
    }

    /// Whether a name is there, and with which value.
    #[allow(clippy::option_option, reason = "a name may be there without a value")]
    fn get(&self, name: &str) -> Option<Option<&str>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_deref())
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.get(name).flatten()
    }

    /// Refuses what is not understood here.
    fn only(&self, known: &[&str]) -> Result<(), String> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(format!("{name} is not understood here: take serde's own derive")),
            None => Ok(()),
        }
    }
}

/// Cuts a list at its commas, those between angle brackets left alone.
fn parts(list: TokenStream) -> Vec<Vec<TokenTree>> {
    let (mut parts, mut depth) = (vec![Vec::new()], 0_i32);
    for token in list {
        match &token {
            TokenTree::Punct(sign) if sign.as_char() == ',' && depth == 0 => {
                parts.push(Vec::new());
                continue;
            }
            TokenTree::Punct(sign) if sign.as_char() == '<' => depth += 1,
            TokenTree::Punct(sign) if sign.as_char() == '>' => depth -= 1,
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(token);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Takes the attributes and the visibility from the front.
fn told(tokens: &mut std::iter::Peekable<impl Iterator<Item = TokenTree>>) -> SerdeAttributes {
    let mut told = SerdeAttributes::default();
    loop {
        match tokens.peek() {
            Some(TokenTree::Punct(sign)) if sign.as_char() == '#' => {
                tokens.next();
                if let Some(TokenTree::Group(group)) = tokens.next() {
                    told.add(group.stream());
                }
            }
            Some(TokenTree::Ident(word)) if word.to_string() == "pub" => {
                tokens.next();
                tokens.next_if(
                    |next| matches!(next, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis),
                );
            }
            _ => return told,
        }
    }
}

/// A field, or a variant.
struct Part {
    told: SerdeAttributes,
    name: String,
    kind: String,
}

impl Part {
    fn all(list: TokenStream) -> Result<Vec<Self>, String> {
        parts(list).into_iter().map(Self::one).collect()
    }

    fn one(tokens: Vec<TokenTree>) -> Result<Self, String> {
        let mut tokens = tokens.into_iter().peekable();
        let told = told(&mut tokens);
        let Some(TokenTree::Ident(name)) = tokens.next() else { return Err("a name is expected".to_owned()) };
        tokens.next_if(|next| matches!(next, TokenTree::Punct(sign) if sign.as_char() == ':'));
        Ok(Self { told, name: name.to_string(), kind: tokens.collect::<TokenStream>().to_string() })
    }

    /// The name in JSON.
    fn called(&self, rule: Option<&str>) -> Result<String, String> {
        let name = self.name.trim_start_matches("r#");
        Ok(match (self.told.value("rename"), rule) {
            (Some(name), _) => name.to_owned(),
            (None, None) => name.to_owned(),
            (None, Some("lowercase")) => name.to_lowercase(),
            (None, Some("snake_case")) => snake(name),
            (None, Some("camelCase")) => camel(name),
            (None, Some(rule)) => return Err(format!("rename_all = {rule:?} is not understood here")),
        })
    }

    /// The type without its path and parameters.
    fn plain_kind(&self) -> &str {
        let kind = self.kind.split('<').next().unwrap_or_default();
        kind.rsplit("::").next().unwrap_or_default().trim()
    }
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (place, letter) in name.char_indices() {
        if place > 0 && letter.is_uppercase() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

fn camel(name: &str) -> String {
    let mut words = snake(name).split('_').map(str::to_owned).collect::<Vec<_>>().into_iter();
    let mut camel = words.next().unwrap_or_default();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        camel.push_str(letters.as_str());
    }
    camel
}

/// What is derived for.
struct Item {
    told: SerdeAttributes,
    name: String,
    parameter: Option<String>,
    shape: Shape,
}

enum Shape {
    Fields(Vec<Part>),
    Around,
    Words(Vec<Part>),
}

impl Item {
    fn read(item: TokenStream) -> Result<Self, String> {
        let mut tokens = item.into_iter().peekable();
        let told = told(&mut tokens);
        let (Some(word), Some(TokenTree::Ident(name))) = (tokens.next(), tokens.next()) else {
            return Err("a struct or an enum is expected".to_owned());
        };
        let mut parameter = None;
        if tokens.next_if(|next| matches!(next, TokenTree::Punct(sign) if sign.as_char() == '<')).is_some() {
            let is_lifetime = |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == '\'');
            let tick = tokens.next_if(is_lifetime).map(|tick| tick.to_string()).unwrap_or_default();
            parameter = tokens.next().map(|parameter| format!("{tick}{parameter}"));
            tokens.next_if(|next| matches!(next, TokenTree::Punct(sign) if sign.as_char() == '>'));
        }
        let Some(TokenTree::Group(body)) = tokens.next() else {
            return Err("one plain type parameter at most is expected, or 'de: take serde's own derive".to_owned());
        };
        let shape = match (word.to_string().as_str(), body.delimiter()) {
            ("struct", Delimiter::Brace) => Shape::Fields(Part::all(body.stream())?),
            ("struct", Delimiter::Parenthesis) if parts(body.stream()).len() == 1 => Shape::Around,
            ("enum", Delimiter::Brace) => Shape::Words(Part::all(body.stream())?),
            _ => return Err("it is of another shape: take serde's own derive".to_owned()),
        };
        Ok(Self { told, name: name.to_string(), parameter, shape })
    }

    fn written(&self) -> Result<String, String> {
        self.told.only(&["rename_all", "default", "deny_unknown_fields", "transparent", "try_from", "from"])?;
        let name = self.with_parameter();
        let bound = self.bound();
        let body = if let Some(from) = self.told.value("try_from") {
            format!(
                "let value = <{from} as ::serde::de::Deserialize>::deserialize(deserializer)?;
                 <Self as ::core::convert::TryFrom<{from}>>::try_from(value).map_err(<D::Error as ::serde::de::Error>::custom)"
            )
        } else if let Some(from) = self.told.value("from") {
            format!("<{from} as ::serde::de::Deserialize>::deserialize(deserializer).map(::core::convert::From::from)")
        } else {
            match &self.shape {
                Shape::Fields(fields) => self.fields(fields)?,
                Shape::Around => "::serde::de::Deserialize::deserialize(deserializer).map(Self)".to_owned(),
                Shape::Words(words) => self.words(words)?,
            }
        };
        Ok(format!(
            "#[automatically_derived]
            impl<{bound}> ::serde::de::Deserialize<'de> for {name} {{
                fn deserialize<D: ::serde::de::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {{
                    {body}
                }}
            }}"
        ))
    }

    /// The type, such as `Page<T>`.
    fn with_parameter(&self) -> String {
        self.parameter.as_ref().map_or_else(|| self.name.clone(), |parameter| format!("{}<{parameter}>", self.name))
    }

    /// What the parameters of an implementation are.
    fn bound(&self) -> String {
        match self.parameter.as_deref() {
            None | Some(BORROWED) => BORROWED.to_owned(),
            Some(parameter) => format!("{BORROWED}, {parameter}: ::serde::de::Deserialize<'de>"),
        }
    }

    fn words(&self, words: &[Part]) -> Result<String, String> {
        let (mut names, mut arms, mut other) = (String::new(), String::new(), None);
        for (place, word) in words.iter().enumerate() {
            word.told.only(&["rename", "other"])?;
            if !word.kind.is_empty() {
                return Err("a variant has something in it: take serde's own derive".to_owned());
            }
            let _ = write!(names, "{:?}, ", word.called(self.told.value("rename_all"))?);
            let _ = write!(arms, "{place} => Self::{}, ", word.name);
            if word.told.get("other").is_some() {
                other = Some(&word.name);
            }
        }
        let last = words.last().ok_or("there is no variant")?;
        Ok(format!(
            "#[allow(unreachable_patterns)]
            ::json::fields::word(deserializer, &[{names}], {}).map(|place| match place {{ {arms} _ => Self::{} }})",
            other.is_some(),
            other.unwrap_or(&last.name),
        ))
    }

    #[allow(clippy::too_many_lines, reason = "one text with what stands in it")]
    fn fields(&self, fields: &[Part]) -> Result<String, String> {
        let name = &self.name;
        let has_default = match self.told.get("default") {
            Some(Some(_)) => return Err("default = is not understood here".to_owned()),
            Some(None) => true,
            None => false,
        };
        let (mut names, mut slots, mut arms, mut made) = (String::new(), String::new(), String::new(), String::new());
        let (mut required, mut place, mut bare) = (0_u64, 0, Vec::new());
        for field in fields {
            field.told.only(&["rename", "default", "deserialize_with", "skip", "skip_serializing_if"])?;
            let (name, kind) = (&field.name, &field.kind);
            // What is read is no variable of a name that the field's own paths may have.
            let slot = format!("field_{}", name.trim_start_matches("r#"));
            if field.told.get("skip").is_some() {
                let _ = write!(made, "{name}: ::core::default::Default::default(), ");
                continue;
            }
            let with = field.told.value("deserialize_with");
            let value = match with {
                None => format!("::serde::de::MapAccess::next_value::<{kind}>(&mut map)?"),
                Some(with) => format!(
                    "{{
                        struct With({kind});
                        impl<'de> ::serde::de::Deserialize<'de> for With {{
                            fn deserialize<D: ::serde::de::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {{
                                {with}(deserializer).map(With)
                            }}
                        }}
                        ::serde::de::MapAccess::next_value::<With>(&mut map)?.0
                    }}"
                ),
            };
            let first = match (has_default, field.told.get("default")) {
                (true, Some(Some(_))) => return Err("one default is enough".to_owned()),
                (true, _) => None,
                (false, Some(Some(path))) => Some(format!("{path}()")),
                (false, Some(None)) => Some("::core::default::Default::default()".to_owned()),
                (false, None) if with.is_none() && field.plain_kind() == "Option" => {
                    Some("::core::option::Option::None".to_owned())
                }
                (false, None) => {
                    required |= 1_u64.checked_shl(place).ok_or("more than 64 fields")?;
                    EMPTY.contains(&field.plain_kind()).then(|| "::core::default::Default::default()".to_owned())
                }
            };
            let _ = write!(names, "{:?}, ", field.called(self.told.value("rename_all"))?);
            match (has_default, first) {
                (true, _) => {
                    let _ = write!(arms, "{place} => made.{name} = {value}, ");
                }
                (false, Some(first)) => {
                    let _ = write!(slots, "let mut {slot}: {kind} = {first}; ");
                    let _ = write!(arms, "{place} => {slot} = {value}, ");
                }
                (false, None) => {
                    let _ = write!(
                        slots,
                        "let mut {slot}: ::core::option::Option<{kind}> = ::core::option::Option::None; "
                    );
                    let _ = write!(arms, "{place} => {slot} = ::core::option::Option::Some({value}), ");
                    bare.push(slot.clone());
                }
            }
            let _ = write!(made, "{name}: {slot}, ");
            place += 1;
        }
        if has_default {
            slots = format!("let mut made: {name} = ::core::default::Default::default();");
            "made".clone_into(&mut made);
        } else {
            made = format!("{name} {{ {made} }}");
        }
        let mut there = String::new();
        if !bare.is_empty() {
            let some: Vec<String> = bare.iter().map(|slot| format!("::core::option::Option::Some({slot})")).collect();
            there = format!(
                "let ({},) = ({},) else {{ return ::core::result::Result::Err(::json::fields::absent()) }};",
                some.join(", "),
                bare.join(", ")
            );
        }
        let is_closed = self.told.get("deny_unknown_fields").is_some();
        let (bound, whole) = (self.bound(), self.with_parameter());
        let (visitor, new) = match &self.parameter {
            None => ("Visitor".to_owned(), "Visitor"),
            Some(parameter) => (format!("Visitor<{parameter}>"), "Visitor(::core::marker::PhantomData)"),
        };
        let held = match self.parameter.as_deref() {
            None => String::new(),
            Some(BORROWED) => format!("<{BORROWED}>(::core::marker::PhantomData<&{BORROWED} ()>)"),
            Some(parameter) => format!("<{parameter}>(::core::marker::PhantomData<{parameter}>)"),
        };
        Ok(format!(
            "static FIELDS: ::json::fields::Fields =
                ::json::fields::Fields {{ names: &[{names}], required: {required}, is_closed: {is_closed} }};
            struct Visitor{held};
            impl<{bound}> ::serde::de::Visitor<'de> for {visitor} {{
                type Value = {whole};

                fn expecting(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{
                    f.write_str(\"an object\")
                }}

                fn visit_map<A: ::serde::de::MapAccess<'de>>(self, mut map: A) -> ::core::result::Result<{whole}, A::Error> {{
                    let mut read = ::json::fields::Read::new(&FIELDS);
                    {slots}
                    loop {{
                        match read.next(&mut map)? {{
                            {arms}
                            _ => break,
                        }}
                    }}
                    {there}
                    ::core::result::Result::Ok({made})
                }}
            }}
            ::serde::de::Deserializer::deserialize_struct(deserializer, \"{name}\", FIELDS.names, {new})"
        ))
    }
}

/// The lifetime of the text that is read, which a type may borrow from.
const BORROWED: &str = "'de";

/// Types whose empty value stands in until the field's own is read.
const EMPTY: [&str; 15] = [
    "String", "Vec", "BTreeMap", "BTreeSet", "bool", "u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64",
    "f64",
];
