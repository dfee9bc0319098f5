//! What a resource group reaches, by the keys that Cloudflare gives its objects (`reference/tokens.md` b.1), and how that is told in words.
//!
//! Not checked here: whether there is such an object. Cloudflare keeps the key of one that was deleted.

use crate::base::json::Deserialize;
use crate::base::order;
use crate::base::tree::BTreeMap;

use serde::Serialize;

/// What kind of object a key is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    /// The account with everything in it.
    Account,
    /// A domain.
    Zone,
    /// A Worker, by its tag.
    Worker,
    /// An R2 bucket: account, jurisdiction and name, with underscores between.
    Bucket,
    /// An Access application. Its key is in no document: what ends in `access.app`, a dot and an id is taken for one.
    AccessApp,
    /// A kind that this version does not know: told by its key.
    Other,
}

impl ObjectKind {
    /// The kinds whose objects have names that a list of the account tells. A bucket's name is in its key.
    pub const NAMED: [Self; 3] = [Self::Zone, Self::Worker, Self::AccessApp];

    /// The kind of a key, and the object's id in it; `*` is every object of the kind.
    pub fn of(key: &str) -> (Self, &str) {
        const PREFIXES: [(&str, ObjectKind); 3] = [
            ("com.cloudflare.api.account.zone.", ObjectKind::Zone),
            ("com.cloudflare.edge.worker.script.", ObjectKind::Worker),
            ("com.cloudflare.edge.r2.bucket.", ObjectKind::Bucket),
        ];
        for (prefix, kind) in PREFIXES {
            if let Some(id) = key.strip_prefix(prefix).filter(|id| !id.is_empty()) {
                return (kind, id);
            }
        }
        if let Some((prefix, id)) = key.rsplit_once('.').filter(|(_, id)| !id.is_empty())
            && (prefix.ends_with(".access.app") || prefix.ends_with(".access.apps"))
        {
            return (Self::AccessApp, id);
        }
        match key.strip_prefix("com.cloudflare.api.account.") {
            Some(id) if !id.is_empty() && !id.contains(['.', '*']) => (Self::Account, id),
            _ => (Self::Other, key),
        }
    }

    /// The word for it in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Zone => "zone",
            Self::Worker => "worker",
            Self::Bucket => "r2_bucket",
            Self::AccessApp => "access_app",
            Self::Other => "other",
        }
    }

    /// What people call one of it.
    const fn word(self) -> &'static str {
        match self {
            Self::Zone => "domain",
            Self::Worker => "Worker",
            Self::Bucket => "R2 bucket",
            Self::AccessApp => "Access application",
            Self::Account | Self::Other => "",
        }
    }
}

/// How an object is told: by its name where one is known.
pub fn told(key: &str, name: &str) -> String {
    let (kind, id) = ObjectKind::of(key);
    match (kind, id) {
        (ObjectKind::Account, _) => "the whole account".to_owned(),
        (ObjectKind::Other, _) => key.to_owned(),
        (_, "*") => format!("every {}", kind.word()),
        _ if !name.is_empty() => name.to_owned(),
        (ObjectKind::Bucket, id) => id.splitn(3, '_').last().unwrap_or(id).to_owned(),
        (_, id) => format!("{} {id}", kind.word()),
    }
}

/// Whether what a key stands for has the object of another key in it: the same, every object of its kind, or the account.
pub fn covers(key: &str, object: &str) -> bool {
    let ((kind, id), (other, _)) = (ObjectKind::of(key), ObjectKind::of(object));
    key == object || kind == ObjectKind::Account || (id == "*" && kind == other && kind != ObjectKind::Other)
}

/// The objects of a resource group: their keys, each with its name, or an empty text where that is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scope(pub BTreeMap<String, String>);

impl Scope {
    /// A row carries at most this many objects, 50 KB with their names; of more it tells how many.
    pub const MAX: usize = 500;

    /// Whether nothing is known of it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The objects in words, those first that have the most in them, then by name.
    pub fn told(&self) -> Vec<String> {
        let mut told: Vec<(u8, String)> = self.0.iter().map(|(key, name)| (rank(key, name), told(key, name))).collect();
        order::sort(&mut told);
        told.into_iter().map(|(_, told)| told).collect()
    }

    /// What is reached, in a few words: `example.com and 3 more`. Nothing where none of it can be called by a name: then the
    /// resource group's own says more. `unlisted` objects are there beside these.
    pub fn in_short(&self, unlisted: u32) -> Option<String> {
        let (rank, first) = self.0.iter().map(|(key, name)| (rank(key, name), told(key, name))).min()?;
        let more = self.0.len() - 1 + usize::try_from(unlisted).unwrap_or_default();
        match more {
            _ if rank > NAMED => None,
            0 => Some(first),
            more => Some(format!("{first} and {more} more")),
        }
    }
}

/// The rank of what is told by a name.
const NAMED: u8 = 2;

/// In which order objects are told.
fn rank(key: &str, name: &str) -> u8 {
    match ObjectKind::of(key) {
        (ObjectKind::Account, _) => 0,
        (_, "*") => 1,
        (ObjectKind::Bucket | ObjectKind::Other, _) => NAMED,
        _ if !name.is_empty() => NAMED,
        _ => NAMED + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::{ObjectKind, Scope, covers, told};

    const ZONE: &str = "com.cloudflare.api.account.zone.23f8d65290b24279ba6f44721b3eaad5";
    const EVERY_ZONE: &str = "com.cloudflare.api.account.zone.*";
    const ACCOUNT: &str = "com.cloudflare.api.account.eb78d65290b24279ba6f44721b3ea3c4";
    const WORKER: &str = "com.cloudflare.edge.worker.script.38d6bfc75445412ab02149c1d30fbf37";
    const BUCKET: &str = "com.cloudflare.edge.r2.bucket.eb78d65290b24279ba6f44721b3ea3c4_eu_my_logs";
    const APP: &str = "com.cloudflare.api.account.access.app.f174e90a-fafe-4643-bbbc-4a0ed4fc8415";

    fn scope(objects: &[(&str, &str)]) -> Scope {
        Scope(objects.iter().map(|(key, name)| ((*key).to_owned(), (*name).to_owned())).collect())
    }

    #[test]
    fn a_key_tells_what_kind_of_object_it_is_of() {
        for (key, kind, id) in [
            (ZONE, ObjectKind::Zone, "23f8d65290b24279ba6f44721b3eaad5"),
            (EVERY_ZONE, ObjectKind::Zone, "*"),
            (ACCOUNT, ObjectKind::Account, "eb78d65290b24279ba6f44721b3ea3c4"),
            (WORKER, ObjectKind::Worker, "38d6bfc75445412ab02149c1d30fbf37"),
            (BUCKET, ObjectKind::Bucket, "eb78d65290b24279ba6f44721b3ea3c4_eu_my_logs"),
            (APP, ObjectKind::AccessApp, "f174e90a-fafe-4643-bbbc-4a0ed4fc8415"),
            ("com.cloudflare.edge.d1.database.7", ObjectKind::Other, "com.cloudflare.edge.d1.database.7"),
            ("com.cloudflare.api.account.zone.", ObjectKind::Other, "com.cloudflare.api.account.zone."),
            ("com.cloudflare.api.account.*", ObjectKind::Other, "com.cloudflare.api.account.*"),
            ("com.cloudflare.api.account.", ObjectKind::Other, "com.cloudflare.api.account."),
            ("", ObjectKind::Other, ""),
        ] {
            assert_eq!(ObjectKind::of(key), (kind, id));
        }
    }

    #[test]
    fn an_object_is_told_by_its_name_and_one_without_by_what_is_known() {
        for (key, name, words) in [
            (ZONE, "example.com", "example.com"),
            (ZONE, "", "domain 23f8d65290b24279ba6f44721b3eaad5"),
            (EVERY_ZONE, "", "every domain"),
            ("com.cloudflare.edge.worker.script.*", "", "every Worker"),
            (ACCOUNT, "", "the whole account"),
            (WORKER, "checkout-api", "checkout-api"),
            (BUCKET, "", "my_logs"),
            (APP, "", "Access application f174e90a-fafe-4643-bbbc-4a0ed4fc8415"),
            ("com.cloudflare.edge.d1.database.7", "", "com.cloudflare.edge.d1.database.7"),
        ] {
            assert_eq!(told(key, name), words);
        }
    }

    #[test]
    fn a_scope_is_told_by_its_first_name_and_how_many_more_there_are() {
        let few = scope(&[(ZONE, "shop.example"), (WORKER, "checkout-api"), (APP, "")]);
        assert_eq!(few.in_short(0).as_deref(), Some("checkout-api and 2 more"));
        assert_eq!(few.in_short(7).as_deref(), Some("checkout-api and 9 more"));
        assert_eq!(few.told()[2], "Access application f174e90a-fafe-4643-bbbc-4a0ed4fc8415");
        assert_eq!(scope(&[(EVERY_ZONE, ""), (WORKER, "a")]).in_short(0).as_deref(), Some("every domain and 1 more"));
        assert_eq!(scope(&[(ZONE, "shop.example")]).in_short(0).as_deref(), Some("shop.example"));
        assert_eq!(scope(&[(ZONE, ""), (APP, "")]).in_short(0), None, "no name at all");
        assert_eq!(Scope::default().in_short(0), None);
    }

    #[test]
    fn a_wildcard_and_the_account_have_an_object_in_them_and_another_object_has_not() {
        let other = "com.cloudflare.api.account.zone.0";
        for (key, object, is_in) in [
            (ZONE, ZONE, true),
            (EVERY_ZONE, ZONE, true),
            (ACCOUNT, ZONE, true),
            (ACCOUNT, WORKER, true),
            (other, ZONE, false),
            (EVERY_ZONE, WORKER, false),
            (ZONE, EVERY_ZONE, false),
            ("com.cloudflare.x.*", ZONE, false),
        ] {
            assert_eq!(covers(key, object), is_in, "{key} {object}");
        }
    }
}
