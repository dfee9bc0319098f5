//! What can be granted, by entitlement: held in memory while a file is made, since every grant tells of it.

use crate::base::tree::BTreeMap;

use super::chunks::{Chunks, Cursor};
use crate::model::grant::{Entitlement, Principal};
use crate::model::id::UserGroupId;
use crate::model::kind::Kind;
use crate::model::offer::Offer;
use crate::model::resource::Row;
use crate::snapshot::{Manifest, SnapshotError};

/// Everything that can be granted in a generation.
#[derive(Debug, Default)]
pub(super) struct Directory {
    offers: BTreeMap<Entitlement, Row>,
    /// What each user group holds, sorted.
    groups: BTreeMap<UserGroupId, Vec<Entitlement>>,
    /// Resources that somebody holds and no row tells of.
    untold: Vec<Row>,
}

/// One entitlement of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PersonGrant {
    pub(super) entitlement: Entitlement,
    /// Whether the person has it by a policy or a membership of their own.
    pub(super) direct: bool,
    /// The user groups the person has it through, sorted.
    pub(super) through: Vec<UserGroupId>,
}

impl Directory {
    /// Reads the rows that offer something; it takes the few chunks that may have them.
    pub(super) async fn read<F>(chunks: &Chunks<'_, F>) -> Result<Self, SnapshotError> {
        let mut directory = Self::default();
        let mut cursor = Cursor::default();
        while let Some(row) = cursor.next(chunks, Kind::OFFERING).await? {
            directory.take(row, chunks.manifest());
        }
        for entitlement in chunks.manifest().listed().flatten() {
            if !directory.offers.contains_key(&entitlement) {
                let row = Row::untold(entitlement);
                directory.untold.push(row.clone());
                directory.offers.insert(entitlement, row);
            }
        }
        Ok(directory)
    }

    fn take(&mut self, row: Row, manifest: &Manifest) {
        let Some(offer) = row.offer() else { return };
        if let Row::Group(group) = &row {
            let held = manifest.grants_of(&row).into_iter().map(|(entitlement, _)| entitlement).collect();
            self.groups.insert(group.id, held);
        }
        self.offers.insert(offer.entitlement, row);
    }

    /// Everything that is offered, in the order of entitlements.
    pub(super) fn offers(&self) -> impl Iterator<Item = (Entitlement, &Row)> {
        self.offers.iter().map(|(entitlement, row)| (*entitlement, row))
    }

    /// The resource that offers an entitlement.
    pub(super) fn resource(&self, entitlement: Entitlement) -> Option<&Row> {
        self.offers.get(&entitlement)
    }

    /// What is said of an entitlement.
    pub(super) fn offer(&self, entitlement: Entitlement) -> Option<(&Row, Offer)> {
        let row = self.resource(entitlement)?;
        Some((row, row.offer()?))
    }

    /// Resources that are held, and that no row of the generation tells of: known by their ids alone.
    pub(super) fn untold(&self) -> &[Row] {
        &self.untold
    }

    /// Everything a person or group holds, sorted, each once: what is their own, and for a person what comes through user
    /// groups as well.
    pub(super) fn held(&self, row: &Row, manifest: &Manifest) -> Option<(Principal, Vec<PersonGrant>)> {
        let (principal, _, groups) = row.holder()?;
        let own = manifest.grants_of(row).into_iter().map(|(entitlement, _)| entitlement);
        let mut held: BTreeMap<Entitlement, PersonGrant> = own
            .map(|entitlement| (entitlement, PersonGrant { entitlement, direct: true, through: Vec::new() }))
            .collect();
        for group in groups {
            for &entitlement in self.groups.get(group).map(Vec::as_slice).unwrap_or_default() {
                let entry =
                    held.entry(entitlement).or_insert(PersonGrant { entitlement, direct: false, through: Vec::new() });
                entry.through.push(*group);
            }
        }
        Some((principal, held.into_values().collect()))
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::{Chunks, Directory};
    use crate::export::testing::{account, published};
    use crate::model::grant::Entitlement;
    use crate::snapshot::Catalogue;

    #[test]
    fn files_offer_what_the_catalogue_has_under_the_same_names() {
        let (desk, snapshot) = published(account(20));
        let catalogue = block_on(Catalogue::load(&desk, &snapshot)).unwrap();
        let directory = block_on(Directory::read(&Chunks::new(&desk, snapshot))).unwrap();
        let offers: Vec<(Entitlement, String)> =
            directory.offers().map(|(entitlement, row)| (entitlement, row.display_name())).collect();
        let known: Vec<(Entitlement, String)> = catalogue.iter().map(|it| (it.entitlement, it.name.clone())).collect();
        assert_eq!((offers, directory.untold().len()), (known, 0));
    }
}
