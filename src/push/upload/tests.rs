//! The upload against a store in memory that can be cut off and go wrong.

use crate::base::tree::BTreeMap;
use std::cell::{Cell, RefCell};

use futures::executor::block_on;

use super::{File, Part, Pending, Source, StoreError, Target, UploadError, UploadProgress, has_begun, init, upload};
use crate::base::fakes::Desk;
use crate::base::jobs::{self, Attempt, JobKind};
use crate::base::ports::{Clock as _, Sql as _};
use crate::export::ExportError;

const SIZE: usize = 10;

/// A store in which each request takes a second.
struct Store<'a> {
    desk: &'a Desk,
    object: RefCell<Option<Vec<u8>>>,
    uploads: RefCell<BTreeMap<String, BTreeMap<u32, Vec<u8>>>>,
    calls: RefCell<Vec<String>>,
    /// The requests that fail: the text of the call, and the error.
    fails: RefCell<Vec<(&'static str, StoreError)>>,
    begun: Cell<u32>,
}

impl<'a> Store<'a> {
    fn new(desk: &'a Desk) -> Self {
        Self {
            desk,
            object: RefCell::default(),
            uploads: RefCell::default(),
            calls: RefCell::default(),
            fails: RefCell::default(),
            begun: Cell::new(0),
        }
    }

    fn call(&self, text: String) -> Result<(), StoreError> {
        self.desk.advance(1);
        let mut fails = self.fails.borrow_mut();
        let failing = fails.iter().position(|(call, _)| *call == text);
        self.calls.borrow_mut().push(text);
        failing.map_or(Ok(()), |at| Err(fails.remove(at).1))
    }

    fn take_calls(&self) -> Vec<String> {
        self.calls.take()
    }
}

impl Target for Store<'_> {
    fn name(&self) -> String {
        "the store".to_owned()
    }

    fn place(&self) -> String {
        "https://store.example.com/file".to_owned()
    }

    async fn put(&self, body: Vec<u8>) -> Result<(), StoreError> {
        self.call("put".to_owned())?;
        *self.object.borrow_mut() = Some(body);
        Ok(())
    }

    async fn begin(&self, _subject: &str) -> Result<String, StoreError> {
        self.call("begin".to_owned())?;
        self.begun.set(self.begun.get() + 1);
        let upload = format!("u{}", self.begun.get());
        self.uploads.borrow_mut().insert(upload.clone(), BTreeMap::new());
        Ok(upload)
    }

    async fn part(&self, upload: &str, number: u32, body: Vec<u8>) -> Result<String, StoreError> {
        self.call(format!("part {number}"))?;
        let mut uploads = self.uploads.borrow_mut();
        uploads.get_mut(upload).ok_or(StoreError::UnknownUpload)?.insert(number, body);
        Ok(format!("{upload}/{number}"))
    }

    async fn complete(&self, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        self.call("complete".to_owned())?;
        let there = self.uploads.borrow_mut().remove(upload).ok_or(StoreError::UnknownUpload)?;
        let tags: Vec<String> = there.keys().map(|number| format!("{upload}/{number}")).collect();
        assert_eq!(parts.iter().map(|part| part.tag.clone()).collect::<Vec<_>>(), tags);
        *self.object.borrow_mut() = Some(there.into_values().flatten().collect());
        Ok(())
    }

    async fn abort(&self, upload: &str) -> Result<(), StoreError> {
        self.call(format!("abort {upload}"))?;
        self.uploads.borrow_mut().remove(upload).map(drop).ok_or(StoreError::UnknownUpload)
    }
}

/// Some text, in pieces of seven bytes.
struct Pieces(Vec<u8>);

impl Source for Pieces {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, ExportError> {
        let piece: Vec<u8> = self.0.drain(..self.0.len().min(7)).collect();
        Ok((!piece.is_empty()).then_some(piece))
    }
}

fn attempt(
    desk: &Desk,
    store: &Store<'_>,
    subject: &str,
    text: &str,
    secs: i64,
) -> Result<UploadProgress, UploadError> {
    let until = desk.now().plus_secs(secs);
    let file = File { subject, bytes: Pieces(text.as_bytes().to_vec()), part: SIZE, until };
    block_on(upload(desk, store, file))
}

fn desk() -> Desk {
    let desk = Desk::new();
    init(&desk).unwrap();
    desk
}

#[test]
fn what_fits_one_part_is_one_request_and_what_does_not_is_cut() {
    for length in [0, 1, 9, 10, 11, 20, 21, 35] {
        let (desk, text) = (desk(), "0123456789".repeat(4)[..length].to_owned());
        let store = Store::new(&desk);
        assert_eq!(attempt(&desk, &store, "g1", &text, 60), Ok(UploadProgress::Whole(length as u64)));
        assert_eq!(store.object.borrow().as_deref(), Some(text.as_bytes()));
        let expected = if length <= SIZE { 1 } else { 2 + length.div_ceil(SIZE) };
        assert_eq!(store.take_calls().len(), expected, "{length}");
        assert_eq!(Pending::load(&desk).unwrap(), None);
    }
}

#[test]
fn an_upload_that_has_no_time_left_goes_on_where_it_was_and_always_advances() {
    let (desk, text) = (desk(), "0123456789".repeat(3));
    let store = Store::new(&desk);
    for calls in [vec!["begin", "part 1"], vec!["part 2"]] {
        assert_eq!(attempt(&desk, &store, "g1", &text, 0), Ok(UploadProgress::Partly));
        assert_eq!(store.take_calls(), calls);
        assert_eq!(*store.object.borrow(), None, "nothing shows before it is whole");
    }
    assert_eq!(attempt(&desk, &store, "g1", &text, 0), Ok(UploadProgress::Whole(30)));
    assert_eq!(store.take_calls(), ["part 3", "complete"]);
    assert_eq!(store.object.borrow().as_deref(), Some(text.as_bytes()));
}

#[test]
fn a_failure_anywhere_is_made_good_by_the_next_attempt() {
    let text = "0123456789".repeat(3);
    for call in ["begin", "part 1", "part 2", "part 3", "complete"] {
        let desk = desk();
        let store = Store::new(&desk);
        store.fails.borrow_mut().push((call, StoreError::Busy("No answer.".to_owned())));
        assert!(attempt(&desk, &store, "g1", &text, 60).is_err(), "{call}");
        assert_eq!(*store.object.borrow(), None);
        assert_eq!(attempt(&desk, &store, "g1", &text, 60), Ok(UploadProgress::Whole(30)), "{call}");
        assert_eq!(store.object.borrow().as_deref(), Some(text.as_bytes()));
        let calls = store.take_calls();
        assert_eq!(calls.iter().filter(|made| *made == call).count(), 2, "{calls:?}");
        assert_eq!(calls.len(), 6, "nothing but what failed is repeated: {calls:?}");
    }
}

#[test]
fn a_newer_generation_lets_go_of_the_older_ones_parts() {
    let desk = desk();
    let store = Store::new(&desk);
    assert_eq!(attempt(&desk, &store, "g1", &"a".repeat(25), 0), Ok(UploadProgress::Partly));
    store.take_calls();
    assert_eq!(attempt(&desk, &store, "g2", "short", 60), Ok(UploadProgress::Whole(5)));
    assert_eq!(store.take_calls(), ["abort u1", "put"]);
    assert!(store.uploads.borrow().is_empty());
}

#[test]
fn a_store_that_does_not_answer_is_asked_again_to_let_go() {
    let desk = desk();
    let store = Store::new(&desk);
    assert_eq!(attempt(&desk, &store, "g1", &"a".repeat(25), 0), Ok(UploadProgress::Partly));
    store.fails.borrow_mut().push(("abort u1", StoreError::Busy("No answer.".to_owned())));
    assert!(attempt(&desk, &store, "g2", "short", 60).is_err());
    assert_eq!(attempt(&desk, &store, "g2", "short", 60), Ok(UploadProgress::Whole(5)));
    assert!(store.uploads.borrow().is_empty());
}

#[test]
fn parts_of_another_file_are_never_mixed_in() {
    let desk = desk();
    let store = Store::new(&desk);
    assert_eq!(attempt(&desk, &store, "g1", &"a".repeat(25), 0), Ok(UploadProgress::Partly));
    assert_eq!(attempt(&desk, &store, "g1", &"b".repeat(25), 60), Err(UploadError::Differs));
    assert!(store.uploads.borrow().is_empty(), "they were let go of");
    assert_eq!(attempt(&desk, &store, "g1", &"b".repeat(25), 60), Ok(UploadProgress::Whole(25)));
    assert_eq!(store.object.borrow().as_deref(), Some("b".repeat(25).as_bytes()));
}

#[test]
fn an_upload_that_the_store_cleared_away_begins_again() {
    let desk = desk();
    let store = Store::new(&desk);
    assert_eq!(attempt(&desk, &store, "g1", &"a".repeat(25), 0), Ok(UploadProgress::Partly));
    store.uploads.borrow_mut().clear();
    assert_eq!(attempt(&desk, &store, "g1", &"a".repeat(25), 60), Err(StoreError::UnknownUpload.into()));
    assert_eq!(attempt(&desk, &store, "g1", &"a".repeat(25), 60), Ok(UploadProgress::Whole(25)));
    assert!(store.uploads.borrow().is_empty());
}

#[test]
fn what_another_version_left_on_disk_is_not_read() {
    let desk = desk();
    let store = Store::new(&desk);
    assert_eq!(attempt(&desk, &store, "g1", &"a".repeat(25), 0), Ok(UploadProgress::Partly));
    desk.query("UPDATE push_upload SET version = 2", &[]).unwrap();
    assert_eq!(attempt(&desk, &store, "g1", &"a".repeat(25), 60), Ok(UploadProgress::Whole(25)));
}

#[test]
fn a_push_has_begun_once_parts_of_its_generation_are_there_until_it_is_whole_or_goes_on_failing() {
    let desk = desk();
    jobs::init(&desk).unwrap();
    let (store, text) = (Store::new(&desk), "0123456789".repeat(2));
    let has_begun = |into_store| has_begun(&desk, into_store).unwrap();
    let is_about = |subject: &str| jobs::want(&desk, JobKind::Push, subject, false, desk.now()).unwrap();
    let ends = |came_to: Attempt| jobs::end(&desk, &jobs::all(&desk).unwrap()[0], &came_to, desk.now()).unwrap();

    is_about("g1 elsewhere");
    assert!(!has_begun(true), "nothing is there yet");
    assert_eq!(attempt(&desk, &store, "g1 sync.c1z", &text, 0), Ok(UploadProgress::Partly));
    assert_eq!((has_begun(true), has_begun(false)), (true, false));
    for failures in 1..=3 {
        ends(Attempt::Again("The store does not answer.".to_owned()));
        assert_eq!(has_begun(true), failures < 3, "{failures}");
    }
    is_about("g11 elsewhere");
    assert!(!has_begun(true), "the parts are another generation's");
    is_about("g1 here");
    assert!(!has_begun(true), "a newer one goes on failing until an attempt goes well");
    ends(Attempt::GoOn(desk.now(), serde_json::Value::Null));
    assert!(has_begun(true));
    ends(Attempt::GivenUp("The generation is not kept any more.".to_owned()));
    assert!(!has_begun(true));
    is_about("g1 elsewhere");
    assert_eq!(attempt(&desk, &store, "g1 sync.c1z", &text, 0), Ok(UploadProgress::Whole(20)));
    assert_eq!(store.object.borrow().as_deref(), Some(text.as_bytes()));
    // What waits for ConductorOne holds nothing up that has a store to go to.
    ends(Attempt::GoOn(desk.now(), serde_json::json!({ "v": 1 })));
    assert_eq!((has_begun(true), has_begun(false)), (false, true));
    for failures in 1..=3 {
        ends(Attempt::Again("ConductorOne does not answer.".to_owned()));
        assert_eq!(has_begun(false), failures < 3, "{failures}");
    }
}
