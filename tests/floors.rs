//! The house has floors, and what a room knows lies below it. The table of floors is in ARCHITECTURE.md too, and both are compared.
//!
//! `cargo test --test floors -- --nocapture` tells how many rooms, floors, arrows and circles there are.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "floors/house.rs"]
mod house;
#[path = "floors/scan.rs"]
mod scan;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use c1_cloudflare::model::operation::Refusal;
use house::{Fault, House, Plan};

/// The rooms by floor, from the top. Rooms on one floor are neighbours: none knows another.
const PLAN: Plan = Plan {
    floors: &[
        (10, &["lib"]),
        (9, &["worker"]),
        (8, &["routes"]),
        (7, &["coordinator"]),
        (6, &["signal"]),
        (5, &["sync", "provision", "decide", "push", "findings"]),
        (4, &["account", "audit", "connect", "export", "ledger"]),
        (3, &["snapshot", "cloudflare", "conductorone", "scim"]),
        (2, &["model"]),
        (1, &["base"]),
    ],
    // A signal tells of what provisioning did not do and of how risky it is; it needs nothing else of that floor.
    only: &[("signal", 5, &["provision::journal", "decide"])],
};

fn read(folder: &Path, into: &mut Vec<(String, String)>, root: &Path) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            read(&path, into, root);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            into.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    read(&root().join(folder), &mut files, root());
    files
}

/// Each fault of a house, with its file and line.
fn complaints(house: &House, plan: &Plan) -> Vec<String> {
    let faults = house.faults(plan);
    let told = |(fault, arrow): &(Fault, &house::Arrow)| {
        format!("{}:{}: `{}` ({}) {fault}", arrow.from, arrow.line, arrow.path, arrow.to)
    };
    faults.iter().map(told).collect()
}

fn summary(house: &House, plan: &Plan) -> String {
    let between = house.between_rooms();
    let faults = house.faults(plan);
    let count = |wanted: Fault| {
        let found = faults.iter().filter(|(fault, _)| *fault == wanted);
        found.map(|(_, arrow)| (house::room(&arrow.from), house::room(&arrow.to))).collect::<BTreeSet<_>>().len()
    };
    let floors: BTreeSet<u8> = house.rooms.iter().filter_map(|room| plan.floor(room)).collect();
    let mut text = format!(
        "{} rooms on {} floors; {} arrows between rooms, of which {} go up and {} sideways; {} circles of rooms, {} inside rooms",
        house.rooms.len(),
        floors.len(),
        between.len(),
        count(Fault::Up),
        count(Fault::Sideways) + count(Fault::Crossing),
        house.circles_of_rooms().len(),
        house.circles().len(),
    );
    for circle in house.circles_of_rooms().into_iter().chain(house.circles()) {
        write!(text, "\n  circle of {}: {}", circle.len(), circle.into_iter().collect::<Vec<_>>().join(", ")).unwrap();
    }
    text
}

#[test]
fn what_a_room_knows_lies_below_it_and_no_files_form_a_circle() {
    let house = House::read(&sources("src"));
    println!("{}", summary(&house, &PLAN));
    let complaints = complaints(&house, &PLAN);
    assert!(complaints.is_empty(), "{} arrows are wrong:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn every_room_has_a_floor() {
    let house = House::read(&sources("src"));
    let homeless: Vec<_> = house.rooms.iter().filter(|room| PLAN.floor(room).is_none()).collect();
    assert!(homeless.is_empty(), "put these rooms on a floor: {homeless:?}");
}

/// The rooms that the headings of ARCHITECTURE.md name, in its order.
fn code_map(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with("### "));
    let paths = headings.flat_map(|line| line.split('`').skip(1).step_by(2));
    paths.filter_map(|path| path.strip_prefix("src/")).map(|path| house::room(path).to_owned()).collect()
}

#[test]
fn the_code_map_has_the_order_of_the_floors() {
    let house = House::read(&sources("src"));
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rooms = PLAN.floors.iter().flat_map(|(_, rooms)| rooms.iter().map(|room| (*room).to_owned()));
    let expected: Vec<String> = rooms.filter(|room| house.rooms.contains(room)).collect();
    assert_eq!(code_map(&text), expected, "ARCHITECTURE.md's headings, and the table in this file");
}

/// The files that a page names in backticks and that are not there. A name alone is of the room whose heading it stands under; a path begins at
/// the root or in `src/`, and its ending may be left open (`tests/wrangler_*.rs`).
fn missing_files(text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut room = None;
    let mut missing = Vec::new();
    for line in text.lines() {
        let mut spans = line.split('`').skip(1).step_by(2);
        if line.starts_with('#') {
            room = spans.next().and_then(|path| path.strip_prefix("src/")?.strip_suffix('/'));
            continue;
        }
        let is_source = |span: &&str| Path::new(span).extension().is_some_and(|it| it == "rs") && !span.contains('*');
        for span in spans.filter(is_source) {
            let found = match (span.contains('/'), room) {
                (true, _) => exists(span) || exists(&format!("src/{span}")),
                (false, Some(room)) => exists(&format!("src/{room}/{span}")),
                (false, None) => house_has(span, exists),
            };
            if !found {
                missing.push(format!("{}: {span}", room.unwrap_or("no room")));
            }
        }
    }
    missing
}

/// Outside of the rooms' sections a name alone is of whichever room has it.
fn house_has(name: &str, exists: &dyn Fn(&str) -> bool) -> bool {
    PLAN.floors.iter().flat_map(|(_, rooms)| rooms.iter()).any(|room| exists(&format!("src/{room}/{name}")))
}

#[test]
fn every_file_that_the_code_map_names_is_in_its_room() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let exists = |path: &str| root().join(path).is_file();
    assert_eq!(missing_files(&text, &exists), [""; 0], "ARCHITECTURE.md names files that are elsewhere");
    let page = "### `src/export/`\n`file.rs`, `zstd.rs`, `base/zstd.rs`, `sync/zstd.rs`\n## Else\n`zstd.rs`, `nowhere.rs`, `src/testing.rs`";
    assert_eq!(
        missing_files(page, &exists),
        ["export: zstd.rs", "export: sync/zstd.rs", "no room: nowhere.rs", "no room: src/testing.rs"]
    );
}

/// What decides and does nothing else: time and what was read are arguments.
const PURE: &[&str] = &[
    "src/connect/plan.rs",
    "src/decide/mod.rs",
    "src/decide/rules.rs",
    "src/model/",
    "src/provision/policies.rs",
    "src/scim/",
    "src/sync/crawl.rs",
];

#[test]
fn what_decides_knows_no_port() {
    for (file, text) in sources("src") {
        if scan::is_for_tests(&file) || !PURE.iter().any(|pure| file.starts_with(pure)) {
            continue;
        }
        for mention in scan::read(&file, &text).mentions {
            assert!(!mention.path.join("::").starts_with("base::ports"), "{file}:{} knows a port", mention.line);
        }
    }
    for pure in PURE {
        assert!(root().join(pure).exists(), "{pure} is gone");
    }
}

/// The lines on which a method is called.
fn calls(folder: &str, methods: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in sources(folder).into_iter().filter(|(file, _)| !scan::is_for_tests(file)) {
        for three in scan::words(&text).windows(3) {
            if three[0].1 == "." && methods.contains(&three[1].1.as_str()) && three[2].1 == "(" {
                found.push(format!("{file}:{}: .{}(", three[1].0, three[1].1));
            }
        }
    }
    found
}

#[test]
fn handlers_never_write() {
    assert_eq!(calls("src/routes", &["put", "delete"]), [""; 0]);
    let rooms = House::read(&sources("src")).between_rooms();
    assert!(!rooms.contains(&("routes".to_owned(), "cloudflare".to_owned())), "a handler knows Cloudflare's client");
    assert!(!calls("src/snapshot", &["put", "delete"]).is_empty(), "those who write are found");
}

#[test]
fn the_client_of_cloudflare_never_waits() {
    assert_eq!(calls("src/cloudflare", &["sleep"]), [""; 0]);
}

/// The standard library's sorts and hash maps are compiled once more for each type, and weigh several KB each time.
#[test]
fn what_is_sorted_and_looked_up_takes_the_code_that_all_types_share() {
    let sorts = [
        "sort",
        "sort_by",
        "sort_by_key",
        "sort_by_cached_key",
        "sort_unstable",
        "sort_unstable_by",
        "sort_unstable_by_key",
    ];
    let found = calls("src", &sorts);
    assert!(found.iter().all(|call| call.starts_with("src/base/order.rs:")), "take base::order: {found:?}");
    assert!(!found.is_empty(), "the one sort is found");
    for (file, text) in sources("src").into_iter().filter(|(file, _)| !scan::is_for_tests(file)) {
        for (line, word) in scan::words(&text) {
            assert!(word != "HashMap" && word != "HashSet", "{file}:{line} has a {word}: take base::tree");
        }
    }
}

#[test]
fn the_simulators_share_no_code_with_the_connector() {
    let manifest = fs::read_to_string(root().join("tests/sim/Cargo.toml")).unwrap();
    assert!(!manifest.contains("c1-cloudflare"), "{manifest}");
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names of all tests.
fn test_names() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    let sources = ["json", "src", "tests"].into_iter().flat_map(sources);
    for (_, text) in sources {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("#[") && line.contains("test")) {
            let after = lines[at + 1..].iter().find(|line| line.contains("fn ")).copied().unwrap_or(line);
            tests.extend(after.split("fn ").nth(1).and_then(|name| name.split('(').next()).map(str::to_owned));
        }
    }
    tests
}

/// Whoever meets a code finds the tests of its rule by it.
#[test]
fn every_refusal_has_a_test_that_is_named_for_its_code() {
    let tests = test_names();
    for refusal in Refusal::ALL {
        let code = refusal.as_str();
        assert!(tests.iter().any(|name| name.contains(code)), "no test's name has {code} in it");
    }
}

#[test]
fn every_invariant_says_what_keeps_it_and_the_tests_it_names_exist() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let tests = test_names();
    let invariants: Vec<&str> = text.lines().filter(|line| line.contains("**Invariant:**")).collect();
    assert!(invariants.len() > 40, "one invariant to a line");
    for line in invariants {
        let (_, keepers) = line.split_once("*Kept by*").unwrap_or_else(|| panic!("what keeps this? {line}"));
        for name in quoted(keepers).filter(|name| name.matches('_').count() > 1) {
            assert!(tests.contains(name), "there is no test {name}, which is to keep: {line}");
        }
        assert!(line.starts_with("- **Invariant:**"), "a line of its own: {line}");
    }
    assert!(!text.contains("**Architecture"), "invariants stand one to a line");
}

/// The files that ARCHITECTURE.md lists under a heading, in the first column of its table.
fn listed(text: &str, heading: &str) -> BTreeSet<String> {
    let section = text.split(heading).nth(1).unwrap().split("\n## ").next().unwrap().to_owned();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| quoted(row).next().map(str::to_owned)).collect()
}

#[test]
fn every_file_that_one_more_kind_touches_is_listed() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let looked_at = self::listed(&text, "| place |");
    let listed = self::listed(text.split("| place |").next().unwrap(), "## Adding a kind");
    assert!((10..=15).contains(&listed.len()), "{listed:?}");
    for file in listed.iter().chain(&looked_at) {
        assert!(root().join(file).exists(), "{file} is gone: list the file that took its place");
    }
    // The kind of which nothing special is known: who names it has to know the next one too.
    for (file, text) in sources("src").into_iter().filter(|(file, _)| !scan::is_for_tests(file)) {
        let named = |kind: &str| scan::words(&text).into_iter().find(|(_, word)| word == kind);
        if let Some((line, _)) = named("ApiToken") {
            assert!(listed.contains(&file), "{file}:{line} names a kind: have it read of the table, or list the file");
        }
        // A kind that is granted: what is said of it may have to be said of the next one.
        let is_listed = listed.contains(&file) || looked_at.contains(&file);
        assert!(
            is_listed || named("ScopedRole").is_none(),
            "{file}:{:?} names a kind that is granted: have it read of the table or the row, or list the file",
            named("ScopedRole")
        );
        assert!(
            !looked_at.contains(&file) || named("ScopedRole").is_some(),
            "{file} names none any more: list it no more"
        );
    }
}

// The checker itself, on small sources.

const SMALL: Plan =
    Plan { floors: &[(3, &["shop"]), (2, &["left", "right"]), (1, &["base"])], only: &[("shop", 2, &["left::open"])] };

fn check(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(String, String)> =
        files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    complaints(&House::read(&files), &SMALL)
}

#[test]
fn an_import_that_goes_down_is_right_and_one_turned_round_is_told_with_its_line() {
    let down = [("src/base/time.rs", "pub struct Time;"), ("src/left/mod.rs", "\nuse crate::base::time::Time;\n")];
    assert_eq!(check(&down), [""; 0]);
    let up = [("src/base/time.rs", "\n\nuse crate::left::Left;\n"), ("src/left/mod.rs", "pub struct Left;")];
    assert_eq!(check(&up), ["src/base/time.rs:3: `left::Left` (src/left/mod.rs) goes up the floors"]);
}

#[test]
fn a_path_in_the_code_counts_as_an_import_does() {
    let files = [("src/base/time.rs", "fn now() {\n    crate::left::now()\n}"), ("src/left/mod.rs", "pub fn now() {}")];
    assert_eq!(check(&files), ["src/base/time.rs:2: `left::now` (src/left/mod.rs) goes up the floors"]);
}

#[test]
fn each_branch_of_a_use_tree_has_its_own_line() {
    let files = [
        ("src/left/mod.rs", "use crate::{\n    base::Time,\n    right::{\n        self as other,\n    },\n};"),
        ("src/right/mod.rs", ""),
        ("src/base/mod.rs", "pub struct Time;"),
    ];
    assert_eq!(check(&files), ["src/left/mod.rs:4: `right` (src/right/mod.rs) leads to a neighbour on the same floor"]);
}

#[test]
fn comments_texts_and_tests_are_not_read() {
    let base = r##"
        //! [`crate::left`]
        /* crate::left::x /* crate::left::y */ */
        const A: &str = "crate::left::x \" crate::left";
        const B: &str = r#"" crate::left::x "#;
        pub(in crate::left) fn g() {}
        const C: char = '"'; const D: char = '\''; fn life<'a>(x: &'a str) {}
        #[cfg(test)]
        use crate::left::{Left, Right};
        #[cfg(test)]
        mod tests { use crate::left::Left; fn f() { if true { } } }
        #[cfg(test)]
        pub fn f(x: [u8; 2]) -> u8 { crate::left::f() }
    "##;
    let left = ("src/left/mod.rs", "pub struct Left;");
    assert_eq!(check(&[("src/base/mod.rs", base), left]), [""; 0]);
    assert_eq!(check(&[("src/base/fakes.rs", "use crate::left::Left;"), left]), [""; 0]);
    let stand_in = ("src/base/stand_in.rs", "use crate::left::Left;");
    assert_eq!(check(&[("src/base/mod.rs", "#[cfg(test)]\nmod stand_in;"), stand_in, left]), [""; 0]);
    assert_eq!(check(&[("src/base/mod.rs", "mod stand_in;"), stand_in, left]).len(), 1, "compiled for more than tests");
    let after = format!("{base}\nuse crate::left::Left;");
    assert_eq!(check(&[("src/base/mod.rs", &after), left]).len(), 1);
}

#[test]
fn a_room_may_know_the_named_part_of_the_floor_below_alone() {
    let files = [
        (
            "src/shop/mod.rs",
            "use crate::left::open::Door;\nuse crate::left::shut::Door as Other;\nuse crate::base::Time;",
        ),
        ("src/left/open.rs", "pub struct Door;"),
        ("src/left/shut.rs", "pub struct Door;"),
        ("src/base/mod.rs", "pub struct Time;"),
    ];
    assert_eq!(
        check(&files),
        [
            "src/shop/mod.rs:2: `left::shut::Door` (src/left/shut.rs) leads to a part of the floor below that this room may not know"
        ]
    );
}

#[test]
fn files_of_one_room_that_know_each_other_are_a_circle() {
    let files = [
        ("src/left/one.rs", "use super::two::Two;"),
        ("src/left/two.rs", "use super::three::Three;"),
        ("src/left/three.rs", "\nuse super::one::One;"),
        ("src/left/four.rs", "use super::one::One;"),
    ];
    assert_eq!(check(&files).len(), 3);
    assert!(check(&files).contains(
        &"src/left/three.rs:2: `left::one::One` (src/left/one.rs) closes a circle inside its room".to_owned()
    ));
}

#[test]
fn a_mod_file_may_show_its_children_but_not_drive_one_that_knows_it() {
    let child = ("src/left/child.rs", "use super::Type;");
    assert_eq!(check(&[("src/left/mod.rs", "mod child;\npub use child::Child;\npub struct Type;"), child]), [""; 0]);
    let driven = [("src/left/mod.rs", "mod child;\npub struct Type;\nfn f() { child::go() }"), child];
    assert_eq!(check(&driven).len(), 2, "{:?}", check(&driven));
    let apart = [
        ("src/left/mod.rs", "mod child;\nmod kind;\npub use kind::Type;\nfn f() { child::go() }"),
        ("src/left/kind.rs", "pub struct Type;"),
        child,
    ];
    assert_eq!(check(&apart), [""; 0], "what is shown again is known where it stands");
}

#[test]
fn circles_of_rooms_are_counted() {
    let house = House::read(&[
        ("src/base/mod.rs".to_owned(), "use crate::left::Left;".to_owned()),
        ("src/left/mod.rs".to_owned(), "use crate::base::Base;".to_owned()),
    ]);
    assert_eq!(house.circles_of_rooms().len(), 1);
    assert_eq!(house.between_rooms().len(), 2);
}
