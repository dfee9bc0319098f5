//! The layout of the Coordinator's database: which version it has, and the steps that lead from one to the next.
//!
//! A room's `init` creates its tables as the newest version has them. A database that is older than that goes through the
//! steps first, each once. A step and the version that it makes are on disk together, whether a statement fails or the Durable Object dies: the next start
//! goes on from there.

use crate::base::ports::{Sql, SqlError};
use crate::base::rows::{add_column, is_table};

/// A step from the version before to this one.
struct Step {
    version: i64,
    run: fn(&dyn Sql) -> Result<(), SqlError>,
}

/// Version 0 is what was before `meta`. A step stays as it is once it was deployed; what comes later is a step of its own.
const STEPS: &[Step] = &[
    // Whether an operation wrote and how often it was put off are columns of the journal.
    Step { version: 1, run: journal_columns },
    // Open writes may be of groups and of whole memberships.
    Step { version: 2, run: open_write_columns },
    // Each account and Worker has a space of its own in KV; what was published before stands at its root.
    Step { version: 3, run: at_the_root },
    // An operation may be carried out before it is told.
    Step { version: 4, run: carried_out_column },
    // Whose end of a grant it is, the membership says as well.
    Step { version: 5, run: expiry_member_column },
    // What a member held before is kept with a write that is open.
    Step { version: 6, run: open_write_held },
    // How far a finding goes is kept, since no more is accepted with it.
    Step { version: 7, run: finding_extent },
    // When an operation first wrote is kept.
    Step { version: 8, run: wrote_at_column },
    // How far what was accepted goes is kept apart.
    Step { version: 9, run: accepted_extent },
    // An end that was refused for good is asked for again.
    Step { version: 10, run: refused_ends },
];

/// Under this name the database's version stands in the table `meta`.
const VERSION: &str = "schema";

/// The newest version.
fn newest() -> i64 {
    STEPS.last().map_or(0, |step| step.version)
}

/// Brings what is there to the newest version. Called before the rooms create the tables that are missing.
///
/// The layout of a newer version than this one is left alone: it only has more.
pub(super) fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    let is_new = !is_table(sql, "job")?;
    sql.run("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID", &[])?;
    let version = match version(sql)? {
        Some(version) => version,
        None if is_new => newest(),
        None => 0,
    };
    for step in STEPS.iter().filter(|step| step.version > version) {
        sql.whole(&mut || {
            (step.run)(sql)?;
            set_meta(sql, VERSION, &step.version.to_string())
        })?;
    }
    // An earlier version may have run since then as well.
    if is_new { set_meta(sql, VERSION, &version.to_string()) } else { refused_ends(sql) }
}

fn version(sql: &dyn Sql) -> Result<Option<i64>, SqlError> {
    let Some(value) = meta(sql, VERSION)? else { return Ok(None) };
    value.parse().ok().map(Some).ok_or_else(|| SqlError::unreadable("the version of the database"))
}

/// A fact about the whole database, by its name.
pub(super) fn meta(sql: &dyn Sql, name: &str) -> Result<Option<String>, SqlError> {
    sql.text("SELECT value FROM meta WHERE name = ?", &[name.into()])
}

/// Notes such a fact.
pub(super) fn set_meta(sql: &dyn Sql, name: &str, value: &str) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &[name.into(), value.into()],
    )
}

/// Version 1. Until then, the wording of an operation's trail told both.
fn journal_columns(sql: &dyn Sql) -> Result<(), SqlError> {
    add_column(sql, "operation", "wrote INTEGER NOT NULL DEFAULT 0")?;
    add_column(sql, "operation", "put_offs INTEGER NOT NULL DEFAULT 0")?;
    // A line is a time, a space, and what happened.
    sql.run(
        "UPDATE operation SET \
            wrote = EXISTS (SELECT 1 FROM json_each(operation.trail) AS line \
                WHERE substr(line.value, instr(line.value, ' ') + 1) NOT LIKE 'put off: %'), \
            put_offs = (SELECT COUNT(*) FROM json_each(operation.trail) AS line \
                WHERE substr(line.value, instr(line.value, ' ') + 1) LIKE 'put off: %') \
         WHERE json_valid(trail)",
        &[],
    )?;
    Ok(())
}

/// Version 2. Until then, policies alone were watched.
fn open_write_columns(sql: &dyn Sql) -> Result<(), SqlError> {
    for column in [
        "kind TEXT NOT NULL DEFAULT 'policies'",
        "user_group TEXT",
        "loses_admin INTEGER NOT NULL DEFAULT 0",
        "expected_in INTEGER",
    ] {
        add_column(sql, "sent", column)?;
    }
    Ok(())
}

/// Version 3. Until then, a namespace was taken to be of one account and one Worker.
fn at_the_root(sql: &dyn Sql) -> Result<(), SqlError> {
    if is_table(sql, "generation")? && is_table(sql, "stored_chunk")? {
        crate::snapshot::leave_at_the_root(sql)?;
    }
    Ok(())
}

/// Version 4. Until then, what was carried out was told at once.
fn carried_out_column(sql: &dyn Sql) -> Result<(), SqlError> {
    add_column(sql, "operation", "carried_out INTEGER NOT NULL DEFAULT 0")
}

/// Version 5. Until then, the end of a grant was an address's.
fn expiry_member_column(sql: &dyn Sql) -> Result<(), SqlError> {
    if is_table(sql, "expiry")? { crate::account::expiry::with_member(sql) } else { Ok(()) }
}

/// Version 6. Until then, what an operation sent that was refused later could come late unseen.
fn open_write_held(sql: &dyn Sql) -> Result<(), SqlError> {
    add_column(sql, "sent", "held TEXT")
}

/// Version 8. Until then, that an operation wrote was known, and not when.
fn wrote_at_column(sql: &dyn Sql) -> Result<(), SqlError> {
    add_column(sql, "operation", "wrote_at INTEGER")
}

/// Version 7. Until then, what was accepted was whatever a finding grew to.
fn finding_extent(sql: &dyn Sql) -> Result<(), SqlError> {
    add_column(sql, "finding", "extent TEXT")
}

/// Version 9. Until then, a finding that was accepted was kept as far as it went when it was.
fn accepted_extent(sql: &dyn Sql) -> Result<(), SqlError> {
    add_column(sql, "finding", "accepted_extent TEXT")
}

/// Version 10. Until then, an end that a guard had refused was asked for no more, whatever was mended since. Looked at with each start too.
fn refused_ends(sql: &dyn Sql) -> Result<(), SqlError> {
    if is_table(sql, "expiry")? && is_table(sql, "operation")? {
        crate::account::expiry::ask_again(sql)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::base::tree::BTreeMap;

    use super::{STEPS, migrate, newest};
    use crate::base::fakes::Desk;
    use crate::base::ports::{Sql, SqlError, SqlValue};

    /// A database as it was before it had a version, with a few rows.
    const VERSION_0: &str = include_str!("../../tests/fixtures/coordinator_v0.sql");

    fn old() -> Desk {
        let desk = Desk::new();
        for statement in VERSION_0.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            desk.query(statement, &[]).unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        desk
    }

    /// Each table's columns.
    fn layout(desk: &Desk) -> BTreeMap<String, Vec<String>> {
        let rows = desk
            .query(
                "SELECT t.name, c.name FROM sqlite_master AS t, pragma_table_info(t.name) AS c
                 WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.name",
                &[],
            )
            .unwrap();
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows {
            tables.entry(row[0].text().unwrap().to_owned()).or_default().push(row[1].text().unwrap().to_owned());
        }
        tables
    }

    #[test]
    fn an_old_database_comes_to_have_the_layout_of_a_new_one_and_keeps_its_rows() {
        let (old, new) = (old(), Desk::new());
        let before = old.query("SELECT id, key, state, request, outcome, trail FROM operation", &[]).unwrap();
        crate::coordinator::init(&old).unwrap();
        crate::coordinator::init(&new).unwrap();
        assert_eq!(layout(&old), layout(&new));
        assert_eq!(old.query("SELECT id, key, state, request, outcome, trail FROM operation", &[]).unwrap(), before);
    }

    /// A database as a version had it: the steps until then, and nothing of what came later.
    fn of_version(version: i64) -> Desk {
        let desk = old();
        desk.query("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID", &[]).unwrap();
        for step in STEPS.iter().filter(|step| step.version <= version) {
            (step.run)(&desk).unwrap();
        }
        if version > 0 {
            desk.query("INSERT INTO meta VALUES ('schema', ?)", &[version.to_string().into()]).unwrap();
        }
        desk
    }

    #[test]
    fn from_each_version_a_database_comes_to_the_newest_layout_and_keeps_its_rows() {
        let new = Desk::new();
        crate::coordinator::init(&new).unwrap();
        for version in 0..=newest() {
            let desk = of_version(version);
            let rows = |desk: &Desk| {
                let operations = "SELECT id, key, state, request, outcome, trail FROM operation ORDER BY id";
                let jobs = "SELECT kind, subject, state, due_at FROM job";
                [operations, jobs].map(|statement| desk.query(statement, &[]).unwrap())
            };
            let before = rows(&desk);
            crate::coordinator::init(&desk).unwrap();
            assert_eq!(layout(&desk), layout(&new), "from version {version}");
            assert_eq!(rows(&desk), before, "from version {version}");
            let is = desk.one("SELECT value FROM meta WHERE name = 'schema'", &[]).unwrap();
            assert_eq!(is.as_ref().and_then(SqlValue::text), Some(newest().to_string().as_str()));
        }
    }

    #[test]
    fn a_write_that_was_open_before_writes_had_kinds_is_one_of_policies() {
        let desk = of_version(1);
        let sent =
            "INSERT INTO sent (operation, member, email, planned, read_at, sent_at) VALUES (1, 'm', 'e', '[]', 1, 2)";
        desk.query(sent, &[]).unwrap();
        migrate(&desk).unwrap();
        let row =
            desk.query("SELECT member, kind, user_group, loses_admin, expected_in FROM sent", &[]).unwrap().remove(0);
        assert_eq!(row[..3], ["m".into(), "policies".into(), SqlValue::Null]);
        assert_eq!((row[3].integer(), &row[4]), (Some(0), &SqlValue::Null));
    }

    #[test]
    fn an_operation_from_before_it_could_be_carried_out_untold_is_not_carried_out() {
        let desk = of_version(3);
        migrate(&desk).unwrap();
        let counted = desk.one("SELECT COUNT(*) FROM operation WHERE carried_out = 0", &[]).unwrap();
        assert_eq!(counted.and_then(|count| count.integer()), Some(4));
    }

    #[test]
    fn what_was_published_before_there_were_spaces_is_known_to_stand_at_the_root() {
        let desk = of_version(2);
        desk.query("INSERT INTO generation VALUES ('20270115T080000Z-1', 1, '[]')", &[]).unwrap();
        desk.query("INSERT INTO stored_chunk VALUES ('c1')", &[]).unwrap();
        migrate(&desk).unwrap();
        let keys = desk.query("SELECT key FROM legacy_value ORDER BY key", &[]).unwrap();
        assert_eq!(keys, [["chunk/c1".into()], ["manifest/20270115T080000Z-1".into()]]);
        let left =
            desk.one("SELECT (SELECT COUNT(*) FROM generation) + (SELECT COUNT(*) FROM stored_chunk)", &[]).unwrap();
        assert_eq!(left.and_then(|left| left.integer()), Some(0));
    }

    #[test]
    fn a_finding_from_before_it_was_kept_how_far_it_goes_is_kept() {
        let desk = of_version(6);
        desk.query(
            "CREATE TABLE finding (
                number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, rule TEXT NOT NULL, severity TEXT NOT NULL,
                about TEXT NOT NULL, name TEXT NOT NULL, evidence TEXT NOT NULL, opened_at INTEGER NOT NULL, closed_at INTEGER,
                reason TEXT, accepted_by TEXT, accepted_at INTEGER, accepted_until INTEGER)",
            &[],
        )
        .unwrap();
        let found = "INSERT INTO finding (id, rule, severity, about, name, evidence, opened_at) VALUES ('a', 'a', 'high', 'a', 'a', 'x', 0)";
        desk.query(found, &[]).unwrap();
        let new = Desk::new();
        for desk in [&desk, &new] {
            crate::coordinator::init(desk).unwrap();
        }
        assert_eq!(layout(&desk)["finding"], layout(&new)["finding"]);
        assert_eq!(desk.query("SELECT id, extent FROM finding", &[]).unwrap(), [["a".into(), SqlValue::Null]]);
    }

    #[test]
    fn an_end_that_was_refused_for_good_is_asked_for_again_and_one_that_is_under_way_is_not() {
        let desk = of_version(9);
        crate::account::expiry::init(&desk).unwrap();
        for (operation, asked) in [(101_i64, 1_i64), (102, 1), (103, 1), (104, 0), (105, 99)] {
            desk.query(
                "INSERT INTO expiry (email, entitlement, operation, ends_at, asked) VALUES (?1, 'account', ?1, 5, ?2)",
                &[operation.into(), asked.into()],
            )
            .unwrap();
        }
        // The journal has forgotten the revoke of the first. Another grant has a number that begins alike.
        for (key, outcome) in [
            ("expiry/102/5", "{}".into()),
            ("expiry/103/5", "{}".into()),
            ("expiry/103/5/7", SqlValue::Null),
            ("expiry/1021/5", SqlValue::Null),
        ] {
            desk.query(
                "INSERT INTO operation (key, state, request, received_at, due_at, outcome) VALUES (?, 'received', '{}', 0, 0, ?)",
                &[key.into(), outcome],
            )
            .unwrap();
        }
        let asked = || {
            migrate(&desk).unwrap();
            let asked = desk.query("SELECT asked FROM expiry ORDER BY operation", &[]).unwrap();
            asked.iter().map(|row| row[0].integer().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(asked(), [10, 10, 1, 0, 99], "eight operations have come");
        assert_eq!(asked(), [10, 10, 1, 0, 99], "once");
        // The version before has run again, and has asked for one more and refused it.
        for statement in [
            "UPDATE expiry SET asked = 1 WHERE operation = 102",
            "INSERT INTO operation (key, state, request, received_at, outcome) VALUES ('expiry/102/5/10', 'settled', '{}', 0, '{}')",
        ] {
            desk.query(statement, &[]).unwrap();
        }
        assert_eq!(asked(), [10, 11, 1, 0, 99], "under another key");
        // Without any operation there is none under way.
        for statement in ["UPDATE expiry SET asked = 1", "DELETE FROM operation"] {
            desk.query(statement, &[]).unwrap();
        }
        assert_eq!(asked(), [2; 5]);
    }

    #[test]
    fn what_the_trail_told_is_in_the_columns() {
        let desk = old();
        migrate(&desk).unwrap();
        let rows = desk.query("SELECT key, wrote, put_offs FROM operation ORDER BY id", &[]).unwrap();
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row[0].text().unwrap(), row[1].integer().unwrap(), row[2].integer().unwrap()))
            .collect();
        assert_eq!(told, [("task/written", 1, 0), ("task/put-off", 0, 2), ("task/both", 1, 1), ("task/damaged", 0, 0)]);
    }

    #[test]
    fn each_step_runs_once_and_a_newer_version_is_left_alone() {
        let desk = old();
        for _ in 0..2 {
            crate::coordinator::init(&desk).unwrap();
        }
        let newer = (newest() + 7).to_string();
        desk.query("UPDATE meta SET value = ? WHERE name = 'schema'", &[newer.as_str().into()]).unwrap();
        crate::coordinator::init(&desk).unwrap();
        let version = desk.one("SELECT value FROM meta WHERE name = 'schema'", &[]).unwrap();
        assert_eq!(version.as_ref().and_then(SqlValue::text), Some(newer.as_str()));
    }

    /// Fails at one statement, before or after that is on disk, and tells whether it came to that.
    struct FailsAt<'a> {
        desk: &'a Desk,
        left: Cell<usize>,
        is_after: bool,
    }

    impl Sql for FailsAt<'_> {
        fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
            let fails = self.left.get() == 0;
            self.left.set(self.left.get().wrapping_sub(1));
            let rows = if fails && !self.is_after { Ok(Vec::new()) } else { self.desk.query(statement, params) };
            if fails { Err(SqlError::unreadable("what a test has broken")) } else { rows }
        }

        fn whole(&self, work: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError> {
            self.desk.whole(work)
        }
    }

    #[test]
    fn wherever_a_statement_fails_the_next_start_goes_on_from_there() {
        let new = Desk::new();
        crate::coordinator::init(&new).unwrap();
        for is_after in [false, true] {
            let mut statements = 0;
            loop {
                let desk = old();
                let broken = migrate(&FailsAt { desk: &desk, left: Cell::new(statements), is_after });
                if broken.is_ok() {
                    break;
                }
                crate::coordinator::init(&desk).unwrap_or_else(|error| panic!("{statements} {is_after}: {error}"));
                assert_eq!(layout(&desk), layout(&new), "{statements} {is_after}");
                let told = desk.query("SELECT wrote, put_offs FROM operation WHERE key = 'task/both'", &[]).unwrap();
                let told: Vec<_> = told[0].iter().map(SqlValue::integer).collect();
                assert_eq!(told, [Some(1), Some(1)], "{statements} {is_after}");
                statements += 1;
            }
            assert!(statements > 20, "{statements}");
        }
    }

    #[test]
    fn the_steps_are_in_order() {
        for (step, version) in STEPS.iter().zip(1..) {
            assert_eq!(step.version, version);
        }
    }
}
