//! Sorting that the Worker's size can bear: the standard library's is compiled once more for each type that is sorted, some 3 KB each time.
//! Here the places are sorted, by one sort for all types, and the items are put there.

use std::cmp::Ordering;

/// Lists up to this length are sorted by moving each item down to its place.
const SHORT: usize = 16;

/// Sorts by a comparison; equal items stay in order.
pub fn sort_by<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    if items.len() <= SHORT {
        for end in 1..items.len() {
            let mut at = end;
            while at > 0 && compared(items, at, at - 1, &mut compare) == Ordering::Less {
                items.swap(at, at - 1);
                at -= 1;
            }
        }
        return;
    }
    let mut order: Vec<usize> = (0..items.len()).collect();
    sort_places(&mut order, &mut |a, b| compared(items, a, b, &mut compare));
    // Each place in turn takes its item, and what stood there goes where that item was.
    for start in 0..order.len() {
        let mut at = start;
        while let Some(from) = order.get_mut(at).map(|from| std::mem::replace(from, at))
            && from != start
            && from != at
        {
            items.swap(at, from);
            at = from;
        }
    }
}

/// Sorts; equal items stay in order.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// Sorts by a key; equal items stay in order.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], mut key: impl FnMut(&T) -> K) {
    sort_by(items, |a, b| key(a).cmp(&key(b)));
}

fn compared<T>(items: &[T], a: usize, b: usize, compare: &mut impl FnMut(&T, &T) -> Ordering) -> Ordering {
    match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    }
}

/// The one sort.
#[inline(never)]
fn sort_places(order: &mut [usize], compare: &mut dyn FnMut(usize, usize) -> Ordering) {
    order.sort_unstable_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
}

#[cfg(test)]
mod tests {
    use super::{sort, sort_by, sort_by_key};

    #[test]
    fn any_list_is_sorted_as_the_standard_library_sorts_it() {
        let mut random = fastrand::Rng::with_seed(3);
        for round in 0..2000 {
            let length = random.usize(0..if round % 10 == 0 { 400 } else { 40 });
            let range = random.u16(1..300);
            let items: Vec<(u16, String)> = (0..length).map(|n| (random.u16(0..range), n.to_string())).collect();
            let (mut ours, mut theirs) = (items.clone(), items.clone());
            sort_by_key(&mut ours, |item| item.0);
            theirs.sort_by_key(|item| item.0);
            assert_eq!(ours, theirs);
            sort(&mut ours);
            theirs.sort();
            assert_eq!(ours, theirs);
            sort_by(&mut ours, |a, b| b.0.cmp(&a.0));
            theirs.sort_by_key(|item| std::cmp::Reverse(item.0));
            assert_eq!(ours, theirs);
        }
    }
}
