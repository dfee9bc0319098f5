//! A read that those have in common who want it at the same moment.

use std::cell::RefCell;
use std::rc::Rc;

use crate::cloudflare::{ApiError, UserGroup};

/// The user groups of the account, as Cloudflare tells now.
#[derive(Debug)]
pub(super) enum UserGroups {
    /// All of them.
    Listed(Vec<UserGroup>),
    /// The account has no such thing: Cloudflare does not know the path.
    Absent,
    /// The token may not see them.
    Hidden(ApiError),
}

impl UserGroups {
    /// Those that are told.
    pub(super) fn listed(&self) -> &[UserGroup] {
        match self {
            Self::Listed(groups) => groups,
            Self::Absent | Self::Hidden(_) => &[],
        }
    }
}

/// The account's user groups as one read of them told, for everybody who asked before that read was begun. In memory, and no longer than
/// somebody waits: what is shared is a read, and not a memory of what there was.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedReads(Rc<RefCell<Reads>>);

#[derive(Debug, Default)]
struct Reads {
    /// How many have asked so far.
    asked: u64,
    waiting: usize,
    /// The last read that came to its end, and how many had asked when it was begun.
    last: Option<(u64, Rc<UserGroups>)>,
}

/// One who asks for the user groups; the number says after how many.
#[derive(Debug)]
pub(super) struct Asker<'s> {
    shared: &'s SharedReads,
    number: u64,
}

impl SharedReads {
    pub(super) fn ask(&self) -> Asker<'_> {
        let mut reads = self.0.borrow_mut();
        reads.asked += 1;
        reads.waiting += 1;
        Asker { shared: self, number: reads.asked }
    }

    pub(super) fn asked(&self) -> u64 {
        self.0.borrow().asked
    }

    pub(super) fn keep(&self, begun: u64, groups: &Rc<UserGroups>) {
        self.0.borrow_mut().last = Some((begun, groups.clone()));
    }
}

impl Asker<'_> {
    /// What was read since this one asked.
    pub(super) fn read_since(&self) -> Option<Rc<UserGroups>> {
        let reads = self.shared.0.borrow();
        reads.last.as_ref().filter(|(begun, _)| *begun >= self.number).map(|(_, groups)| groups.clone())
    }
}

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        let mut reads = self.shared.0.borrow_mut();
        reads.waiting -= 1;
        if reads.waiting == 0 {
            reads.last = None;
        }
    }
}
