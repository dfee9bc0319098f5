//! Looking for a person: in a generation, or in Cloudflare's own list of the members.

use crate::base::tree::BTreeSet;

use super::Stopped;
use super::looked_through::{self, LookedThrough, MANY_PAGES, Reading};
use super::person::{Candidates, Meant, has_address};
use crate::base::ports::{Clock, Http, KeyValue, Sql, SqlError};
use crate::cloudflare::{ApiError, Client, MemberRecord, PER_PAGE};
use crate::model::address;
use crate::model::ask::{Action, Subject};
use crate::model::grant::Principal;
use crate::model::id::{MemberId, UserId};
use crate::model::kind::Kind;
use crate::model::operation::EntryId;
use crate::model::resource::{Member, MemberStatus, Row};
use crate::snapshot::{Snapshot, SnapshotError};

/// 50,000 members; the search gives up beyond that rather than spend all of provisioning's requests on one person.
const MAX_PAGES: u32 = 1_000;

/// For how long a list that tells of more than it shows is left alone before it is read again: a page may have come without some of what is on it, and what
/// was made by somebody else a moment ago may be counted and not listed yet (`reference/cloudflare.md` 2.4: reads catch up within seconds).
const PAUSE_MILLIS: u32 = 5_000;

/// Whom a request means in a generation: the member whom provisioning would change.
pub async fn in_snapshot<P: KeyValue>(
    ports: &P,
    snapshot: &Snapshot,
    subject: &Subject,
    action: Action,
) -> Result<Meant<Member>, SnapshotError> {
    let mut candidates = Candidates::of(subject);
    if let Some(user) = subject.user_id {
        let row = snapshot.get(ports, &Principal::User(user).to_string()).await?;
        if let Some(member) = row.as_ref().and_then(Row::as_member) {
            candidates.see(member.clone());
        }
    }
    if !candidates.is_settled() {
        snapshot
            .each(ports, Kind::PEOPLE, |row| {
                if let Some(member) = row.as_member() {
                    candidates.see(member.clone());
                }
            })
            .await?;
    }
    Ok(candidates.meant(action))
}

/// The membership that the subject probably has, without asking Cloudflare: what the last sync told C1, or what the snapshot says
/// of the user or the e-mail address. A hint, and no more: what is read under it is judged by what was asked.
pub async fn probable<P: KeyValue>(
    ports: &P,
    snapshot: Option<&Snapshot>,
    subject: &Subject,
) -> Result<Option<MemberId>, SnapshotError> {
    if subject.member_id.is_some() {
        return Ok(subject.member_id);
    }
    let Some(snapshot) = snapshot else { return Ok(None) };
    Ok(match in_snapshot(ports, snapshot, subject, Action::Revoke).await? {
        Meant::One(member) => Some(member.member_id),
        Meant::Nobody | Meant::Unclear(_) => None,
    })
}

/// The membership that the snapshot has of the subject's user or address: whoever was invited again since C1 read of them has another one
/// than C1 knows, and may slip from one page of the list to another while it is read.
pub async fn by_snapshot<P: KeyValue>(
    ports: &P,
    snapshot: Option<&Snapshot>,
    subject: &Subject,
) -> Result<Option<MemberId>, SnapshotError> {
    if subject.member_id.is_none() {
        return Ok(None);
    }
    probable(ports, snapshot, &Subject { member_id: None, ..subject.clone() }).await
}

/// Looks for the subject in Cloudflare's list of members, beside what was `read` of single ones. The list is ordered by e-mail
/// address, so a dozen pages settle an address in an account of any size; where a page turns out to be in another order than ours
/// (nothing documents the collation), and where an id has to be looked for, every page is read.
///
/// That nobody is meant is said only where everything was read, and nothing changed meanwhile: of a revoke always, since that nobody has an
/// address in its place is no proof where the order is another; of a grant where it `must_read_all`, as where Cloudflare says that somebody has
/// the address. Where nothing but the list speaks of them, none of their memberships being known and `seen` to be gone, it is read twice:
/// who slips from one page to another while it is read is on none, and where somebody leaves and somebody comes there are as many as before. So it
/// is where one attempt was not enough: the longer the list takes, the sooner somebody slips. And so it is where the list tells of more than it shows.
pub async fn in_account<P: Http + Clock + Sql>(
    client: &Client<'_, P>,
    subject: &Subject,
    action: Action,
    read: Vec<MemberRecord>,
    seen: Seen,
) -> Result<Meant<MemberRecord>, Stopped> {
    let mut pages = Pages {
        client,
        candidates: Candidates::of(subject),
        subject,
        total: 1,
        members: None,
        counted: None,
        moved: false,
        unseen: 0,
        ordered: action == Action::Grant && !seen.must_read_all,
        reading: Reading::First,
        operation: seen.operation,
        read: BTreeSet::new(),
        is_resumed: false,
        ids: BTreeSet::new(),
        odd_ones: 0,
        by_user: subject.user_id.filter(|_| action == Action::Revoke),
        odd: None,
    };
    for member in read {
        pages.candidates.see(member);
    }
    pages.look().await?;
    // A grant to nobody is an invitation, which Cloudflare refuses where there is somebody.
    if action == Action::Revoke
        && pages.proves_nobody()
        && (pages.unseen > 0 || (pages.total > 1 && (!seen.is_known || pages.is_resumed)))
    {
        pages.look_once_more().await?;
    }
    if !pages.candidates.is_settled() {
        if let Some(odd) = pages.odd {
            // Somebody may have the address, and it cannot be read who: that is not nobody.
            return Err(odd.into());
        }
        if pages.moved {
            pages.forget_progress()?;
            return Err(Stopped::NotNow("the list of members changed while it was looked through".to_owned()));
        }
        if pages.total > MAX_PAGES && pages.needs_all() {
            return Err(Stopped::NotNow(format!(
                "the list of members has {} pages, and {MAX_PAGES} are looked through at most",
                pages.total
            )));
        }
    }
    pages.forget_progress()?;
    let meant = pages.candidates.meant(action);
    if matches!(meant, Meant::Nobody) && pages.unseen > 0 && seen.is_recent {
        let message = "the list of members tells of more of them than it shows, and may not show yet who was made a member a moment ago";
        return Err(Stopped::NotNow(message.to_owned()));
    }
    Ok(meant)
}

/// The membership that has an address.
pub async fn by_address<P: Http + Clock + Sql>(
    client: &Client<'_, P>,
    email: &str,
) -> Result<Option<MemberRecord>, Stopped> {
    Ok(match in_account(client, &Subject::of_email(email), Action::Grant, Vec::new(), Seen::default()).await? {
        Meant::One(member) => Some(member),
        Meant::Nobody | Meant::Unclear(_) => None,
    })
}

/// What was seen of somebody before the list is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Whether a place in the list proves nothing, as where Cloudflare says that somebody has the address.
    pub must_read_all: bool,
    /// Whether a membership of theirs was known, and asked for by its id.
    pub is_known: bool,
    /// Whether they are asked for since so short a while that somebody may be there whom the list, which is behind, only counts.
    pub is_recent: bool,
    /// The operation that looks for them, which goes on where its last attempt was cut off. It looks for nobody else.
    pub operation: Option<EntryId>,
}

/// The pages of the members list, as far as the search has seen them.
struct Pages<'a, 'b, P> {
    client: &'a Client<'b, P>,
    subject: &'a Subject,
    candidates: Candidates<'a, MemberRecord>,
    total: u32,
    /// How many members the list says there are, and how many pages.
    members: Option<u32>,
    counted: Option<u32>,
    /// Whether one of them changed, so that somebody may have slipped from one page to another.
    moved: bool,
    /// How many more members it tells of than were seen on it.
    unseen: u32,
    /// Whether the order of the addresses is known to be ours, and is to be relied on.
    ordered: bool,
    reading: Reading,
    operation: Option<EntryId>,
    /// Those that were read in this reading, the earlier attempts at the operation included.
    read: BTreeSet<u32>,
    /// Whether there were earlier attempts.
    is_resumed: bool,
    /// Who is on them.
    ids: BTreeSet<MemberId>,
    /// How many are on them whose record cannot be read.
    odd_ones: u32,
    /// The user who loses something, whatever the address is by now.
    by_user: Option<UserId>,
    /// A record that may be the subject's, and cannot be read.
    odd: Option<ApiError>,
}

impl<P: Http + Clock + Sql> Pages<'_, '_, P> {
    async fn look(&mut self) -> Result<(), ApiError> {
        if !self.needs_all() || !self.resume()? {
            self.visit(1).await?;
            for email in &self.subject.emails {
                if self.is_enough() {
                    return Ok(());
                }
                self.seek(&address::folded(email)).await?;
            }
            if self.is_enough() || !self.needs_all() {
                return Ok(());
            }
            self.resume()?;
        }
        let mut number = 1;
        while number <= self.total.min(MAX_PAGES) && !self.candidates.is_settled() && !self.is_in_vain() {
            if !self.read.contains(&number) {
                self.visit(number).await?;
            }
            number += 1;
        }
        Ok(())
    }

    /// Whether all pages were read, and nobody on them is meant.
    fn proves_nobody(&mut self) -> bool {
        if self.is_enough() || !self.needs_all() || self.total > MAX_PAGES {
            return false;
        }
        // Fewer than are told: a page came without some or all of its members. Or who is on two pages has come from one to the other, as may have who is
        // on none. Or Cloudflare goes on counting whom it does not list, such as those who declined: then it shows the same ones again.
        let seen = u32::try_from(self.ids.len()).unwrap_or(u32::MAX).saturating_add(self.odd_ones);
        self.unseen = self.members.map_or(0, |told| told.saturating_sub(seen));
        !self.moved
    }

    /// Reads the list once more, from its end: the same have to be on it.
    async fn look_once_more(&mut self) -> Result<(), ApiError> {
        if self.unseen > 0 {
            // Whoever waits sits on no seat.
            self.client.rest();
            self.client.ports.sleep(PAUSE_MILLIS).await;
        }
        let (before, total) = (std::mem::take(&mut self.ids), self.total);
        (self.odd_ones, self.reading, self.read) = (0, Reading::Again, BTreeSet::new());
        self.resume()?;
        for number in (1..=total).rev() {
            if !self.read.contains(&number) {
                self.visit(number).await?;
            }
            if self.is_enough() || self.is_in_vain() {
                return Ok(());
            }
        }
        self.moved |= self.ids != before || self.total != total;
        Ok(())
    }

    /// Whether the order of the addresses does not help: an id has to be looked for, which may have any address by now.
    fn needs_all(&self) -> bool {
        // Nobody knows where a list puts what is not ASCII.
        let elsewhere = |email: &String| !email.is_ascii() || email.contains("xn--");
        let emails = &self.subject.emails;
        !self.ordered || self.subject.user_id.is_some() || emails.is_empty() || emails.iter().any(elsewhere)
    }

    /// Whether the rest of the list cannot make a difference: somebody is known by an id, or by the only address that there is.
    fn is_enough(&self) -> bool {
        let is_alone = self.subject.user_id.is_none() && self.subject.emails.len() == 1;
        self.candidates.is_settled() || (is_alone && self.candidates.has_address())
    }

    /// Whether a long list changed meanwhile: the rest of it would prove nothing either.
    const fn is_in_vain(&self) -> bool {
        self.moved && self.total > MANY_PAGES
    }

    /// Reads the page on which an address would stand.
    async fn seek(&mut self, email: &str) -> Result<(), ApiError> {
        let (mut low, mut high) = (1, self.total);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match self.visit(middle).await? {
                Some(first) if first.as_str() <= email => low = middle,
                _ => high = middle - 1,
            }
            if self.is_enough() {
                return Ok(());
            }
        }
        if !self.read.contains(&low) {
            self.visit(low).await?;
        }
        Ok(())
    }

    /// Takes over what earlier attempts at the operation have looked through in this reading; whether there was anything.
    fn resume(&mut self) -> Result<bool, SqlError> {
        let Some(operation) = self.operation else { return Ok(false) };
        let looked = looked_through::pages(self.client.ports, operation, self.reading)?;
        for page in &looked {
            self.take(page);
        }
        self.is_resumed |= !looked.is_empty();
        Ok(!looked.is_empty())
    }

    /// The next search of the operation reads all of the list: this one is over, or what it has read proves nothing any more.
    fn forget_progress(&self) -> Result<(), SqlError> {
        self.operation.map_or(Ok(()), |operation| looked_through::forget(self.client.ports, operation))
    }

    /// Takes note of a page, and of what it tells of the list.
    fn take(&mut self, page: &LookedThrough) {
        self.ordered &= page.is_counted;
        if let Some(members) = page.members {
            self.moved |= self.members.is_some_and(|before| before != members);
            self.members = Some(members);
        }
        if page.is_counted && self.counted != Some(page.pages) {
            self.moved |= self.counted.is_some();
            (self.total, self.counted) = (page.pages, Some(page.pages));
        } else {
            // What is counted once more takes no page away that is known to be there.
            self.total = page.pages.max(self.total);
        }
        if self.read.insert(page.page) {
            self.odd_ones += page.odd;
        }
        self.ids.extend(&page.ids);
    }

    /// Reads a page; the first address on it, in lower case.
    async fn visit(&mut self, number: u32) -> Result<Option<String>, ApiError> {
        let page = self.client.members_page(number).await?;
        let pages = page.pages(number, PER_PAGE);
        let looked = LookedThrough {
            page: number,
            pages: pages.max(1),
            is_counted: page.is_counted(pages),
            members: page.info.as_ref().and_then(|info| info.total_count),
            ids: page.items.iter().map(|member| member.id).collect(),
            odd: u32::try_from(page.odd.len()).unwrap_or(u32::MAX),
        };
        self.take(&looked);
        let mut matters = false;
        let addresses: Vec<String> = page.items.iter().map(|member| address::folded(&member.email)).collect();
        self.ordered &= addresses.is_sorted();
        let wanted = self.by_user;
        for member in page.items {
            if wanted.is_some() && member.status == MemberStatus::Accepted && member.user_id.is_none() {
                self.odd =
                    Some(ApiError::Unreadable { of: member.email.clone(), what: "user.id is missing".to_owned() });
                matters = true;
            }
            matters |= self.candidates.see(member);
        }
        let odd = page.odd.into_iter().find(|odd| {
            let named = odd.name.as_deref().map(|email| has_address(self.subject, email));
            // Whose user id cannot be read may be anybody.
            let user: Option<UserId> = odd.user.as_deref().and_then(|user| user.parse().ok());
            named.unwrap_or(true)
                || (self.subject.member_id.is_some() && odd.parsed() == self.subject.member_id)
                || (wanted.is_some() && (user.is_none() || user == wanted))
        });
        if let Some(odd) = odd {
            let of = odd.name.or(odd.id).unwrap_or_else(|| "a member without an address".to_owned());
            self.odd = Some(ApiError::Unreadable { of, what: odd.why });
            matters = true;
        }
        if let Some(operation) = self.operation.filter(|_| !matters && self.needs_all()) {
            looked_through::note(self.client.ports, operation, self.reading, &looked)?;
        }
        Ok(addresses.into_iter().next())
    }
}
