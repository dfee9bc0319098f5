//! Fields that may be anything: what is not of the expected form counts as absent, and is passed over without being built.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A text, or nothing where anything else stands.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything).map(|read| Self(read.0))
    }
}

/// A text that may be anything else, for a field's `deserialize_with`.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Text::deserialize(deserializer).map(|text| text.0)
}

/// The `meta` map of a permission group. Its values are strings in what Cloudflare sends; anything else counts as absent.
#[derive(Clone, Debug, Default)]
pub(super) struct MetaWire {
    pub(super) label: Option<String>,
    pub(super) scopes: Option<String>,
    pub(super) description: Option<String>,
    pub(super) deprecated: Option<String>,
    pub(super) eol_at: Option<String>,
}

impl<'de> Deserialize<'de> for MetaWire {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything).map(|read| read.1)
    }
}

/// The names of `meta` that are read.
enum Name {
    Label,
    Scopes,
    Description,
    Deprecated,
    EolAt,
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(match name {
            "label" => Name::Label,
            "scopes" => Name::Scopes,
            "description" => Name::Description,
            "deprecated" => Name::Deprecated,
            "eol_at" => Name::EolAt,
            _ => Name::Other,
        })
    }
}

/// Takes any value: of a text the text, of an object its texts that `meta` may have, of anything else nothing. One visitor for
/// both, since each would be compiled for every place that it is used in.
struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = (Option<String>, MetaWire);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok((Some(text.to_owned()), MetaWire::default()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Self::Value::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Self::Value::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Self::Value::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Self::Value::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Self::Value::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::Value::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut meta = MetaWire::default();
        while let Some(name) = map.next_key()? {
            let field = match name {
                Name::Label => &mut meta.label,
                Name::Scopes => &mut meta.scopes,
                Name::Description => &mut meta.description,
                Name::Deprecated => &mut meta.deprecated,
                Name::EolAt => &mut meta.eol_at,
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = map.next_value::<Text>()?.0;
        }
        Ok((None, meta))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{MetaWire, text};

    #[derive(Deserialize)]
    struct Wire {
        #[serde(default, deserialize_with = "text")]
        status: Option<String>,
        #[serde(default)]
        meta: MetaWire,
        after: u8,
    }

    #[test]
    fn anything_may_stand_where_a_text_or_a_map_is_expected_and_what_follows_is_read() {
        let odd = ["null", "true", "-7", "7", "1.5", r#"["a",{"b":1}]"#, r#"{"a":{"b":[1]}}"#];
        for odd in odd {
            let body = format!(r#"{{"status":{odd},"meta":{odd},"after":1}}"#);
            let read: Wire = serde_json::from_str(&body).unwrap();
            assert!(read.status.is_none() && read.meta.label.is_none() && read.after == 1, "{odd}");
            let body =
                format!(r#"{{"meta":{{"label":{odd},"scopes":"s","other":{odd},"description":"d\n"}},"after":1}}"#);
            let read: Wire = serde_json::from_str(&body).unwrap();
            let MetaWire { label, scopes, description, .. } = read.meta;
            assert_eq!((label, scopes.as_deref(), description.as_deref()), (None, Some("s"), Some("d\n")), "{odd}");
        }
        let read: Wire = serde_json::from_str(r#"{"status":"accepted","meta":"text","after":1}"#).unwrap();
        assert_eq!((read.status.as_deref(), read.meta.label), (Some("accepted"), None));
    }
}
