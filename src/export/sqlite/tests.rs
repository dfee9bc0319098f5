//! The files as `SQLite` itself reads them.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "numbers of rows, and bytes that only have to differ"
)]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, MAIN_DB};

use super::record::varint;
use super::tree::{CHILDREN, MAX_LOCAL, MIN_LOCAL, OVERFLOW};
use super::{Layout, SqliteError, Table, Value, Writer};

const TABLES: [Table; 2] = [
    Table { name: "first", sql: "CREATE TABLE first (id integer primary key, a, b, c)" },
    Table { name: "second", sql: "CREATE TABLE second (id integer primary key, a)" },
];

/// A value that owns itself.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl Cell {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text),
            Self::Blob(bytes) => Value::Blob(bytes),
        }
    }
}

/// A row of one of the tables.
type Row = (usize, Vec<Cell>);

fn append(writer: &mut Writer, rows: &[Row]) -> Result<(), SqliteError> {
    for (table, cells) in rows {
        let values: Vec<Value<'_>> = cells.iter().map(Cell::value).collect();
        writer.append(*table, &values)?;
    }
    Ok(())
}

fn layout(rows: &[Row]) -> Layout {
    let mut counting = Writer::counting(&TABLES);
    append(&mut counting, rows).unwrap();
    assert_eq!(counting.ready(), 0);
    counting.finish().unwrap()
}

fn file(rows: &[Row]) -> Vec<u8> {
    let layout = layout(rows);
    let mut writer = Writer::writing(&TABLES, layout.clone()).unwrap();
    let mut file = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        append(&mut writer, std::slice::from_ref(row)).unwrap();
        if n % 7 == 0 {
            assert_eq!(writer.ready() % 4096, 0);
            file.extend(writer.take());
        }
    }
    assert_eq!(writer.finish(), Ok(layout.clone()));
    file.extend(writer.take());
    assert_eq!(file.len() as u64, layout.bytes());
    file
}

fn open(file: &[u8]) -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    connection.deserialize_read_exact(MAIN_DB, file, file.len(), true).unwrap();
    connection
}

fn read(connection: &Connection, table: &Table) -> Vec<Vec<Cell>> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {} ORDER BY id", table.name)).unwrap();
    let columns = statement.column_count();
    let mut found = statement.query([]).unwrap();
    let mut rows = Vec::new();
    while let Some(row) = found.next().unwrap() {
        assert_eq!(row.get::<_, i64>(0).unwrap(), rows.len() as i64 + 1);
        let cells = (1..columns).map(|column| match row.get_ref(column).unwrap() {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Integer(number),
            ValueRef::Text(text) => Cell::Text(String::from_utf8(text.to_vec()).unwrap()),
            ValueRef::Blob(bytes) => Cell::Blob(bytes.to_vec()),
            ValueRef::Real(number) => panic!("{number}"),
        });
        rows.push(cells.collect());
    }
    rows
}

/// Writes rows, and has `SQLite` check the file and read every row back, by scan and by number.
fn check(rows: &[Row]) {
    let connection = open(&file(rows));
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    for (place, table) in TABLES.iter().enumerate() {
        let expected: Vec<Vec<Cell>> =
            rows.iter().filter(|(of, _)| *of == place).map(|(_, cells)| cells.clone()).collect();
        assert!(read(&connection, table) == expected, "{}", table.name);
        let mut by_id = connection.prepare(&format!("SELECT count(*) FROM {} WHERE id = ?", table.name)).unwrap();
        let last = expected.len() as i64;
        for id in [1, 2, last / 2, last - 1, last].into_iter().filter(|id| (1..=last).contains(id)) {
            assert_eq!(by_id.query_row([id], |row| row.get::<_, i64>(0)).unwrap(), 1, "{id} of {last}");
        }
    }
}

fn blob(size: usize) -> Row {
    (1, vec![Cell::Blob((0..size).map(|n| (n % 251) as u8).collect())])
}

/// A row of the second table whose record has exactly this many bytes.
fn record(size: usize) -> Row {
    let row = (0..=size).rev().map(blob).find(|(_, cells)| {
        let values: Vec<Value<'_>> = cells.iter().map(Cell::value).collect();
        super::record::encode(&values).unwrap().len() <= size
    });
    row.unwrap()
}

#[test]
fn tables_without_rows_are_empty_tables() {
    check(&[]);
    check(&[blob(3)]);
}

#[test]
fn integers_of_every_width_nulls_texts_and_blobs_come_back() {
    let mut numbers: Vec<i64> =
        (0..63).flat_map(|bit| [1 << bit, (1 << bit) - 1, -(1 << bit), -(1 << bit) - 1]).collect();
    numbers.extend([0, 1, 2, -1, i64::MAX, i64::MIN]);
    let rows = numbers
        .into_iter()
        .map(|number| (0, vec![Cell::Integer(number), Cell::Null, Cell::Text(format!("Zoë 李 {number}"))]));
    let mut rows: Vec<Row> = rows.collect();
    rows.push((0, vec![Cell::Text(String::new()), Cell::Blob(Vec::new()), Cell::Null]));
    check(&rows);
    for number in [0, 1, -1, 127, 128, -128, -129, i64::MAX] {
        let size = super::record::encode(&[Value::Integer(number)]).unwrap().len();
        assert_eq!(size, 3 + super::record::width(number), "{number}: as short as the format has it");
    }
}

#[test]
fn records_of_every_size_around_the_boundaries_come_back() {
    let boundaries = [
        0,
        127,
        MIN_LOCAL,
        MAX_LOCAL,
        MIN_LOCAL + OVERFLOW,
        MAX_LOCAL + OVERFLOW,
        MIN_LOCAL + 2 * OVERFLOW,
        MAX_LOCAL + 2 * OVERFLOW,
        16_383,
    ];
    for boundary in boundaries {
        let sizes = boundary.saturating_sub(3).max(4)..boundary + 5;
        // Alone, so that every one begins a page; then together.
        for size in sizes.clone() {
            check(&[record(size)]);
        }
        check(&sizes.map(record).collect::<Vec<_>>());
    }
    check(&[record(1_000_000)]);
}

#[test]
fn pages_that_are_filled_to_the_last_byte_come_back() {
    // Two cells on a leaf: 8 + 2·2 bytes, and for each record 2 bytes of length and 1 of number.
    for both in 4070..=4096 {
        let first = 2000;
        check(&[record(first), record(both - first - 12 - 6), record(10)]);
    }
}

#[test]
fn the_last_page_of_a_level_leads_to_two_children_at_least() {
    // One row of this size is a leaf.
    for leaves in
        [1, 2, CHILDREN - 1, CHILDREN, CHILDREN + 1, CHILDREN + 2, 2 * CHILDREN, 2 * CHILDREN + 1, 2 * CHILDREN + 2]
    {
        check(&(0..leaves).map(|_| record(MAX_LOCAL)).collect::<Vec<_>>());
    }
}

#[test]
fn three_levels_come_back_whatever_is_left_on_the_last_page() {
    let leaf = |n: usize| vec![record(MAX_LOCAL); n];
    for leaves in [CHILDREN * CHILDREN - 1, CHILDREN * CHILDREN, CHILDREN * CHILDREN + 1, CHILDREN * (CHILDREN + 1) + 1]
    {
        let layout = layout(&leaf(leaves));
        // Interior pages on the first level, and on those above until there is one.
        assert!(layout.bytes() > (leaves * 4096) as u64);
    }
    check(&leaf(CHILDREN * CHILDREN + 1));
}

#[test]
fn sixty_thousand_rows_in_two_tables_come_back() {
    let rows: Vec<Row> = (0..60_000)
        .map(|n| {
            if n % 3 == 0 {
                (1, vec![Cell::Integer(n)])
            } else {
                (0, vec![Cell::Integer(n), Cell::Text(format!("row {n}")), Cell::Blob(vec![7; (n % 97) as usize])])
            }
        })
        .collect();
    for count in [1, 2, 100, 1_000, 20_000, 60_000] {
        check(&rows[..count]);
    }
}

#[test]
fn the_page_with_the_locks_is_left_out() {
    // `SQLite` has it at 2^30 bytes; here it is put among the first pages, of which one is then never used.
    let rows: Vec<Row> = (0..40).map(|n| if n % 5 == 0 { blob(9_000) } else { blob(600) }).collect();
    for lock in [3, 4, 5, 6, 10, 12] {
        let mut counting = Writer::counting(&TABLES);
        counting.pages.lock(lock);
        append(&mut counting, &rows).unwrap();
        let mut writer = Writer::writing(&TABLES, counting.finish().unwrap()).unwrap();
        writer.pages.lock(lock);
        append(&mut writer, &rows).unwrap();
        writer.finish().unwrap();
        let file = writer.take();
        let place = (lock as usize - 1) * 4096;
        assert!(file[place..place + 4096].iter().all(|byte| *byte == 0));
        let connection = open(&file);
        let expected: Vec<Vec<Cell>> = rows.iter().map(|(_, cells)| cells.clone()).collect();
        // Compared before it is asserted: 60,000 rows would be no message.
        let same = read(&connection, &TABLES[1]) == expected;
        assert!(same);
        let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert!(verdict.ends_with(&format!("Page {lock}: never used")) && verdict.lines().count() <= 2, "{verdict}");
    }
}

#[test]
fn other_rows_than_were_counted_are_an_error() {
    let mut writer = Writer::writing(&TABLES, layout(&[blob(10)])).unwrap();
    append(&mut writer, &vec![blob(4_000); 3]).unwrap();
    assert_eq!(writer.finish(), Err(SqliteError::Changed));
    assert_eq!(writer.append(7, &[]), Err(SqliteError::Schema));
    let long = Table { name: "long", sql: Box::leak("x".repeat(5_000).into_boxed_str()) };
    let layout = Layout { roots: vec![2], pages: 2 };
    assert_eq!(Writer::writing(&[long], layout).unwrap_err(), SqliteError::Schema);
}

#[test]
fn variable_length_integers_are_as_the_format_has_them() {
    let cases: [(u64, &[u8]); 7] = [
        (0, &[0]),
        (127, &[127]),
        (128, &[0x81, 0]),
        (16_384, &[0x81, 0x80, 0]),
        ((1 << 56) - 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        (1 << 56, &[0x80, 0xc0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]),
        (u64::MAX, &[0xff; 9]),
    ];
    for (number, bytes) in cases {
        let mut out = Vec::new();
        varint(&mut out, number);
        assert_eq!(out, bytes, "{number}");
    }
}

fn cell() -> impl Strategy<Value = Cell> {
    let size = prop_oneof![
        8 => 0..80_usize,
        2 => 0..1_000_usize,
        1 => (MAX_LOCAL - 12)..(MAX_LOCAL + 4),
        1 => (MIN_LOCAL + OVERFLOW - 12)..(MIN_LOCAL + OVERFLOW + 4),
        1 => 0..30_000_usize,
    ];
    let number = (any::<i64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift);
    prop_oneof![
        1 => Just(Cell::Null),
        3 => number.prop_map(Cell::Integer),
        2 => "\\PC{0,40}".prop_map(Cell::Text),
        4 => (size, any::<u8>()).prop_map(|(size, byte)| Cell::Blob(vec![byte; size])),
    ]
}

proptest! {
    #![proptest_config(Config { cases: 96, ..Config::default() })]

    #[test]
    fn any_rows_come_back(
        rows in vec(
            (option::of(Just(())), vec(cell(), 3)).prop_map(|(first, cells)| match first {
                Some(()) => (0, cells),
                None => (1, cells[..1].to_vec()),
            }),
            0..120,
        ),
        again in 1..40_usize,
    ) {
        // Again and again the same, so that there are interior pages.
        let rows: Vec<Row> = std::iter::repeat_n(rows, again).flatten().collect();
        check(&rows);
    }
}
