//! The tables of a `.c1z`, and which rows a resource has in them.

use crate::base::tree::{BTreeMap, BTreeSet};

use super::sync_id;
use crate::export::baton::{self, EmbeddedResource};
use crate::export::directory::Directory;
use crate::export::insight::{Insight, Insights};
use crate::export::sqlite::{SqliteError, Table, Value, Writer};
use crate::model::grant::{Entitlement, Principal};
use crate::model::offer::Offer;
use crate::model::resource::{Member, Row};
use crate::snapshot::Manifest;

/// The tables, with the columns of the newest `baton-sdk` (`reference/conductorone.md` 4.2). Without indexes: who opens the
/// file makes them.
pub(super) const TABLES: [Table; 7] = [
    Table {
        name: "v1_resource_types",
        sql: "CREATE TABLE v1_resource_types (id integer primary key, external_id text not null, data blob not null, \
              sync_id text not null, discovered_at datetime not null)",
    },
    Table {
        name: "v1_resources",
        sql: "CREATE TABLE v1_resources (id integer primary key, resource_type_id text not null, \
              external_id text not null, parent_resource_type_id text, parent_resource_id text, data blob not null, \
              sync_id text not null, discovered_at datetime not null)",
    },
    Table {
        name: "v1_entitlements",
        sql: "CREATE TABLE v1_entitlements (id integer primary key, resource_type_id text not null, \
              resource_id text not null, external_id text not null, data blob not null, sync_id text not null, \
              discovered_at datetime not null)",
    },
    Table {
        name: "v1_grants",
        sql: "CREATE TABLE v1_grants (id integer primary key, resource_type_id text not null, \
              resource_id text not null, entitlement_id text not null, principal_resource_type_id text not null, \
              principal_resource_id text not null, external_id text not null, expansion blob, \
              needs_expansion integer not null default 0, data blob not null, sync_id text not null, \
              discovered_at datetime not null)",
    },
    Table {
        name: "v1_assets",
        sql: "CREATE TABLE v1_assets (id integer primary key, external_id text not null, content_type text not null, \
              data blob not null, sync_id text not null, discovered_at datetime not null)",
    },
    Table {
        name: "v1_sync_runs",
        sql: "CREATE TABLE v1_sync_runs (id integer primary key, sync_id text not null, started_at datetime not null, \
              ended_at datetime, sync_token text not null, sync_type text not null default 'full', \
              parent_sync_id text not null default '', linked_sync_id text not null default '', \
              supports_diff integer not null default 0, grants_backfilled integer not null default 0, stats text, \
              ingest_invariant_generation text not null default '', \
              ingest_invariant_coverage text not null default '', ingest_invariant_mode text not null default '')",
    },
    Table {
        name: "v1_connector_sessions",
        sql: "CREATE TABLE v1_connector_sessions (id integer primary key, sync_id text not null, key text not null, \
              value blob not null)",
    },
];

const RESOURCE_TYPES: usize = 0;
const RESOURCES: usize = 1;
const ENTITLEMENTS: usize = 2;
const GRANTS: usize = 3;
const SYNC_RUNS: usize = 5;

/// What the rows of a generation have in common.
pub(super) struct Rows {
    directory: Directory,
    offers: BTreeMap<Entitlement, (Offer, EmbeddedResource)>,
    insights: Insights,
    /// The keys of what an insight is about.
    wanted: BTreeSet<String>,
    /// Those of them that the file has, with the e-mail address, of people. An insight about something else was found in another generation.
    met: BTreeMap<String, Option<String>>,
    sync_id: String,
    discovered_at: String,
}

impl Rows {
    pub(super) fn new(directory: Directory, insights: Insights, manifest: &Manifest) -> Self {
        let offers = directory
            .offers()
            .filter_map(|(entitlement, row)| Some((entitlement, (row.offer()?, EmbeddedResource::of(row)))))
            .collect();
        let sync_id = sync_id::of(manifest, &insights);
        let wanted = insights.all().iter().map(Insight::key).collect();
        let met = directory.untold().iter().map(|row| (row.key(), None)).collect();
        Self { directory, offers, insights, wanted, met, sync_id, discovered_at: manifest.finished_at.datetime() }
    }

    /// Looks at a row before the first is appended: whether an insight is about it.
    pub(super) fn see(&mut self, row: &Row) {
        if !self.wanted.is_empty() {
            let key = row.key();
            if self.wanted.contains(&key) {
                let email = row.as_member().map(|member| member.email.clone()).filter(|email| !email.is_empty());
                self.met.insert(key, email);
            }
        }
    }

    /// Appends what comes before all resources: their types.
    pub(super) fn begin(&self, writer: &mut Writer) -> Result<(), SqliteError> {
        for (id, data) in baton::resource_types() {
            self.resource_type(id, &data, writer)?;
        }
        Ok(())
    }

    fn resource_type(&self, id: &str, data: &[u8], writer: &mut Writer) -> Result<(), SqliteError> {
        writer.append(RESOURCE_TYPES, &[Value::Text(id), Value::Blob(data), self.sync(), self.discovered()])
    }

    /// Appends a resource, what it offers, and what it holds.
    pub(super) fn resource(&self, row: &Row, manifest: &Manifest, writer: &mut Writer) -> Result<(), SqliteError> {
        let (kind, id, data) = baton::resource(row);
        self.one(kind.as_str(), &id, &data, writer)?;
        if let Some((offer, embedded)) = row.offer().and_then(|offer| self.offers.get(&offer.entitlement)) {
            writer.append(
                ENTITLEMENTS,
                &[
                    Value::Text(kind.as_str()),
                    Value::Text(&id),
                    Value::Text(&offer.entitlement.to_string()),
                    Value::Blob(&baton::entitlement(offer, embedded)),
                    self.sync(),
                    self.discovered(),
                ],
            )?;
        }
        self.grants(row, manifest, writer)
    }

    fn one(&self, kind: &str, id: &str, data: &[u8], writer: &mut Writer) -> Result<(), SqliteError> {
        writer.append(
            RESOURCES,
            &[
                Value::Text(kind),
                Value::Text(&format!("{kind}:{id}")),
                Value::Null,
                Value::Null,
                Value::Blob(data),
                self.sync(),
                self.discovered(),
            ],
        )
    }

    fn grants(&self, row: &Row, manifest: &Manifest, writer: &mut Writer) -> Result<(), SqliteError> {
        let Some((principal, held)) = self.directory.held(row, manifest) else { return Ok(()) };
        let member = row.as_member().map(|member: &Member| member.member_id);
        let expansion = match principal {
            Principal::Group(group) => Some(baton::expansion(group)),
            Principal::User(_) | Principal::Invitation(_) => None,
        };
        let principal_id = principal.id();
        for held in held {
            let Some((offer, embedded)) = self.offers.get(&held.entitlement) else { continue };
            writer.append(
                GRANTS,
                &[
                    Value::Text(embedded.kind.as_str()),
                    Value::Text(&embedded.id),
                    Value::Text(&offer.entitlement.to_string()),
                    Value::Text(principal.kind().as_str()),
                    Value::Text(&principal_id),
                    Value::Text(&offer.entitlement.grant_id(principal)),
                    expansion.as_deref().map_or(Value::Null, Value::Blob),
                    // The grants come expanded (`directory::PersonGrant`). C1's compactor and its incremental expansion choose what to
                    // expand by this mark all the same: with 0 a member who joins the group later would get nothing.
                    Value::Integer(i64::from(expansion.is_some())),
                    Value::Blob(&baton::grant(&held, offer, embedded, principal, member)),
                    self.sync(),
                    self.discovered(),
                ],
            )?;
        }
        Ok(())
    }

    /// Appends what comes after all resources: those that no row tells of, the insights, and the sync, which is finished.
    pub(super) fn end(&self, manifest: &Manifest, writer: &mut Writer) -> Result<(), SqliteError> {
        for row in self.directory.untold() {
            self.resource(row, manifest, writer)?;
        }
        let mut is_first = true;
        for insight in self.insights.all() {
            let Some(address) = self.met.get(&insight.key()) else { continue };
            if std::mem::take(&mut is_first) {
                self.resource_type(baton::INSIGHT, &baton::insight_type(), writer)?;
            }
            self.one(baton::INSIGHT, &insight.id, &baton::insight(insight, address.as_deref()), writer)?;
        }
        let empty = Value::Text("");
        let (started, ended) = (manifest.started_at.datetime(), manifest.finished_at.datetime());
        writer.append(
            SYNC_RUNS,
            &[
                self.sync(),
                Value::Text(&started),
                Value::Text(&ended),
                empty,
                Value::Text("full"),
                empty,
                empty,
                // `supports_diff`: without it C1's diff and rollback refuse the file.
                Value::Integer(1),
                Value::Integer(1),
                Value::Null,
                empty,
                empty,
                empty,
            ],
        )
    }

    fn sync(&self) -> Value<'_> {
        Value::Text(&self.sync_id)
    }

    fn discovered(&self) -> Value<'_> {
        Value::Text(&self.discovered_at)
    }
}
