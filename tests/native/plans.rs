//! What the statements of the busiest paths read: they go by an index, however long the tables grow.

use std::cell::RefCell;

use c1_cloudflare::account::{expiry, overlay};
use c1_cloudflare::base::fakes::Desk;
use c1_cloudflare::base::ports::{Clock as _, Sql, SqlError, SqlValue};
use c1_cloudflare::coordinator;
use c1_cloudflare::ledger::past::{self, Question};
use c1_cloudflare::provision::journal;
use c1_cloudflare::snapshot::GenerationId;

/// A database that takes note of how SQLite means to carry out what it is asked.
struct Planned<'a> {
    desk: &'a Desk,
    scans: RefCell<Vec<String>>,
}

impl Sql for Planned<'_> {
    fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        for step in self.desk.query(&format!("EXPLAIN QUERY PLAN {statement}"), params)? {
            let step = step.get(3).and_then(SqlValue::text).unwrap_or_default();
            // What a statement has put together itself is as long as what it found, and of marks there are a few. The least of all rows is told as
            // a search, also where no index has it.
            let (how, of) = step.split_once(' ').unwrap_or_default();
            let is_short = ["(", "json_each", "ledger_mark"].iter().any(|it| of.starts_with(it));
            if (how == "SCAN" || how == "SEARCH" && !of.contains(" USING ")) && !is_short {
                self.scans.borrow_mut().push(format!("{step}: {statement}"));
            }
        }
        self.desk.query(statement, params)
    }

    fn whole(&self, work: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError> {
        self.desk.whole(work)
    }
}

#[test]
fn what_each_ring_and_each_page_asks_for_goes_by_an_index() {
    let desk = Desk::new();
    coordinator::init(&desk).unwrap();
    let planned = Planned { desk: &desk, scans: RefCell::default() };
    planned.query("SELECT attempts FROM operation WHERE attempts = 1", &[]).unwrap();
    assert_eq!(planned.scans.take().len(), 1, "a scan is seen");

    expiry::next_end(&planned, 0).unwrap();
    overlay::oldest_open(&planned).unwrap();
    let generation = GenerationId::parse("20270115T080000Z-46f83ad7").unwrap();
    let mut question = Question::of_all(desk.now(), generation);
    (question.after, question.until) = (Some(("user:1".to_owned(), None)), Some("user:2".to_owned()));
    past::facts(&planned, &question, &[], 10).unwrap();
    let filter = journal::Filter { member: Some("jane@example.com".to_owned()), ..journal::Filter::default() };
    journal::list(&planned, &filter, 10).unwrap();
    assert_eq!(planned.scans.take(), Vec::<String>::new());
}
