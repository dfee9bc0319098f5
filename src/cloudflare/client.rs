//! Sends requests to the Cloudflare API and reads their answers; the calls themselves are in `members`, `access`, `groups`,
//! `tokens` and `account`.

use std::cell::{Cell, RefCell};
use std::fmt;

use futures::future::Either;
use serde_json::Value;

use super::budget::{Budget, Purpose};
use super::call::{Call, MAX_BODY, MAX_LONG_BODY};
use super::envelope::{Envelope, Presence, refusal};
use super::error::{ApiError, Failure, classify, presentable, unanswered};
use super::odd::Odd;
use super::settings::Settings;
use crate::base::json::{self, Deserialize};
use crate::base::ports::{Clock, Http, HttpError, HttpRequest, HttpResponse, Method, Sql};
use crate::base::seats::{Seat, Seats};
use crate::base::time::Timestamp;

pub use super::envelope::PageInfo;

/// The Cloudflare API of the configured account.
///
/// It retries nothing: whoever calls knows how long it may wait. Requests are counted in the shared budget as they are
/// sent, and a request beyond it is not sent ([`ApiError::OutOfBudget`]).
pub struct Client<'a, P> {
    /// What it asks with.
    pub ports: &'a P,
    settings: &'a Settings,
    budget: RefCell<Budget<'a>>,
    seats: Option<&'a Seats>,
    seat: RefCell<Option<Seat>>,
    sent: Cell<u32>,
    asked_at: Cell<Option<Timestamp>>,
    ray: RefCell<Option<String>>,
}

impl<P> fmt::Debug for Client<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("budget", &self.budget).field("sent", &self.sent).finish_non_exhaustive()
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage<T> {
    /// The items.
    pub items: Vec<T>,
    /// Records that are on it and cannot be read.
    pub odd: Vec<Odd>,
    /// Where the page stands, in the lists that say so.
    pub info: Option<PageInfo>,
}

impl PageInfo {
    /// How many pages the list has, where that is told. A page may say one thing in `total_pages` and another in `total_count`: the larger
    /// number loses nothing.
    fn pages(&self) -> Option<u32> {
        let counted = self.total_count.zip(self.per_page).map(|(count, size)| count.div_ceil(size.max(1)));
        self.total_pages.max(counted)
    }

    /// The same without totals that the page itself contradicts, which has so many records: a list that had none would end before them, and
    /// whatever is on the pages after this one would be taken for gone.
    fn believable(self, here: usize) -> Self {
        let tells_fewer = self.total_count.is_some_and(|total| usize::try_from(total).is_ok_and(|total| total < here));
        let tells_none = here > 0 && self.total_pages == Some(0);
        if tells_fewer || tells_none { Self { total_count: None, total_pages: None, ..self } } else { self }
    }
}

impl<T> ListPage<T> {
    /// The same of the list of members, which no account is without: where its first page has nothing on it, the list did not come.
    pub(super) fn peopled(self, page: u32) -> Result<Self, ApiError> {
        if page > 1 || !self.items.is_empty() || !self.odd.is_empty() {
            return Ok(self);
        }
        Err(incredible("there is no member on it, and no account is without one"))
    }

    /// Whether it tells so many pages of the list, and has nothing that speaks against that.
    pub fn is_counted(&self, pages: u32) -> bool {
        self.info.as_ref().and_then(PageInfo::pages) == Some(pages)
    }

    /// How many pages the list has at least, as far as this one tells, which has a number and may have `size` records. Where it does not tell, or
    /// tells of fewer records than the full pages up to this one have, a full page is followed by another. What is on a page is on the list.
    pub fn pages(&self, number: u32, size: u32) -> u32 {
        pages(self.info.as_ref(), self.items.len() + self.odd.len(), number, size)
    }
}

/// Whether a list tells of fewer records than the full pages up to this one have: the total is too low then, and a full page is followed by another.
pub fn counts_too_few(total: Option<u32>, page: u32, full: u32) -> bool {
    total.is_some_and(|total| total < page.saturating_mul(full))
}

/// Of all kinds of records one.
fn pages(info: Option<&PageInfo>, here: usize, number: u32, size: u32) -> u32 {
    let full = info.and_then(|info| info.per_page).unwrap_or(size);
    let is_full = here > 0 && u32::try_from(here).is_ok_and(|here| here >= full);
    let is_low = counts_too_few(info.and_then(|info| info.total_count), number, full);
    let next = number.saturating_add(is_full.into());
    match info.and_then(PageInfo::pages) {
        Some(told) if here > 0 => told.max(if is_low { next } else { number }),
        told => told.unwrap_or(next),
    }
}

/// Reads may take 30 s, writes 60 s (`reference/cloudflare.md` 3.5).
pub(crate) const READ_MILLIS: u32 = 30_000;
pub(crate) const WRITE_MILLIS: u32 = 60_000;

/// Who finds no seat within this comes again later: what is left of an attempt's 20 s has to do for its requests.
const SEAT_MILLIS: u32 = 8_000;

/// A page with more records than this has few bad ones.
const FEW: u32 = 5;

/// What a page tells beside the records that can be read.
type Beside = (Vec<Odd>, Option<PageInfo>);

/// Takes in the records of an answer; none of them where it is a page of another size than was asked for.
type Take<'a> = &'a mut dyn FnMut(&HttpResponse, Option<u32>) -> Result<Option<Beside>, ApiError>;

/// A record that is read from an answer's `result`.
pub(super) trait Record: Sized {
    /// The shape on the wire.
    type Wire<'de>: Deserialize<'de>;

    /// Reads the record; an error names the field.
    fn read(wire: Self::Wire<'_>) -> Result<Self, String>;
}

impl<'a, P: Http + Clock + Sql> Client<'a, P> {
    /// A client for one purpose; make a new one for each step or operation.
    pub fn new(ports: &'a P, settings: &'a Settings, purpose: Purpose) -> Self {
        Self {
            ports,
            settings,
            budget: RefCell::new(Budget::new(ports, purpose)),
            seats: None,
            seat: RefCell::default(),
            sent: Cell::new(0),
            asked_at: Cell::new(None),
            ray: RefCell::default(),
        }
    }

    /// Counts what is sent from now on as sent for a person: no one's operations use up the budget of all.
    #[must_use]
    pub fn for_person(self, person: &str) -> Self {
        self.budget.borrow_mut().for_person(person);
        self
    }

    /// Sends only while it has one of the seats, which it takes with its first request and has until it [rests](Self::rest).
    #[must_use]
    pub fn seated(mut self, seats: &'a Seats) -> Self {
        self.seats = Some(seats);
        self
    }

    /// Gives the seat up. Whoever is about to wait for something else than Cloudflare does so: a seat that is sat on while others
    /// are waited for, who need one themselves, would never be free again.
    pub fn rest(&self) {
        self.seat.replace(None);
    }

    /// Whether the next request is sent without waiting for a seat.
    pub fn is_seated(&self) -> bool {
        self.seats.is_none() || self.seat.borrow().is_some()
    }

    async fn sit(&self) -> Result<(), ApiError> {
        let Some(seats) = self.seats.filter(|_| !self.is_seated()) else { return Ok(()) };
        let seat = seats.take(self.ports, SEAT_MILLIS).await.ok_or(ApiError::NoSeat)?;
        self.seat.replace(Some(seat));
        Ok(())
    }

    /// How many requests this client has sent.
    pub fn sent(&self) -> u32 {
        self.sent.get()
    }

    /// When the last request of this client was sent.
    pub fn asked_at(&self) -> Option<Timestamp> {
        self.asked_at.get()
    }

    /// The `cf-ray` of the last answer to this client, where it had one.
    pub fn ray(&self) -> Option<String> {
        self.ray.borrow().clone()
    }

    /// Which account, and with what its API is called.
    pub fn settings(&self) -> &'a Settings {
        self.settings
    }

    /// A path of the account, such as `/accounts/<id>/members`.
    pub(super) fn account_path(&self, rest: &str) -> String {
        format!("/accounts/{}{rest}", self.settings.account_id)
    }

    /// Reads one object.
    pub(super) async fn object<T: Record>(&self, call: Call) -> Result<T, ApiError> {
        let response = self.call(call).await?;
        T::read(self.told::<T::Wire<'_>>(&response)?).map_err(|what| malformed(&format!("result: {what}"), &response))
    }

    /// Reads one object, which came, and may be odd: then the inner error says what of it cannot be read.
    pub(super) async fn record<T: Record>(&self, call: Call) -> Result<Result<T, String>, ApiError> {
        let response = self.call(call).await?;
        // What is read in one go is read fastest; why it cannot be is looked for where it fails.
        if let Ok(Ok(read)) = self.told::<T::Wire<'_>>(&response).map(T::read) {
            return Ok(Ok(read));
        }
        Ok(record(&self.told::<Value>(&response)?).map_err(|why| presentable(&why, "")))
    }

    fn told<'de, T: Deserialize<'de>>(&self, response: &'de HttpResponse) -> Result<T, ApiError> {
        match self.envelope::<T>(response)?.result {
            Presence::Is(told) => Ok(told),
            Presence::Null | Presence::Absent => Err(malformed("result is missing", response)),
        }
    }

    /// Reads one page of a list. A record that cannot be read stops no other.
    pub(super) async fn page<T: Record>(&self, call: Call) -> Result<ListPage<T>, ApiError> {
        self.read_page(&self.call(call).await?)
    }

    fn read_page<T: Record>(&self, response: &HttpResponse) -> Result<ListPage<T>, ApiError> {
        // What is read in one go is read fastest; the records are looked at one by one where that fails.
        match self.envelope::<Vec<T::Wire<'_>>>(response) {
            Ok(Envelope { result: Presence::Is(wire), result_info, .. }) => {
                if let Ok(items) = wire.into_iter().map(T::read).collect::<Result<Vec<_>, _>>() {
                    let info = result_info.map(|info| info.believable(items.len()));
                    return Ok(ListPage { items, odd: Vec::new(), info });
                }
            }
            Ok(_) | Err(ApiError::Malformed { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut items = Vec::new();
        let (odd, info) = self.one_by_one(response, &mut |told| record(told).map(|item| items.push(item)))?;
        Ok(ListPage { items, odd, info })
    }

    /// The records of a page, whatever is in them, one by one: `read` takes one, or says why it cannot be read.
    fn one_by_one(
        &self,
        response: &HttpResponse,
        read: &mut dyn FnMut(&Value) -> Result<(), String>,
    ) -> Result<Beside, ApiError> {
        let envelope = self.envelope::<Vec<Value>>(response)?;
        let info = envelope.result_info;
        let records = match envelope.result {
            Presence::Is(records) => records,
            // Nothing where something was counted is no empty list.
            Presence::Null if info.as_ref().and_then(|info| info.count).is_some_and(|count| count > 0) => {
                return Err(malformed("result is null", response));
            }
            Presence::Null => Vec::new(),
            Presence::Absent => return Err(malformed("result is missing", response)),
        };
        let info = info.map(|info| info.believable(records.len()));
        let odd = records.iter().filter_map(|told| Some(Odd::of(told, &read(told).err()?))).collect();
        Ok((odd, info))
    }

    /// Reads one page of a list, of the first of `sizes`. A page that is longer than what is read in one go is read in pages of the
    /// sizes after it, each of which divides the one before; a record that is too long even so is named as one that cannot be
    /// read. `path` makes the path of a page, by its number and size.
    pub(super) async fn page_of<T: Record>(
        &self,
        page: u32,
        sizes: &[u32],
        path: impl Fn(u32, u32) -> String,
    ) -> Result<ListPage<T>, ApiError> {
        self.parts(page, sizes, &path, None).await
    }

    /// [`Self::page_of`], unless something is known by the very bytes that came: then that, and nothing of the page is read.
    pub(super) async fn page_unless<T: Record, K>(
        &self,
        page: u32,
        sizes: &[u32],
        path: impl Fn(u32, u32) -> String,
        known: impl AsyncFnOnce(&[u8]) -> Option<K>,
    ) -> Result<Either<K, ListPage<T>>, ApiError> {
        let first = self.call(call_for(&path, page, whole_page(sizes))).await;
        if let Ok(response) = &first
            && let Some(known) = known(&response.body).await
        {
            return Ok(Either::Left(known));
        }
        self.parts(page, sizes, &path, Some(first)).await.map(Either::Right)
    }

    /// Reads what came of a page in one, or the page in parts.
    async fn parts<T: Record>(
        &self,
        page: u32,
        sizes: &[u32],
        path: &dyn Fn(u32, u32) -> String,
        first: Option<Result<HttpResponse, ApiError>>,
    ) -> Result<ListPage<T>, ApiError> {
        let mut items = Vec::new();
        let take: Take<'_> = &mut |response, size| {
            let part = self.read_page::<T>(response)?;
            let applied = part.info.as_ref().and_then(|info| info.per_page);
            if size.is_some_and(|size| applied.is_some_and(|applied| applied != size)) {
                return Ok(None);
            }
            items.extend(part.items);
            Ok(Some((part.odd, part.info)))
        };
        let (odd, info) = self.each_part(page, sizes, path, first, take).await?;
        if items.is_empty() && info.is_none() && !odd.is_empty() {
            // Nothing came of it at all, not even how long the list is.
            return Err(ApiError::Transport(HttpError::TooLarge(MAX_LONG_BODY)));
        }
        Ok(ListPage { items, odd, info })
    }

    /// The same for records of whatever type, of which `take` takes those of a part: it is compiled once.
    async fn each_part(
        &self,
        page: u32,
        sizes: &[u32],
        path: &dyn Fn(u32, u32) -> String,
        mut first: Option<Result<HttpResponse, ApiError>>,
        take: Take<'_>,
    ) -> Result<Beside, ApiError> {
        let whole = whole_page(sizes);
        let (mut odd, mut info): Beside = (Vec::new(), None);
        // Last in, first out: the parts of a page that is too long are read before what comes after it.
        let mut to_read = vec![(page, 0)];
        while let Some((number, place)) = to_read.pop() {
            let size = sizes.get(place).copied().unwrap_or(whole);
            let before = number.saturating_sub(1).saturating_mul(size);
            let told = info.as_ref().and_then(|info| info.total_count);
            if place > 0 && told.is_some_and(|total| before >= total) {
                continue;
            }
            let response = match first.take() {
                Some(first) => first,
                None => self.call(call_for(path, number, size)).await,
            };
            let part = match response.and_then(|response| take(&response, (place > 0).then_some(size))) {
                Err(ApiError::Transport(HttpError::TooLarge(_))) => None,
                // Smaller pages than are documented may be refused, or answered with larger ones, which are others.
                Err(ApiError::Invalid(_)) if size < FEW => None,
                part => part?,
            };
            match (part, sizes.get(place + 1)) {
                (Some((strange, told)), _) => {
                    odd.extend(strange);
                    let told = told.map(|told| PageInfo {
                        page: Some(page),
                        per_page: if place == 0 { told.per_page } else { Some(whole) },
                        total_pages: if place == 0 {
                            told.total_pages
                        } else {
                            told.total_count.map(|total| total.div_ceil(whole))
                        },
                        ..told
                    });
                    info = info.or(told);
                }
                (None, Some(&smaller)) => {
                    let parts = size / smaller.max(1);
                    let first = number.saturating_sub(1).saturating_mul(parts) + 1;
                    to_read.extend((first..first.saturating_add(parts)).rev().map(|number| (number, place + 1)));
                }
                (None, None) => odd.push(Odd::unseen(before + 1, most_bytes(size))),
            }
        }
        Ok((odd, info))
    }

    /// Calls, and looks at nothing but whether it succeeded.
    pub(super) async fn done(&self, call: Call) -> Result<(), ApiError> {
        let response = self.call(call).await?;
        self.envelope::<serde::de::IgnoredAny>(&response).map(drop)
    }

    fn envelope<'de, T: Deserialize<'de>>(&self, response: &'de HttpResponse) -> Result<Envelope<T>, ApiError> {
        match json::read::<Envelope<T>>(&response.body) {
            Ok(envelope) if envelope.success != Some(false) => Ok(envelope),
            read => Err(self.no_envelope(read.err(), response)),
        }
    }

    /// The error that an answer is which cannot be read, or which says that it is no success.
    fn no_envelope(&self, error: Option<serde_json::Error>, response: &HttpResponse) -> ApiError {
        match error {
            Some(error) if !refusal(&response.body).success_is_false => malformed(&error.to_string(), response),
            _ => self.refused(response),
        }
    }

    /// Calls; an answer that comes back has a successful status.
    pub(super) async fn call(&self, mut call: Call) -> Result<HttpResponse, ApiError> {
        self.sit().await?;
        self.budget.borrow_mut().spend(self.ports.now())?;
        self.sent.set(self.sent.get() + 1);
        self.asked_at.set(Some(self.ports.now()));
        self.ray.replace(None);
        let mut headers = vec![
            ("Accept", "application/json".to_owned()),
            ("User-Agent", concat!("c1-cloudflare/", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        let body = call.take_body().map(|body| {
            headers.push(("Content-Type", "application/json".to_owned()));
            body.to_string().into_bytes()
        });
        let request = HttpRequest {
            method: call.method(),
            url: format!("{}{}", self.settings.url, call.path()),
            headers,
            bearer: Some(self.settings.token.clone()),
            body,
            timeout_millis: if call.method() == Method::Get { READ_MILLIS } else { WRITE_MILLIS },
            max_bytes: call.max_bytes(),
        };
        let response = self.ports.send(request).await.map_err(|error| unanswered(error, self.seats.is_some()))?;
        self.ray.replace(ray(&response));
        if (200..300).contains(&response.status) {
            // What the answer says of the rate is a hint; a failure to note it must not turn a success into an error.
            let _ = self.budget.borrow().observe(&response, None, self.ports.now());
            return Ok(response);
        }
        Err(self.refused(&response))
    }

    fn refused(&self, response: &HttpResponse) -> ApiError {
        let refusal = refusal(&response.body);
        let now = self.ports.now();
        let noted = self.budget.borrow().observe(response, refusal.retry_after, now);
        let failure = Failure {
            status: response.status,
            code: refusal.code,
            message: presentable(&refusal.message, self.settings.token.expose()),
            ray: ray(response),
        };
        // What the account has and the token may is the API's to say, in its own form. Whatever stands before it may have no such page, or let
        // nobody through, for a while; and what is gone or refused is so for good here.
        if matches!(failure.status, 400..=499) && failure.status != 429 && !refusal.is_the_apis {
            return ApiError::Server(failure);
        }
        classify(failure, noted.unwrap_or_else(|_| now.plus_secs(60)))
    }
}

/// How many records a page has that is not read in parts.
fn whole_page(sizes: &[u32]) -> u32 {
    sizes.first().copied().unwrap_or(super::PER_PAGE)
}

/// The longest that a page of so many records may be.
const fn most_bytes(size: u32) -> usize {
    if size <= FEW { MAX_LONG_BODY } else { MAX_BODY }
}

/// The call for a page, by its number and size.
fn call_for(path: &dyn Fn(u32, u32) -> String, number: u32, size: u32) -> Call {
    Call::get(path(number, size)).up_to(most_bytes(size))
}

/// Reads one record. It goes through its text, as every other does: a second deserialiser of each kind would make the Worker larger.
fn record<T: Record>(told: &Value) -> Result<T, String> {
    let text = serde_json::to_vec(told).map_err(|error| error.to_string())?;
    let wire = json::read::<T::Wire<'_>>(&text).map_err(|error| error.to_string())?;
    T::read(wire)
}

/// An answer about something else than was asked for is none: what it tells is somebody else's.
pub(super) fn asked_for<T: PartialEq + fmt::Display>(asked: &T, told: &T) -> Result<(), ApiError> {
    if asked == told {
        return Ok(());
    }
    Err(incredible(&format!("the answer is about {told}, and {asked} was asked for")))
}

/// A successful answer that can be read, and cannot be so.
pub(super) fn incredible(what: &str) -> ApiError {
    ApiError::Malformed { what: presentable(what, ""), failure: Failure { status: 200, ..Failure::default() } }
}

pub(super) fn malformed(what: &str, response: &HttpResponse) -> ApiError {
    ApiError::Malformed {
        what: presentable(what, ""),
        failure: Failure { status: response.status, ray: ray(response), ..Failure::default() },
    }
}

fn ray(response: &HttpResponse) -> Option<String> {
    response.header("cf-ray").map(|ray| ray.chars().take(64).collect())
}

/// A field that must be there.
pub(super) fn required<T>(value: Option<T>, name: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("{name} is missing"))
}

/// An id that must be there and be one.
pub(super) fn id<T: std::str::FromStr<Err = crate::model::id::InvalidId>>(
    text: Option<&str>,
    name: &str,
) -> Result<T, String> {
    required(text, name)?.parse().map_err(|error| format!("{name}: {error}"))
}

/// There was no Cloudflare before 2009.
const FIRST: Timestamp = Timestamp::from_secs(1_230_768_000);

/// When something is or was: some parts of Cloudflare write a time of the first year for none.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).filter(|at| *at > FIRST)
}

/// A text that is worth keeping.
pub(super) fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}
