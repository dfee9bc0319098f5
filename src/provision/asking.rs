//! What a change of somebody's access goes by, from the guards to the write.

use super::lock::Locks;
use super::settings::Settings;
use crate::cloudflare::Client;
use crate::model::operation::EntryId;

/// What the guards ask with.
pub(super) struct Asking<'w, 'a, P> {
    pub(super) ports: &'a P,
    pub(super) settings: &'a Settings,
    pub(super) locks: &'a Locks,
    pub(super) client: &'w Client<'a, P>,
    /// The operation that the change is for: what it removes is counted as its.
    pub(super) operation: EntryId,
    /// Whether it is tried again by itself: what was asked once, without a key, is not, and must not happen later.
    pub(super) comes_again: bool,
    /// The addresses by which the person was asked for: who is protected may have another one by now.
    pub(super) asked_for: &'w [String],
}
