//! Paging, order and judgement, without any I/O.

use crate::base::tree::BTreeSet;

use super::{Crawl, Fetch, Further, List, Off, PageFacts, Phase, Verdict, judge};
use crate::base::ports::HttpError;
use crate::base::time::Timestamp;
use crate::cloudflare::{ApiError, Failure, GROUPS_PER_PAGE};
use crate::model::id::{MemberId, UserGroupId};

fn id<T: std::str::FromStr<Err = crate::model::id::InvalidId>>(n: u32) -> T {
    format!("{n:032x}").parse().unwrap()
}

/// A page with a number of items, of a list with another.
fn page(count: u32, total: Option<u32>) -> PageFacts {
    PageFacts { count, total_count: total, per_page: total.map(|_| 50), ids: u64::from(count), ..PageFacts::default() }
}

/// Reads a list one page after the other as `answer` gives them, and says which pages were asked for.
fn read(list: List, answer: impl Fn(u32) -> PageFacts) -> Vec<u32> {
    let mut crawl = Crawl::default();
    let mut asked = Vec::new();
    while let Some(fetch) = crawl.next() {
        let facts = if fetch.list == list { answer(fetch.page) } else { page(0, None) };
        if fetch.list == list {
            asked.push(fetch.page);
        }
        crawl.on_page(fetch, facts);
        assert!(asked.len() < 5_000, "it does not end");
    }
    assert!(crawl.is_all_read());
    asked
}

#[test]
fn a_list_ends_where_it_says_so_or_where_nothing_new_comes() {
    const LIST: List = List::PermissionGroups;
    let distinct = |facts: PageFacts, n: u32| PageFacts { ids: u64::from(n), ..facts };
    let told = |total: u32| move |n: u32| distinct(page(total.saturating_sub((n - 1) * 50).min(50), Some(total)), n);
    assert_eq!(read(LIST, told(0)), [1]);
    assert_eq!(read(LIST, told(49)), [1]);
    assert_eq!(read(LIST, told(50)), [1]);
    assert_eq!(read(LIST, told(51)), [1, 2]);
    assert_eq!(read(LIST, told(150)), [1, 2, 3]);
    // Without totals a list ends with a page that is not full, or an empty one.
    assert_eq!(read(LIST, |n| distinct(page(if n < 3 { 50 } else { 7 }, None), n)), [1, 2, 3]);
    assert_eq!(read(LIST, |n| distinct(page(if n < 3 { 50 } else { 0 }, None), n)), [1, 2, 3]);
    // A list that answers its first page whatever is asked for ends when that is seen.
    assert_eq!(read(LIST, |_| page(50, None)), [1, 2]);
    // One that never ends is left at a cap.
    assert_eq!(read(LIST, |n| distinct(page(50, None), n)).len(), 2_000);
    // A page may be short though there are more: what is not shown to the token is left out.
    assert_eq!(read(LIST, |n| distinct(page(30, Some(120)), n)), [1, 2, 3]);
    // Resource groups are answered whole.
    assert_eq!(read(List::ResourceGroups, |_| page(300, None)), [1]);
}

#[test]
fn a_list_that_goes_on_after_the_last_page_that_is_read_is_known_for_it() {
    const LIST: List = List::Members { pass: 1 };
    let cut_off = |pages: u32, facts: fn(u32) -> PageFacts| {
        let mut crawl = Crawl::default();
        for page in 1..=pages {
            crawl.on_page(Fetch { list: LIST, page }, PageFacts { ids: u64::from(page), ..facts(page) });
        }
        crawl.is_cut_off(LIST)
    };
    assert!(cut_off(2_000, |_| page(50, Some(100_001))));
    assert!(cut_off(2_000, |_| page(50, None)), "nobody says where it ends");
    assert!(!cut_off(2_000, |_| page(50, Some(100_000))));
    assert!(!cut_off(2_000, |n| page(if n < 2_000 { 50 } else { 7 }, None)));
    assert!(!cut_off(1_000, |_| page(50, Some(100_001))), "it is not read to its end");
}

/// On pages as they are asked for, and on smaller ones, as a page that is too long is told.
#[test]
fn the_members_of_all_user_groups_count_together_and_are_half_a_million_at_most() {
    for size in [GROUPS_PER_PAGE, 50] {
        for (more, is_too_many) in [(0, false), (1, true)] {
            let groups: Vec<UserGroupId> = (0..3).map(id).collect();
            let facts = PageFacts { groups: groups.clone(), ..page(3, None) };
            let mut crawl = Crawl::default();
            crawl.on_page(Fetch { list: List::UserGroups, page: 1 }, facts);
            for (&group, members) in groups.iter().zip([250_000, 249_500, 500 + more]) {
                for at in 0..u32::div_ceil(members, size) {
                    let facts = PageFacts { ids: u64::from(at), ..page(size.min(members - at * size), None) };
                    crawl.on_page(Fetch { list: List::GroupMembers(group), page: at + 1 }, facts);
                }
            }
            assert_eq!(crawl.has_too_many_memberships(), is_too_many, "{size} on a page, {more} more");
        }
    }
}

#[test]
fn a_server_that_says_one_page_and_counts_more_is_asked_for_them() {
    let facts =
        |n: u32| PageFacts { total_pages: Some(1), ids: u64::from(n), ..page(if n < 3 { 50 } else { 20 }, Some(120)) };
    assert_eq!(read(List::Tokens, facts), [1, 2, 3]);
}

/// Where it covers the full pages nothing more is asked for.
#[test]
fn a_list_that_counts_fewer_than_its_full_pages_have_goes_on_after_them() {
    for (count, total, expected) in [(120, 90, 3), (150, 90, 4), (90, 90, 2), (100, 100, 2), (120, 120, 3), (85, 90, 2)]
    {
        let of = |n: u32| u32::saturating_sub(count, (n - 1) * 50).min(50);
        let facts = |n: u32| PageFacts { ids: u64::from(n), ..page(of(n), Some(total)) };
        for list in [List::Tokens, List::Members { pass: 1 }] {
            assert_eq!(read(list, facts).len(), expected, "{count} of {total}");
        }
    }
}

#[test]
fn members_are_read_side_by_side_once_the_first_page_tells_how_many_there_are() {
    let mut crawl = Crawl::default();
    for _ in List::FIRST {
        let fetch = crawl.next().unwrap();
        assert!(fetch.list.is_optional());
        crawl.on_page(fetch, page(0, None));
    }
    let members = List::Members { pass: 1 };
    let first = crawl.next().unwrap();
    assert_eq!(first, Fetch { list: members, page: 1 });
    assert_eq!(crawl.next(), None, "the first page comes alone");
    crawl.on_page(first, page(50, Some(180)));
    let rest: Vec<u32> = std::iter::from_fn(|| crawl.next()).map(|fetch| fetch.page).collect();
    assert_eq!(rest, [2, 3, 4]);
    crawl.on_failure(Fetch { list: members, page: 3 });
    assert_eq!(crawl.next(), Some(Fetch { list: members, page: 3 }), "what failed is asked for again");
    for (number, count) in [(4, 30), (2, 50)] {
        crawl.on_page(
            Fetch { list: members, page: number },
            PageFacts { ids: u64::from(number), ..page(count, Some(180)) },
        );
    }
    assert_eq!((crawl.phase(), crawl.is_all_read()), (Phase::Members, false));
    crawl.on_page(Fetch { list: members, page: 3 }, PageFacts { ids: 3, ..page(50, Some(181)) });
    assert!(crawl.is_all_read() && crawl.totals_differ(List::Members { pass: 1 }));
    assert_eq!((crawl.progress().members_seen, crawl.progress().members_total), (180, Some(181)));
}

#[test]
fn a_list_that_grows_while_it_is_read_is_read_to_its_new_end() {
    let total = |n: u32| if n < 3 { 150 } else { 151 };
    let facts = |n: u32| PageFacts { ids: u64::from(n), ..page(if n < 4 { 50 } else { 1 }, Some(total(n))) };
    assert_eq!(read(List::Members { pass: 1 }, facts), [1, 2, 3, 4]);
}

#[test]
fn a_crawl_is_rebuilt_from_the_pages_in_any_order() {
    let mut crawl = Crawl::default();
    let mut staged = Vec::new();
    for n in 0..12 {
        let fetch = crawl.next().unwrap();
        let mut facts =
            page(if fetch.list.is_optional() { 3 } else { 50 }, Some(if fetch.list.is_optional() { 3 } else { 400 }));
        facts.ids = n;
        if fetch.list == List::UserGroups {
            facts.groups = vec![id(1), id(2)];
        }
        crawl.on_page(fetch, facts.clone());
        staged.push((fetch, facts));
    }
    let order = |crawl: &mut Crawl| std::iter::from_fn(|| crawl.next()).collect::<Vec<_>>();
    let expected = order(&mut crawl);
    assert_eq!(expected.len(), 6, "eight pages of members, two of which are read");
    for turn in 0..staged.len() {
        staged.rotate_left(turn);
        let mut resumed = Crawl::resume(staged.clone(), Further::default());
        assert_eq!(order(&mut resumed), expected);
    }
}

#[test]
fn what_lies_beyond_the_first_pass_is_read_after_it() {
    let mut crawl = Crawl::default();
    while let Some(fetch) = crawl.next() {
        crawl.on_page(fetch, page(0, None));
    }
    assert!(crawl.is_all_read());
    crawl.extend(Further { second_pass: true, confirm: vec![id(7)], ..Further::default() });
    let second = crawl.next().unwrap();
    assert_eq!((second.list, crawl.next()), (List::Members { pass: 2 }, None));
    crawl.on_page(second, page(0, None));
    let member: MemberId = id(7);
    let confirm = crawl.next().unwrap();
    assert_eq!((confirm.list, crawl.phase()), (List::Member(member), Phase::Verify));
    crawl.on_page(confirm, page(0, None));
    assert!(crawl.is_all_read());
}

#[test]
fn a_list_that_is_off_is_read_no_further() {
    let off = Off { status: Some(403), code: Some(9109), message: String::new(), passing: false };
    let facts = |n: u32| PageFacts { off: (n == 2).then(|| off.clone()), ..page(50, Some(500)) };
    assert_eq!(read(List::Tokens, facts), [1, 2]);
}

#[test]
fn the_name_of_a_list_is_read_back() {
    let lists =
        List::FIRST.into_iter().chain([List::GroupMembers(id(3)), List::Members { pass: 2 }, List::Member(id(4))]);
    for list in lists {
        assert_eq!(list.to_string().parse(), Ok(list));
    }
    assert!("members".parse::<List>().is_err() && "member/x".parse::<List>().is_err());
}

#[test]
fn errors_are_judged_by_what_they_are_and_what_they_hit() {
    let failure = |status| Failure { status, ..Failure::default() };
    let members = Fetch { list: List::Members { pass: 1 }, page: 1 };
    let tokens = Fetch { list: List::Tokens, page: 1 };
    let member = Fetch { list: List::Member(id(1)), page: 1 };
    let until = Timestamp::from_secs(9);

    let limited = ApiError::RateLimited { failure: failure(429), until };
    assert_eq!(judge(members, &limited, 1), Verdict::Until(until));
    assert_eq!(judge(member, &limited, 1), Verdict::Until(until));
    assert_eq!(judge(tokens, &ApiError::OutOfBudget { until }, 1), Verdict::Until(until));
    let alone = judge(tokens, &limited, 1);
    assert!(matches!(alone, Verdict::Later(_, Some(Off { passing: true, .. }))), "{alone:?}");

    let waits: Vec<Verdict> = (1..=4).map(|tries| judge(members, &ApiError::Server(failure(502)), tries)).collect();
    assert_eq!(waits[..3], [Verdict::Again(500), Verdict::Again(1_000), Verdict::Again(2_000)]);
    assert!(matches!(waits[3], Verdict::Later(..)));
    let lost = ApiError::Transport(HttpError::Timeout(30_000));
    assert_eq!(judge(tokens, &lost, 1), Verdict::Again(500));

    for error in [ApiError::Forbidden(failure(403)), ApiError::NotFound(failure(404)), ApiError::Invalid(failure(400))]
    {
        assert!(matches!(judge(tokens, &error, 1), Verdict::Off(_)), "{error}");
        assert!(matches!(judge(members, &error, 1), Verdict::Failed(_)), "{error}");
    }
    assert_eq!(judge(member, &ApiError::NotFound(failure(404)), 1), Verdict::Gone);
    // The list was read: it is this record alone, unless the list is not to be read any more either.
    let refused = judge(member, &ApiError::Forbidden(failure(403)), 1);
    assert!(matches!(refused, Verdict::Later(_, Some(Off { passing: false, .. }))), "{refused:?}");
    let failed = judge(member, &ApiError::Server(failure(502)), 4);
    assert!(matches!(failed, Verdict::Later(_, Some(Off { passing: true, .. }))), "{failed:?}");
    assert!(matches!(judge(member, &ApiError::Unauthorized(failure(401)), 1), Verdict::Failed(_)));
    assert!(matches!(judge(members, &ApiError::Unauthorized(failure(401)), 1), Verdict::Failed(_)));
    // Of one list it says that it may not be read, as 403 does, and not that there is none.
    for (error, is_refused) in [
        (ApiError::Unauthorized(failure(401)), false),
        (ApiError::Unauthorized(Failure { code: Some(10_001), ..failure(403) }), false),
        (ApiError::Forbidden(failure(403)), true),
    ] {
        let off = judge(tokens, &error, 1);
        assert!(matches!(&off, Verdict::Off(off) if off.is_refused() == is_refused && !off.passing), "{off:?}");
    }
    let kinds: BTreeSet<bool> = [members, tokens].into_iter().map(|fetch| fetch.list.is_optional()).collect();
    assert_eq!(kinds.len(), 2);
}
