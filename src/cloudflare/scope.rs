//! What resource groups reach, and the names of what they reach (`reference/cloudflare.md` 1.4, `reference/tokens.md` b.1).

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::SIZES;
use super::call::Call;
use super::client::{Client, ListPage, Record, filled, required};
use super::error::ApiError;
use super::lenient::Text;
use crate::base::json::Deserialize;
use crate::base::ports::{Clock, Http, Sql};

/// An object of the account that a scope may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedObject {
    /// Its id, as a scope's key has it: of a Worker its tag, which outlives the name.
    pub id: String,
    /// The name that people know it by.
    pub name: String,
}

impl<P: Http + Clock + Sql> Client<'_, P> {
    /// One page of the account's domains. Those of the type `internal` are left out, and those that the token may not see.
    pub async fn zones_page(&self, page: u32) -> Result<ListPage<NamedObject>, ApiError> {
        self.names_page(page, format!("/zones?account.id={}&order=name&direction=asc&", self.settings().account_id))
            .await
    }

    /// All Workers: this list has no pages.
    pub async fn workers(&self) -> Result<ListPage<NamedObject>, ApiError> {
        self.page(Call::get_long(self.account_path("/workers/scripts"))).await
    }

    /// One page of the Access applications.
    pub async fn access_apps_page(&self, page: u32) -> Result<ListPage<NamedObject>, ApiError> {
        self.names_page(page, self.account_path("/access/apps?")).await
    }

    async fn names_page(&self, page: u32, list: String) -> Result<ListPage<NamedObject>, ApiError> {
        self.page_of(page, &SIZES, |page, size| format!("{list}page={page}&per_page={size}")).await
    }
}

#[derive(Deserialize)]
pub(super) struct ObjectWire {
    id: Option<String>,
    name: Option<String>,
    tag: Option<String>,
}

impl Record for NamedObject {
    type Wire<'de> = ObjectWire;

    fn read(wire: ObjectWire) -> Result<Self, String> {
        let id = required(filled(wire.id), "id")?;
        Ok(match filled(wire.tag) {
            // Only a Worker has one, and its `id` is the name.
            Some(tag) => Self { id: tag, name: id },
            None => Self { name: wire.name.unwrap_or_default(), id },
        })
    }
}

/// The keys in a resource group's `scope`: an object with a key and objects, or a list of such. Whatever else stands there is passed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ScopeWire {
    /// The key of the value itself, where it is an object with one.
    own: Option<String>,
    has_objects: bool,
    /// The keys of what is in it. Everything under a key (`*`) stands as that key.
    pub(super) keys: Vec<String>,
}

impl<'de> Deserialize<'de> for ScopeWire {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScopeVisitor)
    }
}

struct ScopeVisitor;

impl<'de> Visitor<'de> for ScopeVisitor {
    type Value = ScopeWire;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, _: &str) -> Result<ScopeWire, E> {
        Ok(ScopeWire::default())
    }

    fn visit_unit<E>(self) -> Result<ScopeWire, E> {
        Ok(ScopeWire::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<ScopeWire, E> {
        Ok(ScopeWire::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<ScopeWire, E> {
        Ok(ScopeWire::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<ScopeWire, E> {
        Ok(ScopeWire::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<ScopeWire, E> {
        Ok(ScopeWire::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ScopeWire, A::Error> {
        let mut all = ScopeWire::default();
        while let Some(ScopeWire { own, has_objects, keys }) = list.next_element()? {
            all.keys.extend(own.filter(|_| !has_objects));
            all.keys.extend(keys);
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ScopeWire, A::Error> {
        let mut scope = ScopeWire::default();
        while let Some(name) = map.next_key::<Text>()? {
            match name.0.as_deref() {
                Some("key") => scope.own = map.next_value::<Text>()?.0.filter(|key| !key.is_empty()),
                Some("objects") => {
                    (scope.has_objects, scope.keys) = (true, map.next_value::<ScopeWire>()?.keys);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if let (true, Some(own)) = (scope.has_objects, &scope.own) {
            for key in scope.keys.iter_mut().filter(|key| *key == "*") {
                own.clone_into(key);
            }
        }
        Ok(scope)
    }
}

#[cfg(test)]
mod tests {
    use super::ScopeWire;

    #[test]
    fn the_keys_of_a_scope_are_read_from_an_object_and_from_a_list_and_nothing_else_stops_the_record() {
        for (body, keys) in [
            (r#"{"key":"a.1","objects":[{"key":"a.zone.2"},{"key":"a.zone.3"}]}"#, vec!["a.zone.2", "a.zone.3"]),
            (r#"[{"objects":[{"key":"*"}],"key":"a.1"}]"#, vec!["a.1"]),
            (r#"[{"key":"a.1","objects":[{"key":"x"}]},{"key":"a.2","objects":[{"key":"y"}]}]"#, vec!["x", "y"]),
            (r#"{"key":"a.1","objects":[]}"#, vec![]),
            (r#"[{"key":"a.1","objects":[]}]"#, vec![]),
            (r#"{"key":"a.1","objects":[{"key":7},{"no":"key"},null,"text",{"key":"z","more":[1]}]}"#, vec!["z"]),
            (r#"{"key":"a.1"}"#, vec![]),
            ("null", vec![]),
            ("true", vec![]),
            (r#""text""#, vec![]),
            ("7", vec![]),
        ] {
            assert_eq!(serde_json::from_str::<ScopeWire>(body).unwrap().keys, keys, "{body}");
        }
    }
}
