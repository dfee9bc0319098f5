//! README and `docs/` say what is there: links lead somewhere, and the tables have every variable, code and route, and no other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

#[path = "support/openapi.rs"]
mod openapi;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use c1_cloudflare::findings::RULES;
use c1_cloudflare::model::kind::Kind;
use c1_cloudflare::model::operation::Refusal;
use c1_cloudflare::worker::config;
use serde_json::Value;

/// Somebody who looks for the first time reads all of it.
const README_LIMIT: usize = 12 * 1024;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Everything that is written for people, by its path from the root.
fn pages() -> BTreeMap<String, String> {
    let mut paths = vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned()];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            paths.push(format!("docs/{name}"));
        }
    }
    paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// The lines of a page, each with whether it stands in a fenced block.
fn lines(page: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut fenced = false;
    page.lines().map(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (fenced || fence, line)
    })
}

/// What stands between backticks outside of fenced blocks, line by line.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The first cell of every row of the table whose head begins with `head`.
fn first_cells<'a>(page: &'a str, head: &str) -> Vec<&'a str> {
    let rows = page.lines().skip_while(|line| !line.starts_with(head)).skip(2).take_while(|line| line.starts_with('|'));
    let cells: Vec<_> = rows.map(|row| row.split('|').nth(1).unwrap().trim()).collect();
    assert!(!cells.is_empty(), "there is no table whose head begins with {head}");
    cells
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut anchors = BTreeSet::new();
    for (fenced, line) in lines(page) {
        let title = line.trim_start_matches('#');
        if fenced || title == line || !title.starts_with(' ') {
            continue;
        }
        let slug: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter(|&c| c.is_alphanumeric() || c == ' ' || c == '-' || c == '_')
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let count = seen.entry(slug.clone()).or_default();
        anchors.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    anchors
}

/// The targets of a page's links.
fn links(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    for (fenced, line) in lines(page) {
        // What stands between backticks is no link.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        if !fenced {
            links.extend(prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())));
        }
    }
    links
}

#[test]
fn the_readme_is_short() {
    let length = read("README.md").len();
    assert!(length <= README_LIMIT, "README.md has {length} bytes; move something into docs/");
}

#[test]
fn every_page_of_docs_is_linked_from_the_readme() {
    let links: BTreeSet<_> =
        links(&read("README.md")).into_iter().map(|link| link.split('#').next().unwrap().to_owned()).collect();
    for path in pages().keys().filter(|path| *path != "README.md") {
        assert!(links.contains(path), "README.md has no link to {path}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut count = 0;
    for (path, page) in &pages {
        for link in links(page).iter().filter(|link| !link.contains("://")) {
            count += 1;
            let (file, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(file, anchor)| (file, Some(anchor)));
            let target =
                if file.is_empty() { root().join(path) } else { root().join(path).parent().unwrap().join(file) };
            assert!(target.exists(), "{path}: the link {link} leads to no file");
            if let Some(anchor) = anchor {
                let text = fs::read_to_string(&target).unwrap();
                assert!(anchors(&text).contains(anchor), "{path}: the link {link} leads to no heading");
            }
        }
    }
    assert!(count > 30, "only {count} links were found: is a link written otherwise?");
}

#[test]
fn the_readme_names_the_two_commands() {
    let page = read("README.md");
    for command in ["make demo", "make test"] {
        let named = lines(&page).any(|(fenced, line)| fenced && line.split('#').next().unwrap().trim() == command);
        assert!(named, "README.md has no line with `{command}` in a block of commands");
    }
}

/// The names that the configuration is read by, whatever the values of others are.
fn variables() -> BTreeSet<String> {
    let names = RefCell::new(BTreeSet::new());
    let look = |value: Option<&str>| {
        let read = config::read(|name| {
            names.borrow_mut().insert(name.to_owned());
            value.map(str::to_owned)
        });
        assert!(read.is_err(), "neither nothing nor nonsense is a configuration");
    };
    look(None);
    look(Some("nonsense"));
    names.into_inner()
}

#[test]
fn the_page_on_the_configuration_has_every_variable_and_no_other() {
    let read = variables();
    assert!(read.len() > 20, "{read:?}");
    let page = read_page_cells("docs/configuration.md", "| Name |");
    assert_eq!(page, read, "on the left what the page names, on the right what is read");
}

/// What stands between backticks in the first column.
fn read_page_cells(path: &str, head: &str) -> BTreeSet<String> {
    first_cells(&read(path), head).into_iter().flat_map(spans).map(str::to_owned).collect()
}

/// The words that `Refusal` is written as: serde names all of them when it meets another.
fn refusals() -> BTreeSet<String> {
    let error = serde_json::from_str::<Refusal>("\"\"").unwrap_err().to_string();
    spans(&error)
        .filter_map(|word| serde_json::from_str::<Refusal>(&format!("\"{word}\"")).ok())
        .map(|refusal| refusal.as_str().to_owned())
        .collect()
}

/// The codes that the routes write by themselves: what stands after the status of a `Problem`, a word or a constant's name.
fn problems() -> BTreeSet<String> {
    // SCIM's errors have their own words, which RFC 7644 defines.
    let source = sources("src/routes", &|path| !path.ends_with("scim"));
    let mut codes = BTreeSet::new();
    for call in ["Problem::new(", "Self::new(", "unavailable("] {
        for rest in source.split(call).skip(1) {
            let rest = rest.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
            let code = rest.trim_start_matches(',').split(',').next().unwrap().trim();
            let constant = format!("const {code}: &str = \"");
            let word = match source.split_once(&constant) {
                Some((_, value)) => value.split('"').next(),
                None => code.strip_prefix('"').and_then(|code| code.strip_suffix('"')),
            };
            codes.extend(word.map(str::to_owned));
        }
    }
    codes
}

#[test]
fn the_page_on_codes_has_every_refusal_and_every_problem() {
    let page = read_page_cells("docs/codes.md", "| `code` |");
    let refusals = refusals();
    assert!(refusals.len() >= 19 && refusals.contains("cloudflare_refused"), "{refusals:?}");
    let problems = problems();
    assert!(problems.len() >= 15 && problems.contains("no_snapshot"), "{problems:?}");
    let missing: Vec<_> = refusals.union(&problems).filter(|code| !page.contains(*code)).collect();
    assert!(missing.is_empty(), "docs/codes.md does not have {missing:?}");
    let source = sources("src", &|_| true);
    let gone: Vec<_> =
        page.iter().filter(|code| !refusals.contains(*code) && !source.contains(&format!("\"{code}\""))).collect();
    assert!(gone.is_empty(), "docs/codes.md has codes that nothing answers with: {gone:?}");
}

/// The text of the files below a folder, without those that `enters` leaves out.
fn sources(folder: &str, enters: &dyn Fn(&Path) -> bool) -> String {
    let mut text = String::new();
    let mut paths = vec![root().join(folder)];
    while let Some(path) = paths.pop() {
        if path.is_dir() && enters(&path) {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    text
}

#[test]
fn a_command_is_told_in_one_place_where_what_needs_no_terminal_stands_beside_it() {
    // Who deployed by a button has no clone, no make and no terminal.
    let text = sources("src", &|path| path.file_name().is_none_or(|name| name != "tests"));
    let told = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        let commands = ["npx ", "npm run", "make up", "make down", "make connect", "make deploy", "in wrangler.toml"];
        lines.filter(|line| commands.iter().any(|it| line.contains(it))).map(str::to_owned).collect()
    };
    let (mut all, mut there) = (told(&text), told(&read("src/base/remedy.rs")));
    assert!(there.len() > 2, "{there:#?}");
    all.sort();
    there.sort();
    assert_eq!(all, there, "these stand elsewhere than in src/base/remedy.rs, or more than once");
    for line in there {
        assert!(line.contains("dashboard") || line.contains("page"), "{line}");
    }
}

/// A segment of a path: a word, or something that stands for one.
type Template = Vec<Option<String>>;

/// The routes of `fn at` in `src/routes/route.rs`, by the patterns of its `match`.
fn routes() -> BTreeSet<Template> {
    let source = read("src/routes/route.rs");
    let body = source.split("fn at(").nth(1).expect("src/routes/route.rs has fn at").split("\n}\n").next().unwrap();
    let mut routes = BTreeSet::new();
    for line in body.lines() {
        let Some(pattern) = line.trim().strip_prefix('[').and_then(|line| line.split_once(']')) else { continue };
        if !pattern.1.contains("=>") {
            continue;
        }
        let segments =
            pattern.0.split(", ").map(|segment| Some(segment.strip_prefix('"')?.strip_suffix('"')?.to_owned()));
        routes.insert(segments.collect());
    }
    assert!(routes.len() >= 20, "{routes:?}");
    routes
}

/// What the page has in its first column, with `(also …)` spelled out.
fn documented() -> BTreeSet<Template> {
    let page = read("docs/routes.md");
    let mut routes = BTreeSet::new();
    for cell in first_cells(&page, "| Route |") {
        let (cell, also) = cell.split_once("(also").unwrap_or((cell, ""));
        for span in spans(cell) {
            let path = span.split_once(" /").map_or(span, |(_, path)| path).trim_start_matches('/');
            let route: Template = path
                .split('/')
                .map(|segment| (!segment.starts_with('{') && segment != "…").then(|| segment.to_owned()))
                .collect();
            for other in spans(also) {
                let mut route = route.clone();
                route[1] = Some(other.to_owned());
                routes.insert(route);
            }
            routes.insert(route);
        }
    }
    routes
}

/// Whether a path of the page is one of a pattern of the source: what is variable there may be a word here.
fn is_of(path: &Template, pattern: &Template) -> bool {
    path.len() == pattern.len()
        && path.iter().zip(pattern).all(|(segment, pattern)| pattern.is_none() || segment == pattern)
}

#[test]
fn the_page_on_routes_has_every_route_and_no_other() {
    let (routes, page) = (routes(), documented());
    for route in &routes {
        assert!(page.iter().any(|path| is_of(path, route)), "docs/routes.md has no {route:?}");
    }
    // A file beside the page is none of the Worker's own routes.
    let source = read("src/routes/route.rs") + &read("src/routes/webhook.rs") + &read("scripts/page.sh");
    for path in &page {
        let written =
            format!("/{}", path.iter().map(|segment| segment.as_deref().unwrap_or("{}")).collect::<Vec<_>>().join("/"));
        let found = routes.iter().any(|route| is_of(path, route)) || source.contains(&format!("{written}\""));
        assert!(found, "docs/routes.md has {written}, which leads nowhere");
    }
    // The lists are one pattern in the source; each is a path of its own on the page.
    for kind in Kind::ALL {
        let name = kind.facts().collection;
        assert!(page.contains(&vec![Some("v1".to_owned()), Some(name.to_owned())]), "docs/routes.md has no /v1/{name}");
    }
    assert!(page.contains(&vec![Some("webhooks".to_owned()), Some("conductorone".to_owned())]));
}

/// A path of the document as a template.
fn described(path: &str) -> Template {
    path.trim_start_matches('/')
        .split('/')
        .map(|segment| (!segment.starts_with('{')).then(|| segment.to_owned()))
        .collect()
}

#[test]
fn the_openapi_document_has_every_route_of_v1_with_its_methods_and_no_other() {
    let paths = openapi::DOCUMENT["paths"].as_object().unwrap();
    let described: BTreeSet<Template> = paths.keys().map(|path| described(path)).collect();
    let is_v1 = |route: &&Template| route.first().is_some_and(|first| first.as_deref() == Some("v1"));
    let page = documented();
    // The page spells out what is one pattern in the source, and is itself compared with that.
    let written: BTreeSet<&Template> =
        page.iter().filter(is_v1).filter(|route| route[1].as_deref() != Some("openapi.json")).collect();
    for route in &written {
        assert!(described.contains(*route), "page/openapi.mjs has no {route:?}");
    }
    for route in &described {
        assert!(written.contains(route), "page/openapi.mjs has {route:?}, which docs/routes.md has not");
    }
    let methods: BTreeSet<(String, Template)> = paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), self::described(path)))
        })
        .collect();
    assert_eq!(methods, documented_methods());
}

/// Method and path of each route of `/v1` on the page.
fn documented_methods() -> BTreeSet<(String, Template)> {
    let page = read("docs/routes.md");
    let mut methods = BTreeSet::new();
    for cell in first_cells(&page, "| Route |") {
        let (cell, also) = cell.split_once("(also").unwrap_or((cell, ""));
        for span in spans(cell) {
            let Some((method, path)) = span.split_once(" /v1/").filter(|(_, path)| *path != "openapi.json") else {
                continue;
            };
            let route = described(&format!("v1/{path}"));
            methods.insert((method.to_owned(), route.clone()));
            for other in spans(also) {
                let mut route = route.clone();
                route[1] = Some(other.to_owned());
                methods.insert((method.to_owned(), route));
            }
        }
    }
    methods
}

#[test]
fn the_openapi_document_has_every_code_with_its_status_and_no_other() {
    let words = |schema: &Value| -> BTreeSet<String> {
        schema["enum"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect()
    };
    let codes = words(&openapi::DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]);
    assert_eq!(
        codes,
        read_page_cells("docs/codes.md", "| `code` |"),
        "on the left page/openapi.mjs, on the right docs/codes.md"
    );
    // What is not of /v1, or of paths that are not in the document.
    let elsewhere = [
        "invalid_webhook",
        "webhook_rejected",
        "public_url_unknown",
        "keys_unavailable",
        "token_used",
        "not_decided",
        "signing_failed",
        "signed_out",
        "access_refused",
        "method_not_allowed",
    ];
    let mut used = BTreeSet::from(elsewhere.map(str::to_owned));
    let paths = openapi::DOCUMENT["paths"].as_object().unwrap();
    for (status, response) in paths
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .flat_map(|operation| operation["responses"].as_object().unwrap())
    {
        let problem = &response["content"]["application/problem+json"]["schema"];
        if problem.is_object() {
            let of = words(&problem["properties"]["code"]);
            for code in &of {
                let row = first_row(code);
                assert!(row.contains(status.as_str()), "page/openapi.mjs answers {code} with {status}: {row}");
            }
            used.extend(of);
        }
    }
    assert_eq!(used, codes, "on the left the codes that some route has");
}

/// What a scrape is told has a row each on the page, and the dashboard asks for nothing else.
#[test]
fn the_page_on_metrics_has_every_metric_and_the_dashboard_no_other() {
    let page = read_page_cells("docs/metrics.md", "| Metric |");
    let source = read("src/coordinator/metrics.rs");
    let source = source.split("#[cfg(test)]").next().unwrap();
    let mut told: BTreeSet<String> = BTreeSet::new();
    for call in ["text.of(\"", "text.one(\"", "    (\""] {
        told.extend(source.split(call).skip(1).filter_map(|rest| {
            let (name, rest) = rest.split_once('"')?;
            // Labels have no sentence behind them.
            rest.starts_with(", \"").then(|| format!("connector_{name}"))
        }));
    }
    assert!(told.len() >= 12, "{told:?}");
    assert_eq!(page, told, "on the left docs/metrics.md, on the right src/coordinator/metrics.rs");
    let dashboard: Value = serde_json::from_str(&read("docs/grafana.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let asked = target["expr"].as_str().unwrap();
            assert!(told.iter().any(|name| asked.contains(name.as_str())), "docs/grafana.json asks for {asked}");
        }
    }
    // So do the alerts, and one of them tells what is not tried again.
    let page = read("docs/metrics.md");
    let alerts: Vec<&str> = page.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    for alert in &alerts {
        assert!(told.iter().any(|name| alert.contains(name.as_str())), "docs/metrics.md alerts on {alert}");
    }
    assert!(alerts.contains(&"connector_jobs{state=~\"failed|failing\"} > 0"), "{alerts:?}");
    assert!(page.contains("\nFive alerts to begin with.") && alerts.len() == 5, "{alerts:?}");
    // What ConductorOne sends to another address than the Worker's fails without an error in it.
    assert!(alerts.iter().any(|alert| alert.contains("route=\"webhook\", status=\"401\"")), "{alerts:?}");
}

/// The row of a code on the page on codes.
fn first_row(code: &str) -> String {
    let page = read("docs/codes.md");
    let row = page.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{code}`")));
    row.expect("it is compared with the page above").to_owned()
}

#[test]
fn the_page_on_findings_has_every_rule_as_the_table_has_it() {
    let page = read("docs/findings.md");
    let rows =
        page.lines().skip_while(|line| !line.starts_with("| Rule |")).skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<&str> = rows.collect();
    let table: Vec<String> = RULES
        .iter()
        .map(|rule| format!("| `{}` | {} | {} | {} |", rule.name, rule.severity.as_str(), rule.title, rule.remedy))
        .collect();
    assert_eq!(rows, table);
}

/// Whoever looks at the list of processes, or into the shell's history, sees what stands on a command line.
#[test]
fn no_page_puts_a_token_on_a_command_line() {
    for (path, page) in pages() {
        for (_, line) in lines(&page).filter(|(fenced, _)| *fenced) {
            let header = ["curl", "-H"].iter().all(|word| line.contains(word)) && line.contains("Authorization");
            let literal = ["TOKEN", "SECRET", "API_KEY"].iter().any(|name| {
                line.split_once(&format!("{name}="))
                    .is_some_and(|(_, value)| !value.trim_start_matches('"').starts_with("$("))
            });
            let flag = ["--client-secret", "--api-key", "--token"].iter().any(|flag| line.contains(flag));
            assert!(!header && !literal && !flag, "{path} puts a token on a command line: {line}");
        }
    }
}

/// A shell is bash for the one and zsh for the other: where `read -p` asks in bash, zsh reads from a coprocess, of which there is none.
#[test]
fn no_page_asks_in_a_way_that_one_shell_alone_knows() {
    let mut found = 0;
    for (path, page) in pages() {
        for (_, line) in lines(&page).filter(|(fenced, _)| *fenced) {
            for options in line.split("read -").skip(1).filter_map(|rest| rest.split(' ').next()) {
                found += 1;
                assert!(!options.contains('p'), "{path}: {line}");
            }
        }
    }
    assert!(found >= 4, "{found}");
}

/// The lines of blocks that are a shell's, or of no language that is named.
fn shell_lines(page: &str) -> Vec<&str> {
    let mut language = None;
    let mut found = Vec::new();
    for line in page.lines() {
        match (line.trim_start().strip_prefix("```"), language) {
            (Some(opened), None) => language = Some(opened),
            (Some(_), Some(_)) => language = None,
            (None, Some("" | "sh" | "bash" | "zsh" | "shell" | "console")) => found.push(line),
            (None, _) => {}
        }
    }
    found
}

/// Whether a word begins with `#` that no quote is around.
fn has_comment(line: &str) -> bool {
    let (mut quote, mut before) = (None, ' ');
    for letter in line.chars() {
        match quote {
            Some(opened) if letter == opened => quote = None,
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            None if letter == '#' && before.is_whitespace() => return true,
            _ => {}
        }
        before = letter;
    }
    false
}

/// An interactive zsh, which a Mac has, knows no comments: a line that begins with one is a command that is not there, and what stands behind a
/// command is given to it. `curl` sends the token to each of those words then, in plain text.
#[test]
fn no_command_that_is_to_be_copied_has_a_comment() {
    for (line, expected) in [
        ("make demo   # it ends by itself", true),
        ("# the first time", true),
        ("export T=\"$(cut -d ' ' -f 3 headers.txt)\" #it", true),
        ("printf 'a # b' \"# c\" $# x#y", false),
    ] {
        assert_eq!(has_comment(line), expected, "{line}");
    }
    let mut found = 0;
    for (path, page) in pages() {
        for line in shell_lines(&page) {
            found += 1;
            assert!(!has_comment(line), "{path}: {line}");
        }
    }
    assert!(found > 60, "{found}");
    // So it is with what programs print: in their sources nothing else has a `#` that stands alone.
    let has_any = |line: &str, of: &[&str]| of.iter().any(|it| line.contains(it));
    let scripts = sources("scripts", &|_| true);
    let said = scripts.lines().filter(|line| has_any(line, &["say(", "Stop(", "echo ", "printf "]));
    let demo = read("tests/sim/src/bin/demo/serve.rs");
    for line in said.chain(demo.lines()).filter(|line| has_any(line, &["make ", "npx ", "npm ", "curl "])) {
        assert!(!line.contains(" # "), "{line}");
    }
}

/// The README is opened on slow lines too.
#[test]
fn a_picture_is_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let pictures: Vec<_> = files.filter(|file| file.path().extension().is_some_and(|it| it == "png")).collect();
    assert_eq!(pictures.len(), 2);
    for picture in pictures {
        assert!(picture.metadata().unwrap().len() <= 150_000, "{}", picture.path().display());
    }
}

#[test]
fn the_variables_that_make_up_lets_pass_are_those_that_the_worker_reads() {
    let names = |path: &str, from: &str, to: &str| -> BTreeSet<String> {
        let text = read(path);
        let list = text.split_once(from).unwrap().1.split_once(to).unwrap().0;
        list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let read = names("src/worker/config.rs", "const ORDER", "];");
    assert!(read.len() > 50, "{read:?}");
    assert_eq!(names("scripts/up/variables.mjs", "const KNOWN", "]);"), read);
    // Of them, what the page calls a secret is none of wrangler.toml's.
    let page = self::read("docs/configuration.md");
    let rows = page.lines().skip_while(|line| !line.starts_with("| Name |")).take_while(|line| line.starts_with('|'));
    let secrets = rows.filter(|row| row.split('|').nth(2).unwrap().trim().starts_with("secret"));
    let secrets: BTreeSet<String> =
        secrets.flat_map(|row| spans(row.split('|').nth(1).unwrap())).map(str::to_owned).collect();
    assert!(secrets.len() > 10 && secrets.is_subset(&read), "{secrets:?}");
    assert_eq!(names("scripts/up/variables.mjs", "const SECRETS", "]);"), secrets);
}
