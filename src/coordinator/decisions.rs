//! Questions about approvals, from their arrival to their answer: decided once, kept, and answered the same whenever they come again.

use super::memory::Ports;
use super::settings::Settings;
use super::what_if::{self, Thinking, Who};
use crate::account::default_role::listed;
use crate::audit::signs::Watch;
use crate::base::ports::{Level, Sql, SqlError};
use crate::base::time::Timestamp;
use crate::decide::facts::{Standing, are_clear};
use crate::decide::record::{self, Before, NOT_DENIED, Record};
use crate::decide::{self, Facts, Question, Rules, Verdict};
use crate::findings;
use crate::model::address;
use crate::model::ask::Action;
use crate::model::grant::{Entitlement, Holding, Principal};
use crate::model::operation::EntryId;
use crate::provision::journal::{self, OF_ACCOUNT};

/// The facts, which were gathered since `began`, with what is found to be wrong, and for how long the person gave no sign of life, where a rule asks for
/// it; and with what is on its way to whoever has one of these addresses. And whether that one is to be removed from the account, whatever else is known.
fn with_findings<P: Ports>(
    ports: &P,
    settings: &Settings,
    facts: Facts,
    emails: &[String],
    began: Timestamp,
) -> Result<(Facts, bool), SqlError> {
    let asks = settings.rules.as_ref().is_ok_and(Rules::asks_for_findings);
    let (own, key) = match &facts {
        Facts::Known(known) => (known.person.email.clone(), known.person.key),
        Facts::Unknown(_) => (None, None),
    };
    let (mut all, mut is_whole, mut is_leaving) = (Vec::new(), true, false);
    let is_new = |own: &&String| !emails.iter().any(|email| address::same(email, own));
    for email in emails.iter().chain(own.iter().filter(is_new)) {
        let (more, is_clear, leaves) = coming(ports, &address::folded(email), key.map(Principal::id), began)?;
        is_leaving |= leaves;
        // What cannot be told may be anything.
        is_whole &= is_clear;
        all.extend(more);
    }
    let Facts::Known(mut known) = facts else { return Ok((facts, is_leaving)) };
    known.person.is_whole &= is_whole;
    // Those of a generation before say nothing of this one.
    if asks && findings::looked_at(ports)?.as_ref() >= Some(&known.generation) {
        let about = known.person.key.map(|key| key.to_string()).unwrap_or_default();
        let (open, perhaps) = findings::open_about(ports, &about, ports.now())?;
        (known.findings, known.perhaps) = (Some(open), perhaps);
    }
    if settings.rules.as_ref().is_ok_and(Rules::asks_for_silence)
        && let (Some(Principal::User(user)), Some(email)) = (known.person.key, &known.person.email)
    {
        let silence = Watch::load(ports, ports.now())?.silence(user, email);
        // Of whom no login is known may read every day: changes alone decide nothing.
        known.idle_days = silence.since_login.and(silence.days(ports.now()));
    }
    // What was asked for before a role's own id was learned names its permission group.
    for it in &mut all {
        if let Holding::Entitlement(it) = it {
            *it = listed(&known.catalogue, *it).map_or(*it, |it| it.entitlement);
        }
    }
    // Of the same, another step of the task may have been approved, and none of them keeps it from who asks.
    let wanted = known.wanted.entitlement.map_or(Holding::Account, Holding::Entitlement);
    all.retain(|it| *it != wanted);
    // Who is nobody yet is invited for an account or a user group, with the first role.
    let begins = |it: &Holding| matches!(it, Holding::Account | Holding::Entitlement(Entitlement::Group(_)));
    if known.person.status == Standing::None && all.iter().any(begins) {
        let first = settings.provision.default_role.in_catalogue(&known.catalogue).map(Holding::Entitlement);
        known.person.is_whole &= first.is_some();
        all.extend(first.filter(|first| *first != wanted));
    }
    for it in all {
        if let Holding::Entitlement(it) = it {
            known.person.coming.extend(known.catalogue.given_by(it));
        }
    }
    // Nor is it known what that gives which the generation does not list.
    known.person.is_whole &= are_clear(&known.person.coming, &known.catalogue);
    Ok((Facts::Known(known), is_leaving))
}

/// Why nothing is approved for somebody who is to be removed from the account, and what whoever is asked instead has to know.
const LEAVING: &str = "The person is to be removed from the account, and a grant would void that, so no rule approves it; ask again once it is over.";

/// What was approved or left to people counts as on its way for so long: other steps of the task may come after this one, and nothing tells when people
/// decide, and how. It does no more once a grant of the task was settled before the facts were gathered, which show it for as long as it is held; nor once
/// the ledger has, for a minute, that it was given since, and not by this connector: what another task brought says nothing of this one.
const COMING_MILLIS: i64 = 8 * 24 * 60 * 60 * 1_000;

/// What asks for [`coming`]. Decisions go by the index of what was not denied, which is in the order of time: however much else was decided, and however
/// long ago, what may come of it for this one is among the few of late.
fn statement() -> String {
    format!(
        "SELECT CASE WHEN json_extract(request, '$.action') = 'revoke' THEN id \
            WHEN json_extract(outcome, '$.effect') IS NOT 'renewed' AND id NOT IN (SELECT operation FROM renewal) THEN entitlement END \
         FROM (SELECT * FROM operation WHERE due_at IS NOT NULL AND outcome IS NULL \
            UNION ALL SELECT * FROM operation WHERE settled_at >= ?3) \
         WHERE (json_extract(request, '$.action') = 'grant' OR outcome IS NULL AND {OF_ACCOUNT}) \
            AND (email = ?1 OR email IS NULL AND {} \
                OR ?4 IN (json_extract(request, '$.subject.user_id'), json_extract(request, '$.subject.member_id'))) \
         UNION SELECT json_extract(record, '$.entitlement') FROM decision \
         WHERE {NOT_DENIED} AND version = 1 AND at >= ?2 \
            AND (json_extract(record, '$.email') = ?1 OR {} \
                OR ?4 IN (json_extract(record, '$.asked.subject.user_id'), json_extract(record, '$.asked.subject.member_id'))) \
            AND json_extract(record, '$.action') = 'grant' AND json_extract(record, '$.entitlement') IS NOT NULL \
            AND NOT EXISTS (SELECT 1 FROM operation WHERE +settled_at BETWEEN at AND ?3 - 1 \
                AND operation.key BETWEEN json_extract(record, '$.origin.task') || '/' AND json_extract(record, '$.origin.task') || '0' \
                AND COALESCE(entitlement = json_extract(record, '$.entitlement'), 1)) \
            AND NOT EXISTS (SELECT 1 FROM ledger WHERE name = json_extract(record, '$.email') AND version = 1 AND gained = 1 \
                AND cause IN ('foreign', 'unknown') \
                AND +entitlement = json_extract(record, '$.entitlement') AND ledger.at BETWEEN decision.at AND ?3 - 60000)",
        journal::names_by("request", "?1"),
        journal::names_by("json_extract(record, '$.asked')", "?1")
    )
}

/// What is on its way to whoever has an address, or is known by this id: grants that are under way, or were when the facts `began` to be gathered, which
/// may have been before they were done; and what was approved or left to people of late, whichever of the two it was asked by. Two that must not come
/// together may be asked for at the same time. And whether that is all: what a renewal brings back, and what could not be looked up yet, has no
/// id here. And whether their account is being removed, or waits for that, and nothing has voided it.
fn coming(
    sql: &dyn Sql,
    email: &str,
    key: Option<String>,
    began: Timestamp,
) -> Result<(Vec<Holding>, bool, bool), SqlError> {
    let lately = began.plus_millis(-COMING_MILLIS);
    let rows = sql.query(&statement(), &[email.into(), lately.into(), began.into(), key.into()])?;
    let (mut known, mut is_clear, mut is_leaving) = (Vec::new(), true, false);
    for value in rows.iter().flatten() {
        if let Some(removal) = value.integer() {
            is_leaving |= journal::superseded_by(sql, EntryId(removal))?.is_none();
            continue;
        }
        let it = value.text().and_then(|text| text.parse::<Holding>().ok());
        is_clear &= it.is_some();
        known.extend(it);
    }
    Ok((known, is_clear, is_leaving))
}

/// Decides a question, or finds how it was decided.
pub(super) async fn decide<P: Ports>(ports: &P, settings: &Settings, question: &Question) -> Result<Record, SqlError> {
    let began = ports.now();
    let before = question.key.as_deref().map_or(Ok(Before::Nothing), |key| record::find(ports, key))?;
    let apps = settings.provision.apps.or_connected(|| crate::connect::connected_apps(ports))?;
    let is_admitted = apps.admit(&question.origin).is_ok();
    let may_come =
        is_admitted && question.actionable.is_ok() && (!question.entitlement.builtin || apps.admit_builtin().is_ok());
    if let Before::Decided(record) = &before
        && is_admitted
        && record.is_of(question)
    {
        return Ok(*record.clone());
    }
    crate::connect::came_by(ports, "approvals")?;
    let mut facts = match &before {
        Before::Decided(record) if is_admitted => Facts::Unknown(format!(
            "This task and step asked for something else before, which is decision {} of this connector; make a new task for it.",
            record.id
        )),
        Before::Unreadable if is_admitted => Facts::Unknown(
            "Another version of this connector has decided this task and step already, in a way that this one cannot read; decide it yourself, or make a new task for it.".to_owned(),
        ),
        _ => decide::gather(ports, settings.known_by(), question).await,
    };
    if let Facts::Known(known) = &mut facts
        && let Some(who) = known.person.key.map(Who::Known).or_else(|| known.person.email.clone().map(Who::Address))
    {
        // Of an account too, and of somebody who would be invited.
        let asked = Thinking { who, action: known.action, entitlement: known.wanted.entitlement };
        // A line that cannot be had now changes no decision.
        known.what_if = what_if::line(ports, settings, &asked).await.ok();
    }
    // From here on nothing is awaited: two that are asked for in the same moment know of each other.
    let (facts, is_leaving) = with_findings(ports, settings, facts, &question.subject.emails, began)?;
    let mut decision = decide::decide(&settings.rules, &facts, &question.parties);
    if is_leaving && is_admitted && matches!(question.action, Ok(Action::Grant)) {
        match decision.verdict {
            Verdict::Approve => {
                decision = decide::decide(&settings.rules, &Facts::Unknown(LEAVING.to_owned()), &question.parties);
            }
            // Whoever approves it in the connector's place would void the removal unawares.
            Verdict::Reassign => decision.reason = [LEAVING, decision.reason.as_str()].join(" "),
            Verdict::Deny => {}
        }
    }
    let mut record = Record::new(question, &facts, &decision, ports.now());
    // A grant of it would be refused, whatever people decide: else whoever owns another app could keep from somebody what must not come with it.
    if !may_come {
        record.entitlement = None;
    }
    // What was decided first under the key stays what it was.
    let record = match before {
        Before::Nothing => record::keep(ports, &record)?,
        Before::Decided(_) | Before::Unreadable => record,
    };
    let fields = serde_json::json!({
        "decision": record.id, "task": record.origin.task, "verdict": record.verdict, "rule": record.rule,
        "entitlement": record.entitlement, "email": record.email, "requester": record.origin.requester,
    });
    ports.log(Level::Info, "approval decided", fields);
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::{coming, statement};
    use crate::base::fakes::Desk;
    use crate::base::ports::{Clock as _, Sql as _, SqlValue};
    use crate::coordinator::init;

    const JANE: &str = "jane@example.com";
    const HER_ID: &str = "1950eaac6afff7eeb3d21899eb1b7c9a";
    const ROLE: &str = "role:4f9d0aa8c6c84a6bb80b0a5a4a4b8f1f:member";

    /// How much is on its way to Jane, and whether that is all, where there is one operation: settled so many milliseconds after the facts began to be
    /// gathered, with this effect, or under way; of a renewal or of none.
    fn told(
        request: &str,
        email: Option<&str>,
        what: Option<&str>,
        settled: Option<(i64, &str)>,
        renews: bool,
    ) -> (usize, bool) {
        let desk = Desk::new();
        init(&desk).unwrap();
        let outcome = settled.map(|(_, effect)| format!(r#"{{"outcome":"done","effect":"{effect}"}}"#));
        let (settled_at, due_at) = match settled {
            Some((after, _)) => (SqlValue::from(desk.now().plus_millis(after)), SqlValue::Null),
            None => (SqlValue::Null, desk.now().into()),
        };
        desk.query(
            "INSERT INTO operation (id, key, state, request, email, entitlement, outcome, received_at, settled_at, due_at) \
             VALUES (7, 't/7', 'received', ?, ?, ?, ?, 0, ?, ?)",
            &[request.into(), email.into(), what.into(), outcome.into(), settled_at, due_at],
        )
        .unwrap();
        if renews {
            desk.query("INSERT INTO renewal (operation, member, email, held) VALUES (7, '', '', '')", &[]).unwrap();
        }
        let (known, is_clear, _) = coming(&desk, JANE, Some(HER_ID.to_owned()), desk.now()).unwrap();
        (known.len(), is_clear)
    }

    #[test]
    fn a_grant_is_on_its_way_until_the_facts_were_gathered_after_it() {
        let (grant, revoke) = (r#"{"action":"grant"}"#, r#"{"action":"revoke"}"#);
        for (request, email, settled, count) in [
            (grant, JANE, None, 1),
            (grant, JANE, Some(0), 1),
            (grant, JANE, Some(3_000), 1),
            (grant, JANE, Some(-1), 0),
            (grant, "joe@example.com", None, 0),
            (grant, "joe@example.com", Some(0), 0),
            (revoke, JANE, None, 0),
            (revoke, JANE, Some(0), 0),
        ] {
            let settled = settled.map(|after| (after, "granted"));
            let found = told(request, Some(email), Some(ROLE), settled, false);
            assert_eq!(found, (count, true), "{request} {email} {settled:?}");
        }
    }

    #[test]
    fn what_has_no_id_yet_or_is_brought_back_by_a_renewal_may_be_anything() {
        let grant = r#"{"action":"grant"}"#;
        for (what, settled, renews, expected) in [
            (Some("account"), None, false, (1, true)),
            (Some("account"), None, true, (0, false)),
            (Some("account"), Some((0, "renewed")), false, (0, false)),
            (Some("account"), Some((-1, "renewed")), false, (0, true)),
            (None, None, false, (0, false)),
            (Some("role:of-a-newer-kind"), None, false, (0, false)),
        ] {
            assert_eq!(told(grant, Some(JANE), what, settled, renews), expected, "{what:?} {settled:?} {renews}");
        }
    }

    #[test]
    fn what_was_left_to_people_comes_until_a_grant_of_its_task_was_settled_before_the_facts_were_gathered() {
        for (key, what, settled, count) in [
            ("t1/9", Some(ROLE), -1, 0),
            // It was refused before it was known what it is.
            ("t1/9", None, -1, 0),
            // The controls: it was done while the facts were gathered, or before this was asked; another task, and another step's own.
            ("t1/9", Some(ROLE), 0, 1),
            ("t1/9", Some(ROLE), -1_001, 1),
            ("t10/9", Some(ROLE), -1, 1),
            ("t1/9", Some("account"), -1, 1),
        ] {
            let desk = Desk::new();
            init(&desk).unwrap();
            let record = format!(
                r#"{{"email":"{JANE}","verdict":"reassign","action":"grant","entitlement":"{ROLE}","origin":{{"task":"t1"}}}}"#
            );
            let asked_at = desk.now().plus_millis(-1_000);
            let decision = "INSERT INTO decision (key, at, record) VALUES ('t1/1', ?, ?)";
            desk.query(decision, &[asked_at.into(), record.into()]).unwrap();
            desk.query(
                "INSERT INTO operation (key, state, request, email, entitlement, received_at, settled_at) \
                 VALUES (?, 'settled', json_object('action', 'grant'), ?, ?, 0, ?)",
                &[key.into(), JANE.into(), what.into(), desk.now().plus_millis(settled).into()],
            )
            .unwrap();
            let (known, is_clear, _) = coming(&desk, JANE, None, desk.now()).unwrap();
            assert_eq!((known.len(), is_clear), (count, true), "{key} {what:?} {settled}");
        }
    }

    #[test]
    fn what_was_approved_comes_no_more_once_a_sync_found_it_given_since() {
        const HOUR: i64 = 60 * 60 * 1_000;
        let (rest, other) = (Some(r#"{"through":"rest","task":null}"#), Some(r#"{"through":"webhook","task":"t2"}"#));
        for (name, what, gained, at, cause, by, count) in [
            (JANE, ROLE, true, -24 * HOUR, "unknown", None, 0),
            (JANE, ROLE, true, -24 * HOUR, "foreign", Some("{}"), 0),
            // The controls: another task gave it, or brought it, or may have, so that this one may still come.
            (JANE, ROLE, true, -24 * HOUR, "operation", rest, 1),
            (JANE, ROLE, true, -24 * HOUR, "operation", other, 1),
            (JANE, ROLE, true, -24 * HOUR, "accepted", rest, 1),
            (JANE, ROLE, true, -24 * HOUR, "first_seen", None, 1),
            (JANE, ROLE, true, -24 * HOUR, "", None, 1),
            (JANE, ROLE, true, -24 * HOUR, "?foreign", Some("{}"), 1),
            // It was found before this was asked, or is not everywhere yet; a loss alone; somebody else's, and another role.
            (JANE, ROLE, true, -72 * HOUR, "unknown", None, 1),
            (JANE, ROLE, true, -30_000, "unknown", None, 1),
            (JANE, ROLE, false, -24 * HOUR, "unknown", None, 1),
            ("joe@example.com", ROLE, true, -24 * HOUR, "unknown", None, 1),
            (JANE, "role:5f9d0aa8c6c84a6bb80b0a5a4a4b8f1f:member", true, -24 * HOUR, "unknown", None, 1),
        ] {
            let desk = Desk::new();
            init(&desk).unwrap();
            let record = format!(
                r#"{{"email":"{JANE}","verdict":"approve","action":"grant","entitlement":"{ROLE}","origin":{{"task":"t1"}}}}"#
            );
            let asked_at = desk.now().plus_millis(-48 * HOUR);
            let decision = "INSERT INTO decision (key, at, record) VALUES ('t1/1', ?, ?)";
            desk.query(decision, &[asked_at.into(), record.into()]).unwrap();
            for (is_gain, after) in [(gained, 0), (false, 1)] {
                let at = desk.now().plus_millis(at + after);
                desk.query(
                    "INSERT INTO ledger (at, generation, gained, principal, name, entitlement, cause, by) VALUES (?, 'g', ?, 'user:x', ?, ?, ?, ?)",
                    &[at.into(), i64::from(is_gain).into(), name.into(), what.into(), cause.into(), by.into()],
                )
                .unwrap();
            }
            let (known, is_clear, _) = coming(&desk, JANE, None, desk.now()).unwrap();
            assert_eq!((known.len(), is_clear), (count, true), "{name} {what} {gained} {at} {cause} {by:?}");
        }
    }

    #[test]
    fn whom_a_grant_names_by_an_id_alone_has_no_address_yet() {
        for (name, id, count) in
            [("user_id", HER_ID, 1), ("member_id", HER_ID, 1), ("user_id", "2950eaac6afff7eeb3d21899eb1b7c9a", 0)]
        {
            let request = format!(r#"{{"action":"grant","subject":{{"emails":[],"{name}":"{id}"}}}}"#);
            assert_eq!(told(&request, None, Some(ROLE), None, false), (count, true), "{request}");
        }
    }

    #[test]
    fn whose_account_waits_to_be_removed_is_known_by_the_address_or_the_id_until_that_is_over_or_void() {
        let (revoke, other) = (r#""action":"revoke""#, "2950eaac6afff7eeb3d21899eb1b7c9a");
        for (asked, email, what, user, meanwhile, is_leaving) in [
            (revoke, Some(JANE), "account", "", "SELECT 1", true),
            (revoke, Some("jane.doe@example.com"), "account", HER_ID, "SELECT 1", true),
            (revoke, Some("jane.doe@example.com"), "account", other, "SELECT 1", false),
            (r#""action":"revoke","folded":["jane@example.com"]"#, None, "account", "", "SELECT 1", true),
            // It was not tried yet, so that no more than what was asked is known.
            (r#""action":"revoke","target":"account""#, Some(JANE), "", "", "SELECT 1", true),
            (r#""action":"revoke","target":{"named":{"builtin":true}}"#, None, "", HER_ID, "SELECT 1", true),
            // The controls: somebody else's, a role's, one that is over, and one that a grant has voided since.
            (r#""action":"revoke","target":{"named":{"builtin":false}}"#, Some(JANE), "", "", "SELECT 1", false),
            (r#""action":"revoke","target":{"id":"role:x"}"#, Some(JANE), "", "", "SELECT 1", false),
            (r#""action":"revoke","target":"account""#, Some("joe@example.com"), "", "", "SELECT 1", false),
            (revoke, Some("joe@example.com"), "account", "", "SELECT 1", false),
            (revoke, Some(JANE), ROLE, "", "SELECT 1", false),
            (r#""action":"grant""#, Some(JANE), "account", "", "SELECT 1", false),
            (
                revoke,
                Some(JANE),
                "account",
                "",
                "UPDATE operation SET due_at = NULL, settled_at = 1, outcome = '{}'",
                false,
            ),
            (
                revoke,
                Some(JANE),
                "account",
                "",
                r#"INSERT INTO operation (id, key, state, request, email, entitlement, outcome, received_at, settled_at)
                    VALUES (8, 't/8', 'settled', '{"action":"grant","target":{"id":"x"}}', 'jane@example.com', 'role:x', '{"outcome":"done"}', 0, 0)"#,
                false,
            ),
        ] {
            let desk = Desk::new();
            init(&desk).unwrap();
            let request = format!(r#"{{{asked},"subject":{{"emails":[],"user_id":"{user}"}}}}"#);
            desk.query(
                "INSERT INTO operation (id, key, state, request, email, entitlement, received_at, due_at) \
                 VALUES (7, 't/7', 'put_off', ?, ?, NULLIF(?, ''), 0, ?)",
                &[request.as_str().into(), email.into(), what.into(), desk.now().plus_secs(60).into()],
            )
            .unwrap();
            desk.query(meanwhile, &[]).unwrap();
            let (_, is_clear, told) = coming(&desk, JANE, Some(HER_ID.to_owned()), desk.now()).unwrap();
            assert_eq!((is_clear, told), (true, is_leaving), "{request} {email:?} {what} {meanwhile}");
        }
    }

    #[test]
    fn what_is_on_its_way_is_looked_for_among_the_decisions_of_late_alone() {
        let desk = Desk::new();
        init(&desk).unwrap();
        let params: [SqlValue; 4] = [JANE.into(), 0_i64.into(), desk.now().into(), HER_ID.into()];
        let steps = desk.query(&format!("EXPLAIN QUERY PLAN {}", statement()), &params).unwrap();
        let steps: Vec<_> = steps.iter().filter_map(|step| step.get(3)?.text()).collect();
        let by_time = |step: &&str| step.contains("decision USING INDEX decision_lately (at>?)");
        assert!(steps.iter().any(by_time), "{steps:?}");
    }
}
