//! The rooms, which of them know which, and what is wrong with that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::scan::{self, Source};

/// What the house is to be: each room with its floor, and the files of the floor below that a room may know alone.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// The rooms with their floors, from the top.
    pub(crate) floors: &'static [(u8, &'static [&'static str])],
    /// Rooms that may know only some modules of the neighbours below them.
    pub(crate) only: &'static [(&'static str, u8, &'static [&'static str])],
}

impl Plan {
    /// The floor of a room.
    pub(crate) fn floor(&self, room: &str) -> Option<u8> {
        self.floors.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(floor, _)| *floor)
    }
}

/// One file knows another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrow {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) line: usize,
    /// The path as it was resolved.
    pub(crate) path: String,
}

/// What is wrong with an arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It goes up the floors.
    Up,
    /// It leads to a neighbour on the same floor.
    Sideways,
    /// It leads to a part of a room that this one may not know.
    Crossing,
    /// It is part of a circle inside of its room.
    Circle,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "goes up the floors",
            Self::Sideways => "leads to a neighbour on the same floor",
            Self::Crossing => "leads to a part of the floor below that this room may not know",
            Self::Circle => "closes a circle inside its room",
        })
    }
}

/// The sources with the arrows between them.
pub(crate) struct House {
    pub(crate) arrows: Vec<Arrow>,
    pub(crate) rooms: BTreeSet<String>,
}

/// The room of a file: the folder under `src/`, or the file's own name.
pub(crate) fn room(file: &str) -> &str {
    let inside = file.trim_start_matches("src/");
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

impl House {
    /// Reads the sources, given as pairs of path and text.
    pub(crate) fn read(files: &[(String, String)]) -> Self {
        let mut sources: BTreeMap<&str, Source> = files
            .iter()
            .filter(|(file, _)| !scan::is_for_tests(file))
            .map(|(file, text)| (file.as_str(), scan::read(file, text)))
            .collect();
        let for_tests: Vec<Vec<String>> = sources.values().flat_map(|source| source.for_tests.clone()).collect();
        sources.retain(|_, source| !for_tests.iter().any(|module| source.module.starts_with(module)));
        let modules: BTreeMap<&[String], &str> =
            sources.iter().map(|(file, source)| (source.module.as_slice(), *file)).collect();
        let mut arrows = Vec::new();
        for (file, source) in &sources {
            for mention in &source.mentions {
                let target = if mention.reexported {
                    // What a `mod.rs` shows of its own children is no knowledge of theirs.
                    if mention.path.starts_with(&source.module) {
                        continue;
                    }
                    owner(&modules, &mention.path).map(|(file, _)| file)
                } else {
                    resolve(&sources, &modules, &mention.path)
                };
                if let Some(target) = target.filter(|target| target != file) {
                    arrows.push(Arrow {
                        from: (*file).to_owned(),
                        to: target.to_owned(),
                        line: mention.line,
                        path: mention.path.join("::"),
                    });
                }
            }
        }
        Self { arrows, rooms: sources.keys().map(|file| room(file).to_owned()).collect() }
    }

    /// The pairs of rooms of which one knows the other.
    pub(crate) fn between_rooms(&self) -> BTreeSet<(String, String)> {
        let pairs = self.arrows.iter().map(|arrow| (room(&arrow.from).to_owned(), room(&arrow.to).to_owned()));
        pairs.filter(|(from, to)| from != to).collect()
    }

    /// The circles inside of rooms: each a set of files that all know each other, if by detours.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<String>> {
        let inside = self.arrows.iter().filter(|arrow| room(&arrow.from) == room(&arrow.to));
        circles(inside.map(|arrow| (arrow.from.clone(), arrow.to.clone())))
    }

    /// The circles between rooms.
    pub(crate) fn circles_of_rooms(&self) -> Vec<BTreeSet<String>> {
        circles(self.between_rooms().into_iter())
    }

    /// Every arrow that the plan does not allow.
    pub(crate) fn faults(&self, plan: &Plan) -> Vec<(Fault, &Arrow)> {
        let circles = self.circles();
        let mut faults: Vec<(Fault, &Arrow)> =
            self.arrows.iter().filter_map(|arrow| Some((fault(plan, &circles, arrow)?, arrow))).collect();
        faults.sort_by_key(|(fault, arrow)| (&arrow.from, arrow.line, *fault));
        faults
    }
}

fn fault(plan: &Plan, circles: &[BTreeSet<String>], arrow: &Arrow) -> Option<Fault> {
    let (from, to) = (room(&arrow.from), room(&arrow.to));
    if from == to {
        let circle = circles.iter().find(|circle| circle.contains(&arrow.from))?;
        return circle.contains(&arrow.to).then_some(Fault::Circle);
    }
    // A room without a floor is reported by itself; until then its arrows are not judged.
    let (here, there) = (plan.floor(from)?, plan.floor(to)?);
    if there > here {
        return Some(Fault::Up);
    }
    if there == here {
        return Some(Fault::Sideways);
    }
    let (_, _, allowed) = plan.only.iter().find(|(room, floor, _)| *room == from && *floor == there)?;
    let module = scan::module_of(&arrow.to).join("::");
    let known = allowed.iter().any(|part| module == *part || module.starts_with(&format!("{part}::")));
    (!known).then_some(Fault::Crossing)
}

/// The file whose module a path leads into, and what of the path is left behind it.
fn owner<'a, 'p>(modules: &BTreeMap<&[String], &'a str>, path: &'p [String]) -> Option<(&'a str, &'p [String])> {
    (0..=path.len()).rev().find_map(|length| {
        let (module, rest) = path.split_at(length);
        modules.get(module).map(|file| (*file, rest))
    })
}

/// The file in which what a path names stands: re-exports are followed.
fn resolve<'a>(
    sources: &BTreeMap<&'a str, Source>,
    modules: &BTreeMap<&[String], &'a str>,
    path: &[String],
) -> Option<&'a str> {
    let mut path = path.to_vec();
    for _ in 0..8 {
        let (file, rest) = owner(modules, &path)?;
        let Some((name, rest)) = rest.split_first() else { return Some(file) };
        let Some(behind) = sources.get(file).and_then(|source| source.names.get(name)) else { return Some(file) };
        path = behind.iter().chain(rest).cloned().collect();
    }
    owner(modules, &path).map(|(file, _)| file)
}

/// The strongly connected parts of a graph that have more than one node.
fn circles(arrows: impl Iterator<Item = (String, String)>) -> Vec<BTreeSet<String>> {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in arrows {
        known.entry(from).or_default().insert(to);
    }
    let reach: BTreeMap<&String, BTreeSet<&String>> = known.keys().map(|from| (from, reached(&known, from))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (from, there) in &reach {
        if found.iter().any(|circle| circle.contains(*from)) {
            continue;
        }
        let back = |to: &&&String| reach.get(**to).is_some_and(|back| back.contains(*from));
        let circle: BTreeSet<String> = there.iter().filter(back).map(|to| (*to).clone()).collect();
        if circle.len() > 1 {
            found.push(circle);
        }
    }
    found
}

fn reached<'a>(known: &'a BTreeMap<String, BTreeSet<String>>, from: &String) -> BTreeSet<&'a String> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&String> = known.get(from).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if seen.insert(next) {
            open.extend(known.get(next).into_iter().flatten());
        }
    }
    seen
}
