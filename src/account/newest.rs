//! The newest generation, which the Coordinator knows of before every place has seen KV's pointer to it.

use super::Stopped;
use crate::base::ports::{KeyValue, Sql};
use crate::model::kind::Kind;
use crate::snapshot::{self, Snapshot, SnapshotError, last_published};

/// The newest generation that can be read.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    /// The generation; none where none can be read.
    pub snapshot: Option<Snapshot>,
    /// Whether it is the one that was published last, or nothing ever was: what it does not have, the account did not have at the last sync.
    pub is_last: bool,
}

impl Newest {
    /// The generation that was published last; "not now" where it cannot be read yet, or there was no sync.
    pub fn last(&self) -> Result<&Snapshot, Stopped> {
        match &self.snapshot {
            Some(snapshot) if self.is_last => Ok(snapshot),
            Some(_) => Err(Stopped::NotNow("the newest sync's result has not reached this place yet".to_owned())),
            None => Err(Stopped::NotNow("no sync of the Cloudflare account can be read yet".to_owned())),
        }
    }

    /// Whether there may be user groups though Cloudflare has no list of them now, which may be so for a moment only: the last sync read the list, or
    /// met the same fault and kept what was known, or it cannot be read what that sync found.
    pub fn may_have_user_groups(&self) -> bool {
        let known = self.snapshot.as_ref().map(Snapshot::manifest);
        !self.is_last
            || known.is_some_and(|known| {
                known.counts.of(Kind::Group) > 0 || known.capabilities.get("user_groups").is_some_and(|list| list.on)
            })
    }
}

/// Opens the newest generation. Where KV still shows an older one, or none, the newer is opened by its own name.
pub async fn newest<P: KeyValue + Sql>(ports: &P) -> Result<Newest, Stopped> {
    let (seen, is_here) = match snapshot::latest(ports).await {
        Ok(seen) => (seen, true),
        // Named, and on its way.
        Err(SnapshotError::NotReplicated(_)) => (None, false),
        Err(error) => return Err(error.into()),
    };
    let Some(last) = last_published(ports)? else {
        // What KV shows though nothing was published that is known of may be of long ago: the storage was lost, or what it published.
        return Ok(Newest { is_last: is_here && seen.is_none(), snapshot: seen });
    };
    if let Some(snapshot) = seen.as_ref().filter(|seen| seen.manifest().generation >= last) {
        return Ok(Newest { snapshot: Some(snapshot.clone()), is_last: true });
    }
    match Snapshot::open(ports, &last).await {
        Ok(snapshot) => Ok(Newest { snapshot: Some(snapshot), is_last: true }),
        Err(SnapshotError::Gone(_) | SnapshotError::NotReplicated(_)) => Ok(Newest { snapshot: seen, is_last: false }),
        Err(error) => Err(error.into()),
    }
}
