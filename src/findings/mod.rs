//! What is wrong with the account: rules over a published generation, and what became of each finding. `rules.rs` is the table, `survey.rs` holds
//! a generation against it, `book.rs` keeps what was found, `extent.rs` says how far a finding goes, and `settings.rs` has the thresholds.
//!
//! **Invariants:** a finding is worked out of a generation, what was noted of logins, changes and ends, the day and the thresholds alone; its id is the same as long as it is about the
//! same; memory is bound by what can be granted and by how many findings are kept, never by the number of members.

mod book;
mod extent;
mod rules;
mod secrets;
mod settings;
mod severity;
mod survey;

pub use book::{
    Acceptance, BEGINS_AT, BY_SEVERITY, Filter, MAX_DAYS, accept, cut, events, init, latest_event, list, one,
    open_about, told_since,
};
pub use rules::{RULES, Rule, severity_of};
pub use settings::Settings;
pub use severity::Severity;
pub use survey::{SurveyOutcome, attempt, compare, counts_for_super_administrators, looked_at};
