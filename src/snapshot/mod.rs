//! The snapshot: what a sync found, as immutable values in KV.
//!
//! Rows ([`Row`](crate::model::resource::Row), as JSON lines) are sorted by key and cut into chunks whose ends the content decides; each chunk is stored
//! under its own SHA-256. A manifest lists the chunks of a generation; `current` names the generation that readers begin
//! with, and is written last.
//!
//! All of it stands in the connector's own [`Space`](crate::base::space::Space): another account, or another Worker, never meets it.
//!
//! **Invariants:** a value under `chunk/` or `manifest/` never changes; `current` names a manifest all of whose chunks were
//! written before; a reader that stays with one generation sees one account, whatever is published meanwhile.

mod amend;
mod catalogue;
mod chunk;
mod diff;
mod keys;
mod legacy;
mod manifest;
mod overlay;
mod publish;
mod read;
mod run;
mod scan;
#[cfg(test)]
mod tests;

pub use amend::{AmendError, amend};
pub use catalogue::{Catalogue, CatalogueEntry};
pub use diff::{Change, ChangeKind, Changes, diff};
pub use keys::Values;
pub(crate) use legacy::{account_of, leave_at_the_root};
pub use manifest::{
    ABSENT, Capability, ChunkRef, Counts, FAILED, GenerationId, Manifest, Naming, Posture, TAKEN_LATER, TELLS_MORE,
    Unreadable,
};
pub use overlay::Overlay;
pub use publish::{Draft, KEPT, Publication, PublishError, init, is_kept, publish, sweep};
pub(crate) use publish::{forget, last_published, repoint};
pub use read::{Brief, Person, Snapshot, SnapshotError, latest};
pub use run::{BY_LOG, ChangeCounts, KvUse, RunId, RunOutcome, RunRecord};
pub use scan::{RowPage, Scan};
