//! Whom a request means, by strength: the Cloudflare user id, which never changes; then the membership id together with the
//! e-mail address; then the address alone, which its owner can change.
//!
//! What is asked for is given to somebody only where ids and address agree, since the address is what was approved. What is taken away
//! is taken from whom the user id names, whatever the address is by now.

use crate::cloudflare::MemberRecord;
use crate::model::address;
use crate::model::ask::{Action, Subject};
use crate::model::id::{MemberId, UserId};
use crate::model::resource::Member;

/// A membership, as Cloudflare tells it or as a generation has it.
pub trait Membership {
    /// Its id.
    fn id(&self) -> MemberId;
    /// The Cloudflare user, where the person has one.
    fn user(&self) -> Option<UserId>;
    /// The e-mail address.
    fn address(&self) -> &str;
}

impl Membership for MemberRecord {
    fn id(&self) -> MemberId {
        self.id
    }

    fn user(&self) -> Option<UserId> {
        self.user_id
    }

    fn address(&self) -> &str {
        &self.email
    }
}

impl Membership for Member {
    fn id(&self) -> MemberId {
        self.member_id
    }

    fn user(&self) -> Option<UserId> {
        self.user_id
    }

    fn address(&self) -> &str {
        &self.email
    }
}

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant<T> {
    /// This one.
    One(T),
    /// Nobody of those who were seen.
    Nobody,
    /// It is not clear; a sentence that says why, and what to do.
    Unclear(String),
}

/// Whether an address is one of the subject's.
pub fn has_address(subject: &Subject, address: &str) -> bool {
    subject.emails.iter().any(|known| address::same(known, address))
}

/// The memberships that may be the subject's, of all that were seen.
#[derive(Debug)]
pub struct Candidates<'a, T> {
    subject: &'a Subject,
    found: Vec<T>,
}

impl<'a, T: Membership> Candidates<'a, T> {
    /// None yet.
    pub const fn of(subject: &'a Subject) -> Self {
        Self { subject, found: Vec::new() }
    }

    /// Looks at a membership; whether it may be the subject's. One that was seen before, by its id, stays as it was first seen.
    pub fn see(&mut self, seen: T) -> bool {
        let subject = self.subject;
        let may_be =
            self.is_user(&seen) || subject.member_id == Some(seen.id()) || has_address(subject, seen.address());
        if may_be && !self.found.iter().any(|known| known.id() == seen.id()) {
            self.found.push(seen);
        }
        may_be
    }

    /// Whether no membership that was not seen yet could make a difference.
    pub fn is_settled(&self) -> bool {
        self.found.iter().any(|seen| self.is_user(seen) || (self.is_open(seen) && self.is_membership(seen)))
    }

    /// Whether somebody has one of the subject's addresses, and no id speaks against it.
    pub fn has_address(&self) -> bool {
        self.found.iter().any(|seen| self.is_open(seen) && has_address(self.subject, seen.address()))
    }

    /// Who is meant.
    pub fn meant(mut self, action: Action) -> Meant<T> {
        match self.choose(action) {
            Ok(Some(place)) => Meant::One(self.found.swap_remove(place)),
            Ok(None) => Meant::Nobody,
            Err(why) => Meant::Unclear(why),
        }
    }

    fn choose(&self, action: Action) -> Result<Option<usize>, String> {
        let all = || self.found.iter().enumerate();
        let subject = self.subject;
        if let Some((place, seen)) = all().find(|(_, seen)| self.is_user(*seen)) {
            return match action {
                Action::Grant if !self.agrees(seen) => Err(self.disagreement(seen)),
                Action::Grant | Action::Revoke => Ok(Some(place)),
            };
        }
        let mut open = all().filter(|(_, seen)| self.is_open(*seen));
        if let Some((place, seen)) = open.clone().find(|(_, seen)| subject.member_id == Some(seen.id())) {
            return if self.agrees(seen) { Ok(Some(place)) } else { Err(self.disagreement(seen)) };
        }
        match (open.next(), open.next()) {
            (Some((place, _)), None) => Ok(Some(place)),
            (Some((_, one)), Some((_, other))) => Err(format!(
                "{} and {} are both members of the Cloudflare account and both addresses of the one account that ConductorOne names, so it is not clear who is meant, and nothing was changed; sync this connector in ConductorOne, so that the account carries its ids, or correct its addresses there.",
                one.address(),
                other.address()
            )),
            // Somebody else by the user id; whose membership id it was does not matter, whose address it is does.
            (None, _) => match all().find(|(_, seen)| has_address(subject, seen.address())) {
                Some((_, seen)) => Err(self.disagreement(seen)),
                None => Ok(None),
            },
        }
    }

    fn is_user(&self, seen: &T) -> bool {
        seen.user().is_some() && seen.user() == self.subject.user_id
    }

    /// Whether the user ids do not speak against it.
    fn is_open(&self, seen: &T) -> bool {
        !self.subject.is_another(seen.user())
    }

    fn is_membership(&self, seen: &T) -> bool {
        self.subject.member_id == Some(seen.id()) && self.agrees(seen)
    }

    /// Whether the address does not speak against it.
    fn agrees(&self, seen: &T) -> bool {
        self.subject.emails.is_empty() || has_address(self.subject, seen.address())
    }

    fn disagreement(&self, seen: &T) -> String {
        let asked = self.subject.shown();
        let mut ids = vec![format!("membership {}", seen.id())];
        ids.extend(seen.user().map(|user| format!("user {user}")));
        format!(
            "ConductorOne asks for {asked}, and the ids that it has do not fit: {} of the Cloudflare account is {}, so it is not clear who is meant, and nothing was changed; sync this connector in ConductorOne, so that it knows the person's address and ids of today, then ask again.",
            ids.join(", "),
            seen.address()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Candidates, Meant, MemberId, Membership, Subject, UserId};

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Seat(u8, Option<u8>, &'static str);

    fn id<T: std::str::FromStr<Err = crate::model::id::InvalidId>>(n: u8) -> T {
        format!("{n:032x}").parse().unwrap()
    }

    impl Membership for Seat {
        fn id(&self) -> MemberId {
            id(self.0)
        }

        fn user(&self) -> Option<UserId> {
            self.1.map(id)
        }

        fn address(&self) -> &str {
            self.2
        }
    }

    /// A subject by user, membership and addresses.
    fn subject(user: Option<u8>, member: Option<u8>, emails: &[&str]) -> Subject {
        Subject {
            emails: emails.iter().map(|email| (*email).to_owned()).collect(),
            member_id: member.map(id),
            user_id: user.map(id),
            ..Subject::default()
        }
    }

    /// Whom a grant and a revoke mean among Jane, her other account, and somebody who was invited: the membership's number, 0 for
    /// nobody, 255 where it is not clear.
    fn check(subject: &Subject, granted: u8, revoked: u8) {
        let seats = [
            Seat(1, Some(101), "jane@example.com"),
            Seat(2, Some(102), "jane.root@example.com"),
            Seat(3, None, "new@example.com"),
        ];
        for (action, expected) in [(Action::Grant, granted), (Action::Revoke, revoked)] {
            for backwards in [false, true] {
                let mut candidates = Candidates::of(subject);
                let mut seats = seats.to_vec();
                if backwards {
                    seats.reverse();
                }
                for seat in seats {
                    candidates.see(seat);
                }
                let settled = candidates.is_settled();
                let found = match candidates.meant(action) {
                    Meant::One(seat) => seat.0,
                    Meant::Nobody => 0,
                    Meant::Unclear(why) => {
                        assert!(why.ends_with('.') && why.contains("nothing was changed"), "{why}");
                        255
                    }
                };
                assert_eq!(found, expected, "{action:?} {subject:?}");
                assert!(!settled || found != 0, "{subject:?}");
            }
        }
    }

    #[test]
    fn ids_and_address_that_agree_are_the_person() {
        check(&subject(Some(101), Some(1), &["Jane@Example.com"]), 1, 1);
        check(&subject(None, Some(1), &["jane@example.com"]), 1, 1);
        check(&subject(None, None, &["jane@example.com"]), 1, 1);
        check(&subject(Some(101), None, &[]), 1, 1);
        check(&subject(None, Some(3), &[]), 3, 3);
        check(&subject(None, Some(3), &["new@example.com"]), 3, 3);
    }

    #[test]
    fn a_renamed_member_loses_what_is_revoked_and_is_given_nothing_under_the_old_address() {
        check(&subject(Some(101), Some(1), &["jane.maiden@example.com"]), 255, 1);
        check(&subject(Some(101), Some(9), &["jane.maiden@example.com"]), 255, 1);
    }

    #[test]
    fn an_outdated_membership_id_does_not_speak_against_the_rest() {
        check(&subject(Some(101), Some(9), &["jane@example.com"]), 1, 1);
        check(&subject(None, Some(9), &["jane@example.com"]), 1, 1);
        // It is somebody else's by the user id.
        check(&subject(Some(101), Some(2), &["jane@example.com"]), 1, 1);
        check(&subject(Some(109), Some(1), &["gone@example.com"]), 0, 0);
    }

    #[test]
    fn what_disagrees_is_not_clear() {
        check(&subject(None, Some(2), &["jane@example.com"]), 255, 255);
        check(&subject(Some(109), None, &["jane@example.com"]), 255, 255);
        check(&subject(Some(109), Some(1), &["jane@example.com"]), 255, 255);
    }

    #[test]
    fn several_who_match_are_not_clear_unless_an_id_decides() {
        let both = ["jane@example.com", "jane.root@example.com"];
        check(&subject(None, None, &both), 255, 255);
        check(&subject(None, Some(9), &both), 255, 255);
        check(&subject(Some(102), None, &both), 2, 2);
        check(&subject(None, Some(1), &both), 1, 1);
    }

    #[test]
    fn nobody_is_nobody() {
        check(&subject(Some(109), Some(9), &["gone@example.com"]), 0, 0);
        check(&subject(None, None, &["gone@example.com"]), 0, 0);
        check(&subject(None, None, &[]), 0, 0);
    }
}
