//! From what a PATCH or PUT wants of a Group's members to single grants and revokes.

use serde_json::Value;

use crate::base::tree::BTreeSet;

use super::patch::MembersEdit;
use super::{ScimError, id, object_of};
use crate::model::ask::Action;
use crate::model::grant::Principal;

/// The most grants and revokes in one request: each is several requests to Cloudflare.
const MAX_STEPS: usize = 100;

/// One grant or revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which of the two.
    pub action: Action,
    /// Of whom.
    pub member: Principal,
}

/// Why a plan is not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The request itself is wrong.
    #[error(transparent)]
    Invalid(#[from] ScimError),
    /// One operation takes out more members than is allowed, or some while it puts in others.
    #[error(
        "this operation would take {removals} members out of the Group; SCIM_REPLACE_MAX_REMOVALS allows {most}, and none to a PATCH replace that also puts somebody in: a list of members may be older than the last change of the Group. Nothing was changed; read the Group again, remove fewer at once (one by one with the path members[value eq \"<id>\"]), use PUT where the list is the new one, or allow more."
    )]
    TooManyRemovals {
        /// How many would go.
        removals: usize,
        /// How many may.
        most: usize,
    },
}

/// Works out the steps from the members as the last sync and our own operations have them. Who is to be put in or taken out by id is a step
/// in any case: that they are known to be in it, or are not, is no proof, and the operation asks Cloudflare. Of a whole list that replaces the
/// members, those make a step who differ; unless it `may_swap`, either some are put in or some are taken out: a list of before would do both.
pub fn plan(
    mut members: Vec<Value>,
    changes: &[MembersEdit],
    most: usize,
    may_swap: bool,
) -> Result<Vec<Step>, PlanError> {
    let mut steps = Vec::new();
    for change in changes {
        let (added, removed) = match change {
            MembersEdit::Add(ids) => (distinct(&parse(ids)?), Vec::new()),
            MembersEdit::Remove(ids) => {
                let ids = parse(ids)?;
                (Vec::new(), distinct(&ids))
            }
            MembersEdit::RemoveWhere(filter) => {
                let matches = |item: &Value| filter.as_ref().is_none_or(|filter| filter.matches(item));
                let mut removed = held(&members, |item, _| matches(item));
                for named in filter.iter().flat_map(|filter| filter.named("value")) {
                    let Some(member) = id::member(named).filter(|member| !removed.contains(member)) else { continue };
                    let known = members.iter().find(|item| principal(item) == Some(member)).cloned();
                    let mut item = known.unwrap_or_else(|| object_of(vec![("type", "User".into())]));
                    if let Some(fields) = item.as_object_mut() {
                        fields.insert("value".to_owned(), named.into());
                    }
                    if matches(&item) {
                        removed.push(member);
                    }
                }
                if removed.is_empty() && filter.is_some() {
                    return Err(ScimError::new(
                        "noTarget",
                        "no member of the Group matches that path, so nothing was changed; name who is to be taken out by id, as in members[value eq \"<the id of a User>\"]",
                    )
                    .into());
                }
                (Vec::new(), removed)
            }
            MembersEdit::Replace(ids) => {
                let ids = parse(ids)?;
                let wanted: BTreeSet<Principal> = ids.iter().copied().collect();
                // A client that knows Users alone has no user group in its list, and nothing here could take one out.
                let is_gone = |member: Principal| !matches!(member, Principal::Group(_)) && !wanted.contains(&member);
                let removed = held(&members, |_, member| is_gone(member));
                (ids, removed)
            }
        };
        if removed.len() > most {
            return Err(PlanError::TooManyRemovals { removals: removed.len(), most });
        }
        let mut there: BTreeSet<Principal> = members.iter().filter_map(principal).collect();
        for member in added {
            let is_new = there.insert(member);
            if is_new && !may_swap && !removed.is_empty() {
                return Err(PlanError::TooManyRemovals { removals: removed.len(), most });
            }
            if is_new {
                members.push(object_of(vec![("value", id::of_principal(member).into())]));
            }
            // What a user group has is nothing that an operation could ask for.
            let is_named = matches!(change, MembersEdit::Add(_)) && !matches!(member, Principal::Group(_));
            if is_new || is_named {
                steps.push(step(Action::Grant, member)?);
            }
        }
        let gone: BTreeSet<Principal> = removed.iter().copied().collect();
        members.retain(|item| principal(item).is_none_or(|member| !gone.contains(&member)));
        for member in removed {
            steps.push(step(Action::Revoke, member)?);
        }
    }
    if steps.len() > MAX_STEPS {
        let detail = format!("this changes {} members; send {MAX_STEPS} at most in one request", steps.len());
        return Err(ScimError::new("tooMany", detail).into());
    }
    Ok(steps)
}

/// Each once, in the order in which they were named.
fn distinct(ids: &[Principal]) -> Vec<Principal> {
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        if !all.contains(id) {
            all.push(*id);
        }
    }
    all
}

fn step(action: Action, member: Principal) -> Result<Step, ScimError> {
    match member {
        Principal::Group(_) => Err(ScimError::value(
            "what a user group holds is changed in Cloudflare's dashboard, not here; nothing was changed",
        )),
        Principal::User(_) | Principal::Invitation(_) => Ok(Step { action, member }),
    }
}

fn parse(ids: &[String]) -> Result<Vec<Principal>, ScimError> {
    let one = |text: &String| {
        let shown: String = text.chars().take(60).collect();
        id::member(text).ok_or_else(|| {
            ScimError::value(format!("{shown:?} is not the id of a User; GET /Users has them. Nothing was changed."))
        })
    };
    ids.iter().map(one).collect()
}

/// Whom an item of a Group's members is.
pub fn principal(item: &Value) -> Option<Principal> {
    id::member(item.get("value")?.as_str()?)
}

fn held(members: &[Value], wanted: impl Fn(&Value, Principal) -> bool) -> Vec<Principal> {
    members
        .iter()
        .filter_map(|item| principal(item).map(|member| (item, member)))
        .filter(|(item, member)| wanted(item, *member))
        .map(|(_, member)| member)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MembersEdit, PlanError, Step, plan};
    use crate::model::ask::Action;
    use crate::scim::{GROUP, filter, id};

    /// The user of a letter.
    fn user(letter: char) -> String {
        letter.to_string().repeat(32)
    }

    fn users(letters: &str) -> Vec<String> {
        letters.chars().map(user).collect()
    }

    /// Steps as `+a -b`, from members `abc`.
    fn check(changes: &[MembersEdit], most: usize) -> Result<String, PlanError> {
        checked(changes, most, false)
    }

    fn checked(changes: &[MembersEdit], most: usize, may_swap: bool) -> Result<String, PlanError> {
        let members: Vec<Value> = users("abc").into_iter().map(|id| json!({ "value": id, "type": "User" })).collect();
        plan(members, changes, most, may_swap).map(|steps| shown(&steps))
    }

    fn shown(steps: &[Step]) -> String {
        let shown = steps.iter().map(|step| {
            let sign = if step.action == Action::Grant { '+' } else { '-' };
            format!("{sign}{}", &id::of_principal(step.member)[..1])
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn steps_are_what_differs_in_the_order_of_the_operations() {
        let which = |text: &str| filter::parse(text, &["value", "type", "display"], GROUP).unwrap();
        let one = |letter| which(&format!("value eq \"{}\"", user(letter)));
        let of_type = |letter| which(&format!("type eq \"user\" and value eq \"{}\"", user(letter)));
        let either = |a, b| which(&format!("value eq \"{}\" or value eq \"{}\"", user(a), user(b)));
        for (changes, expected) in [
            // The list may be older than what somebody did by hand.
            (vec![MembersEdit::Add(users("ada"))], "+a +d"),
            (vec![MembersEdit::Remove(users("beb"))], "-b -e"),
            (vec![MembersEdit::RemoveWhere(Some(one('b')))], "-b"),
            (vec![MembersEdit::RemoveWhere(Some(one('e')))], "-e"),
            (vec![MembersEdit::RemoveWhere(Some(of_type('e')))], "-e"),
            (vec![MembersEdit::RemoveWhere(Some(either('e', 'b')))], "-b -e"),
            (vec![MembersEdit::Replace(users("bc"))], "-a"),
            (vec![MembersEdit::Replace(users("abcde"))], "+d +e"),
            (vec![MembersEdit::Replace(users("abcd")), MembersEdit::Remove(users("d"))], "+d -d"),
            (vec![MembersEdit::Add(vec![format!("user:{}", user('a'))])], "+a"),
            (vec![MembersEdit::Replace(users("cba"))], ""),
        ] {
            assert_eq!(check(&changes, 2).unwrap(), expected, "{changes:?}");
        }
    }

    #[test]
    fn a_user_group_stays_whatever_list_replaces_the_members_and_is_taken_out_by_no_operation() {
        let group = format!("group-{}", user('9'));
        let item = |id: &str, kind: &str| json!({ "value": id, "type": kind });
        let members = || vec![item(&user('a'), "User"), item(&group, "Group")];
        for (list, expected) in [("ab", "+b"), ("a", ""), ("", "-a")] {
            let steps = plan(members(), &[MembersEdit::Replace(users(list))], 1, false).unwrap();
            assert_eq!(shown(&steps), expected, "{list}");
        }
        let which = filter::parse(&format!("value eq \"{group}\""), &["value"], GROUP).unwrap();
        for change in [
            MembersEdit::Remove(vec![group.clone()]),
            MembersEdit::RemoveWhere(Some(which)),
            MembersEdit::RemoveWhere(None),
        ] {
            let planned = plan(members(), std::slice::from_ref(&change), 9, true);
            let Err(PlanError::Invalid(error)) = planned else { panic!("{change:?}: {planned:?}") };
            assert_eq!(error.scim_type, "invalidValue", "{change:?}");
        }
    }

    #[test]
    fn a_path_that_reaches_nobody_is_said_to_reach_nobody() {
        for text in [
            "value eq \"jane@example.com\"".to_owned(),
            "display eq \"Jane\"".to_owned(),
            format!("value eq \"{}\" and display eq \"Jane\"", user('a')),
            format!("value eq \"{}\" and type eq \"Group\"", user('e')),
        ] {
            let filter = filter::parse(&text, &["value", "type", "display"], GROUP).unwrap();
            let planned = check(&[MembersEdit::RemoveWhere(Some(filter))], 2);
            assert!(matches!(planned, Err(PlanError::Invalid(error)) if error.scim_type == "noTarget"), "{text}");
        }
        assert_eq!(check(&[MembersEdit::RemoveWhere(None)], 3).unwrap(), "-a -b -c");
    }

    #[test]
    fn no_operation_takes_out_more_members_than_is_allowed() {
        for change in [
            MembersEdit::Replace(users("a")),
            MembersEdit::Replace(vec![]),
            MembersEdit::RemoveWhere(None),
            MembersEdit::Remove(users("ab")),
        ] {
            assert!(
                matches!(check(std::slice::from_ref(&change), 1), Err(PlanError::TooManyRemovals { .. })),
                "{change:?}"
            );
            assert!(check(&[change], 3).is_ok());
        }
        assert!(check(&[MembersEdit::Remove(users("a"))], 0).is_err());
    }

    #[test]
    fn a_list_that_may_be_of_before_does_not_put_in_some_and_take_out_others() {
        for list in ["abd", "dab", "d"] {
            let change = [MembersEdit::Replace(users(list))];
            assert!(matches!(check(&change, 3), Err(PlanError::TooManyRemovals { .. })), "{list}");
            assert!(checked(&change, 3, true).unwrap().starts_with("+d -"), "{list}");
        }
        // What names whom it takes out is of no list.
        let named = [MembersEdit::Remove(users("c")), MembersEdit::Add(users("d")), MembersEdit::Replace(users("abd"))];
        assert_eq!(check(&named, 3).unwrap(), "-c +d");
    }

    #[test]
    fn who_is_no_user_is_refused_before_anything_is_done() {
        for id in ["jane", "", &format!("role-{}", user('a')), &format!("group-{}", user('a'))] {
            assert!(matches!(check(&[MembersEdit::Add(vec![id.to_owned()])], 1), Err(PlanError::Invalid(_))), "{id}");
        }
        let many = (0..101).map(|number| format!("{number:032x}")).collect();
        assert!(
            matches!(check(&[MembersEdit::Add(many)], 1), Err(PlanError::Invalid(error)) if error.scim_type == "tooMany")
        );
    }
}
