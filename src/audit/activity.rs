//! Who last changed something in the account, when, through what, and in which products: what the log tells of a person's activity.
//! A change is no login, and who only reads leaves no entry.

use serde::Serialize;

use super::entries;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::time::Timestamp;
use crate::base::tree::BTreeMap;
use crate::cloudflare::AuditEntry;
use crate::model::id::UserId;
use crate::model::signs::Signs;

/// Products that were not touched for longer are forgotten, and at most this many are kept of a person.
const PRODUCT_DAYS: i64 = 90;
const MOST_PRODUCTS: usize = 30;

/// What is known of a person's activity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// When the person last changed something.
    pub last_change_at: Option<Timestamp>,
    /// Through what.
    pub last_change_from: Option<String>,
    /// The products that the person changed something in, each with the day when that last was so.
    pub products: BTreeMap<String, String>,
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    for table in ["activity", "activity_shown"] {
        let statement = format!(
            "CREATE TABLE IF NOT EXISTS {table} ( \
            user TEXT PRIMARY KEY, version INTEGER NOT NULL DEFAULT 1, at INTEGER NOT NULL, through TEXT NOT NULL, \
            products TEXT NOT NULL) WITHOUT ROWID"
        );
        sql.run(&statement, &[])?;
    }
    Ok(())
}

/// Keeps what is known by now as what rows show from now on.
pub(super) fn show(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run("DELETE FROM activity_shown", &[])?;
    sql.run(
        "INSERT INTO activity_shown (user, at, through, products) SELECT user, at, through, products FROM activity",
        &[],
    )
}

/// What rows show of everybody who ever changed something, as of a day.
pub(super) fn shown(sql: &dyn Sql, day: &str) -> Result<BTreeMap<UserId, Signs>, SqlError> {
    let oldest = Timestamp::parse(day).map(|day| day.plus_secs(-PRODUCT_DAYS * 86_400).date()).unwrap_or_default();
    let mut shown = BTreeMap::new();
    for row in sql.query("SELECT user, at, through, products FROM activity_shown", &[])? {
        let Some((user, rest)) = row.split_first() else { continue };
        let Some((user, known)) = user.text().and_then(|user| user.parse().ok()).zip(activity(rest)) else { continue };
        let signs = Signs {
            last_login_day: None,
            last_change_day: known.last_change_at.map(Timestamp::date),
            last_change_from: known.last_change_from,
            products: known
                .products
                .into_iter()
                .filter(|(_, day)| *day >= oldest)
                .map(|(product, _)| product)
                .collect(),
        };
        shown.insert(user, signs);
    }
    Ok(shown)
}

/// Takes note of a page: one row for each person on it who has done something that is not noted yet.
pub(super) fn note(sql: &dyn Sql, page: &[AuditEntry], now: Timestamp) -> Result<(), SqlError> {
    let mut seen: BTreeMap<UserId, Activity> = BTreeMap::new();
    for entry in page.iter().filter(|entry| entry.actor_type.as_deref() == Some("user")) {
        let (Some(at), Some(user)) = (entry.at, entry.actor_id.as_deref().and_then(|id| id.parse().ok())) else {
            continue;
        };
        // A clock that is ahead must not make anybody look active for ever.
        let at = at.min(now);
        let one = seen.entry(user).or_default();
        if one.last_change_at.is_none_or(|known| known < at) {
            (one.last_change_at, one.last_change_from) = (Some(at), Some(entries::author(entry).through));
        }
        if let Some(product) = &entry.product {
            let day = one.products.entry(product.clone()).or_default();
            *day = at.date().max(std::mem::take(day));
        }
    }
    for (user, one) in seen {
        let Some(at) = one.last_change_at else { continue };
        let known = of(sql, user)?.unwrap_or_default();
        let mut products = known.products.clone();
        for (product, day) in one.products {
            let known = products.entry(product).or_default();
            *known = day.max(std::mem::take(known));
        }
        let oldest = now.plus_secs(-PRODUCT_DAYS * 86_400).date();
        products.retain(|_, day| *day >= oldest);
        while products.len() > MOST_PRODUCTS {
            let Some(least) = products.iter().min_by_key(|(_, day)| *day).map(|(product, _)| product.clone()) else {
                break;
            };
            products.remove(&least);
        }
        let is_newer = known.last_change_at.is_none_or(|known| known < at);
        if !is_newer && products == known.products {
            continue;
        }
        let (at, through) = if is_newer {
            (at, one.last_change_from)
        } else {
            (known.last_change_at.unwrap_or(at), known.last_change_from)
        };
        sql.run(
            "INSERT OR REPLACE INTO activity (user, at, through, products) VALUES (?, ?, ?, ?)",
            &[
                user.to_string().into(),
                at.into(),
                through.unwrap_or_default().into(),
                serde_json::to_string(&products)?.into(),
            ],
        )?;
    }
    Ok(())
}

/// Forgets who is no member any more and changed nothing for 90 days. Who left a while ago may come back, and was not silent before.
pub fn forget_others(sql: &dyn Sql, now: Timestamp, is_there: impl Fn(UserId) -> bool) -> Result<(), SqlError> {
    let before = now.plus_secs(-PRODUCT_DAYS * 86_400);
    for row in sql.query("SELECT user FROM activity WHERE at < ?", &[before.into()])? {
        let Some(user) = row.first().and_then(SqlValue::text) else { continue };
        if !user.parse().is_ok_and(&is_there) {
            sql.run("DELETE FROM activity WHERE user = ?", &[user.into()])?;
        }
    }
    Ok(())
}

/// When each person last changed something.
pub(super) fn last_changes(sql: &dyn Sql) -> Result<BTreeMap<UserId, Timestamp>, SqlError> {
    let rows = sql.query("SELECT user, at FROM activity", &[])?;
    let read = |row: &Vec<SqlValue>| {
        let [user, at] = row.as_slice() else { return None };
        Some((user.text()?.parse().ok()?, at.time()?))
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// What is known of a person.
pub fn of(sql: &dyn Sql, user: UserId) -> Result<Option<Activity>, SqlError> {
    let rows = sql.query("SELECT at, through, products FROM activity WHERE user = ?", &[user.to_string().into()])?;
    Ok(rows.first().and_then(|row| activity(row)))
}

fn activity(row: &[SqlValue]) -> Option<Activity> {
    let [at, through, products] = row else { return None };
    Some(Activity {
        last_change_at: Some(at.time()?),
        last_change_from: through.text().filter(|text| !text.is_empty()).map(str::to_owned),
        products: json::read_str(products.text()?).ok()?,
    })
}
