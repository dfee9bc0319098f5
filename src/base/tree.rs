//! Ordered sets and maps that the Worker's size can bear.
//!
//! The standard library's are B-trees, and all that splits, merges, balances and walks their nodes is compiled once more for each type
//! that is in one: an eighth of the Worker was that. Here the entries stand in order in leaves, and the leaves in a list. What looks for
//! an entry knows no type; what is made for each type puts one in, takes one out, and goes through them.
//!
//! A million entries are as many leaves as a list bears: to put one in moves half a leaf, and now and then half the list of leaves.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter::Flatten;
use std::marker::PhantomData;
use std::{slice, vec};

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A leaf has at most this many entries.
const FULL: usize = 64;

/// Where an entry stands, or where it would stand.
#[derive(Clone, Copy, Default)]
struct Place {
    leaf: usize,
    at: usize,
}

/// How many entries a leaf has, and how one of them compares to what is looked for; one that is not there comes before it.
type Look<'a> = &'a mut dyn FnMut(usize, usize) -> (usize, Ordering);

/// Finds among `count` things in order the one that compares equal, or where it would stand. What is put in comes mostly in order, so
/// the last one is looked at first.
fn search(count: usize, compare: &mut dyn FnMut(usize) -> Ordering) -> Result<usize, usize> {
    let (mut low, mut high) = (0, count);
    let mut at = count.saturating_sub(1);
    while low < high {
        match compare(at) {
            Ordering::Less => low = at + 1,
            Ordering::Equal => return Ok(at),
            Ordering::Greater => high = at,
        }
        at = low.midpoint(high);
    }
    Err(low)
}

/// Finds an entry in so many leaves.
#[inline(never)]
fn find(leaves: usize, look: Look<'_>) -> Result<Place, Place> {
    let leaf = match search(leaves, &mut |leaf| look(leaf, 0).1) {
        Ok(leaf) => return Ok(Place { leaf, at: 0 }),
        Err(next) => next.saturating_sub(1),
    };
    let (count, _) = look(leaf, 0);
    match search(count, &mut |at| look(leaf, at).1) {
        Ok(at) => Ok(Place { leaf, at }),
        Err(at) => Err(Place { leaf, at }),
    }
}

/// Entries in order; no leaf is empty.
#[derive(Clone)]
struct Leaves<E> {
    leaves: Vec<Vec<E>>,
}

impl<E> Leaves<E> {
    const fn new() -> Self {
        Self { leaves: Vec::new() }
    }

    /// Finds an entry by how entries compare to it.
    fn find(&self, compare: &mut dyn FnMut(&E) -> Ordering) -> Result<Place, Place> {
        find(self.leaves.len(), &mut |leaf, at| {
            let entries = self.leaves.get(leaf).map_or(&[][..], Vec::as_slice);
            (entries.len(), entries.get(at).map_or(Ordering::Less, &mut *compare))
        })
    }

    fn get(&self, place: Place) -> Option<&E> {
        self.leaves.get(place.leaf)?.get(place.at)
    }

    fn get_mut(&mut self, place: Place) -> Option<&mut E> {
        self.leaves.get_mut(place.leaf)?.get_mut(place.at)
    }

    /// Puts an entry where it was looked for and not found.
    #[allow(clippy::indexing_slicing, reason = "a place that was found is there, and so is what was just put in")]
    fn put(&mut self, place: Place, entry: E) -> &mut E {
        let Place { mut leaf, mut at } = place;
        if self.leaves.is_empty() {
            self.leaves.push(Vec::new());
        }
        if self.leaves[leaf].len() >= FULL {
            // Behind the last one a new leaf begins, so that what comes in order fills each.
            let is_last = at == FULL && leaf + 1 == self.leaves.len();
            let kept = if is_last { FULL } else { FULL / 2 };
            let rest = self.leaves[leaf].split_off(kept);
            self.leaves.insert(leaf + 1, rest);
            if at >= kept {
                (leaf, at) = (leaf + 1, at - kept);
            }
        }
        let entries = &mut self.leaves[leaf];
        entries.insert(at, entry);
        &mut entries[at]
    }

    fn take(&mut self, place: Place) -> Option<E> {
        let entries = self.leaves.get_mut(place.leaf).filter(|entries| place.at < entries.len())?;
        let entry = entries.remove(place.at);
        if entries.is_empty() {
            self.leaves.remove(place.leaf);
        }
        Some(entry)
    }

    fn retain(&mut self, keep: &mut dyn FnMut(&mut E) -> bool) {
        for entries in &mut self.leaves {
            entries.retain_mut(&mut *keep);
        }
        self.leaves.retain(|entries| !entries.is_empty());
    }

    fn iter(&self) -> Entries<'_, E> {
        Entries { front: [].iter(), leaves: self.leaves.iter(), back: [].iter() }
    }

    /// How many entries stand before a place.
    fn before(&self, place: Place) -> usize {
        self.leaves.iter().take(place.leaf).map(Vec::len).sum::<usize>() + place.at
    }

    fn last(&self) -> Option<&E> {
        self.leaves.last()?.last()
    }
}

/// Entries in order, borrowed.
pub struct Entries<'a, E> {
    front: slice::Iter<'a, E>,
    leaves: slice::Iter<'a, Vec<E>>,
    back: slice::Iter<'a, E>,
}

impl<E> Clone for Entries<'_, E> {
    fn clone(&self) -> Self {
        Self { front: self.front.clone(), leaves: self.leaves.clone(), back: self.back.clone() }
    }
}

impl<'a, E> Iterator for Entries<'a, E> {
    type Item = &'a E;

    fn next(&mut self) -> Option<&'a E> {
        loop {
            if let Some(entry) = self.front.next() {
                return Some(entry);
            }
            match self.leaves.next() {
                Some(entries) => self.front = entries.iter(),
                None => return self.back.next(),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.leaves.as_slice().iter().map(Vec::len).sum::<usize>() + self.front.len() + self.back.len();
        (count, Some(count))
    }
}

impl<E> DoubleEndedIterator for Entries<'_, E> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.back.next_back() {
                return Some(entry);
            }
            match self.leaves.next_back() {
                Some(entries) => self.back = entries.iter(),
                None => return self.front.next_back(),
            }
        }
    }
}

impl<E> ExactSizeIterator for Entries<'_, E> {}

/// An ordered set.
#[derive(Clone)]
pub struct BTreeSet<T>(Leaves<T>);

impl<T> BTreeSet<T> {
    /// One without items.
    pub const fn new() -> Self {
        Self(Leaves::new())
    }

    /// How many items are in it.
    pub fn len(&self) -> usize {
        self.0.iter().len()
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.0.leaves.is_empty()
    }

    /// Its items, in order.
    pub fn iter(&self) -> Entries<'_, T> {
        self.0.iter()
    }

    /// The least of its items.
    pub fn first(&self) -> Option<&T> {
        self.0.get(Place::default())
    }

    /// The greatest of its items.
    pub fn last(&self) -> Option<&T> {
        self.0.last()
    }

    /// Takes out the least of its items.
    pub fn pop_first(&mut self) -> Option<T> {
        self.0.take(Place::default())
    }

    /// Leaves in it only what is to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.0.retain(&mut |item| keep(item));
    }
}

impl<T: Ord> BTreeSet<T> {
    /// Whether an item is in it.
    pub fn contains<Q: Ord + ?Sized>(&self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.find(&mut |known| known.borrow().cmp(item)).is_ok()
    }

    /// Puts an item in; tells whether it is new.
    pub fn insert(&mut self, item: T) -> bool {
        let Err(place) = self.0.find(&mut |known| known.cmp(&item)) else { return false };
        self.0.put(place, item);
        true
    }

    /// Takes an item out; tells whether it was in it.
    pub fn remove<Q: Ord + ?Sized>(&mut self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        match self.0.find(&mut |known| known.borrow().cmp(item)) {
            Ok(place) => self.0.take(place).is_some(),
            Err(_) => false,
        }
    }

    /// What is in this one and not in another, in order.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> + Clone {
        self.iter().filter(|item| !other.contains(*item))
    }

    /// What is in both, in order.
    pub fn intersection<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> + Clone {
        self.iter().filter(|item| other.contains(*item))
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self
    where
        T: Clone,
    {
        let mut both = self.clone();
        both.extend(other.iter().cloned());
        both
    }

    /// Whether another one has all that is in this one.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).next().is_none()
    }

    /// Whether nothing is in both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.intersection(other).next().is_none()
    }

    /// What is in this one and not in another.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self
    where
        T: Copy,
    {
        self.difference(other).copied().collect()
    }
}

impl<T> Default for BTreeSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for BTreeSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T: PartialEq> PartialEq for BTreeSet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for BTreeSet<T> {}

impl<T: PartialOrd> PartialOrd for BTreeSet<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.iter().partial_cmp(other.iter())
    }
}

impl<T: Ord> Ord for BTreeSet<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl<T: Hash> Hash for BTreeSet<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|item| item.hash(state));
    }
}

impl<T: Ord> FromIterator<T> for BTreeSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut set = Self::new();
        set.extend(items);
        set
    }
}

impl<T: Ord> Extend<T> for BTreeSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        for item in items {
            self.insert(item);
        }
    }
}

impl<'a, T: Ord + Copy> Extend<&'a T> for BTreeSet<T> {
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, items: I) {
        self.extend(items.into_iter().copied());
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for BTreeSet<T> {
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

impl<T> IntoIterator for BTreeSet<T> {
    type Item = T;
    type IntoIter = Flatten<vec::IntoIter<Vec<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.leaves.into_iter().flatten()
    }
}

impl<'a, T> IntoIterator for &'a BTreeSet<T> {
    type Item = &'a T;
    type IntoIter = Entries<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Serialize> Serialize for BTreeSet<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de, T: Deserialize<'de> + Ord> Deserialize<'de> for BTreeSet<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Ord> Visitor<'de> for Items<T> {
            type Value = BTreeSet<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<BTreeSet<T>, A::Error> {
                let mut set = BTreeSet::new();
                while let Some(item) = items.next_element()? {
                    set.insert(item);
                }
                Ok(set)
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// An ordered map.
#[derive(Clone)]
pub struct BTreeMap<K, V>(Leaves<(K, V)>);

impl<K, V> BTreeMap<K, V> {
    /// One without entries.
    pub const fn new() -> Self {
        Self(Leaves::new())
    }

    /// How many entries are in it.
    pub fn len(&self) -> usize {
        self.0.iter().len()
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.0.leaves.is_empty()
    }

    /// Its entries, in their keys' order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter(self.0.iter())
    }

    /// Its entries, in their keys' order, with values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.leaves.iter_mut().flatten().map(|(key, value)| (&*key, value))
    }

    /// Its keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator + Clone {
        self.0.iter().map(|(key, _)| key)
    }

    /// Its values, in their keys' order.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator + Clone {
        self.0.iter().map(|(_, value)| value)
    }

    /// Its values, in their keys' order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }

    /// Its keys, in order.
    pub fn into_keys(self) -> impl Iterator<Item = K> {
        self.into_iter().map(|(key, _)| key)
    }

    /// Its values, in their keys' order.
    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.into_iter().map(|(_, value)| value)
    }

    /// The entry with the least key.
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.0.get(Place::default()).map(|(key, value)| (key, value))
    }

    /// The entry with the greatest key.
    pub fn last_key_value(&self) -> Option<(&K, &V)> {
        self.0.last().map(|(key, value)| (key, value))
    }

    /// Takes out the entry with the least key.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        self.0.take(Place::default())
    }

    /// Leaves in it only what is to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain(&mut |(key, value)| keep(key, value));
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

impl<K: Ord, V> BTreeMap<K, V> {
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<Place, Place>
    where
        K: Borrow<Q>,
    {
        self.0.find(&mut |(known, _)| known.borrow().cmp(key))
    }

    /// What stands under a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(self.find(key).ok()?).map(|(_, value)| value)
    }

    /// What stands under a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let place = self.find(key).ok()?;
        self.0.get_mut(place).map(|(_, value)| value)
    }

    /// Whether anything stands under a key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// The entries from a key on, itself included, to another one, which is not; without a key, from the first or to the last.
    pub fn between<'a, Q: Ord + ?Sized>(
        &'a self,
        from: Option<&Q>,
        to: Option<&Q>,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, Q, K, V>
    where
        K: Borrow<Q>,
    {
        let before = |key| self.0.before(self.find(key).unwrap_or_else(|place| place));
        let first = from.map_or(0, before);
        self.iter().take(to.map_or(self.len(), before)).skip(first)
    }

    /// Puts a value under a key; gives what stood there before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(place) => self.0.get_mut(place).map(|(_, known)| std::mem::replace(known, value)),
            Err(place) => {
                self.0.put(place, (key, value));
                None
            }
        }
    }

    /// Takes out what stands under a key.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.find(key).ok()?;
        self.0.take(place).map(|(_, value)| value)
    }

    /// The place of a key, whether something stands there or not.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        let place = self.find(&key);
        Entry { map: self, key, place }
    }
}

/// For tests: what should be there and is not ends them.
#[cfg(any(test, feature = "fakes"))]
impl<K: Ord + Borrow<Q>, V, Q: Ord + ?Sized> std::ops::Index<&Q> for BTreeMap<K, V> {
    type Output = V;

    #[allow(clippy::panic, reason = "in tests alone")]
    fn index(&self, key: &Q) -> &V {
        self.get(key).unwrap_or_else(|| panic!("there is no such key"))
    }
}

/// The place of a key in a map.
pub struct Entry<'a, K, V> {
    map: &'a mut BTreeMap<K, V>,
    key: K,
    place: Result<Place, Place>,
}

impl<'a, K, V> Entry<'a, K, V> {
    /// What stands there; if nothing does, what is made for it.
    #[allow(clippy::indexing_slicing, reason = "a place that was found is there")]
    pub fn or_insert_with(self, value: impl FnOnce() -> V) -> &'a mut V {
        let leaves = &mut self.map.0;
        match self.place {
            Ok(Place { leaf, at }) => &mut leaves.leaves[leaf][at].1,
            Err(place) => &mut leaves.put(place, (self.key, value())).1,
        }
    }

    /// What stands there; if nothing does, a value that is put there.
    pub fn or_insert(self, value: V) -> &'a mut V {
        self.or_insert_with(|| value)
    }

    /// What stands there; if nothing does, the type's default.
    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    /// Changes what stands there, if anything does.
    #[allow(clippy::must_use_candidate, clippy::return_self_not_must_use, reason = "there may be no more to it")]
    pub fn and_modify(self, change: impl FnOnce(&mut V)) -> Self {
        if let Some((_, value)) = self.place.ok().and_then(|place| self.map.0.get_mut(place)) {
            change(value);
        }
        self
    }
}

/// Entries of a map in order, borrowed.
pub struct Iter<'a, K, V>(Entries<'a, (K, V)>);

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(key, value)| (key, value))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

impl<K, V> Default for BTreeMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for BTreeMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for BTreeMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for BTreeMap<K, V> {}

impl<K: PartialOrd, V: PartialOrd> PartialOrd for BTreeMap<K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.iter().partial_cmp(other.iter())
    }
}

impl<K: Ord, V: Ord> Ord for BTreeMap<K, V> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for BTreeMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K: Ord, V> Extend<(K, V)> for BTreeMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for BTreeMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K, V> IntoIterator for BTreeMap<K, V> {
    type Item = (K, V);
    type IntoIter = Flatten<vec::IntoIter<Vec<(K, V)>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.leaves.into_iter().flatten()
    }
}

impl<'a, K, V> IntoIterator for &'a BTreeMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: Serialize, V: Serialize> Serialize for BTreeMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for BTreeMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<K, V>(PhantomData<(K, V)>);

        impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Pairs<K, V> {
            type Value = BTreeMap<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<BTreeMap<K, V>, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((key, value)) = entries.next_entry()? {
                    map.insert(key, value);
                }
                Ok(map)
            }
        }

        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, BTreeSet};

    #[test]
    fn what_is_collected_is_in_order_once_and_the_last_value_stays() {
        let set: BTreeSet<u8> = [3, 1, 2, 3].into_iter().collect();
        assert_eq!(set.iter().copied().collect::<Vec<_>>(), [1, 2, 3]);
        let map: BTreeMap<u8, &str> = [(2, "b"), (1, "a"), (2, "c")].into_iter().collect();
        assert_eq!(map.into_iter().collect::<Vec<_>>(), [(1, "a"), (2, "c")]);
    }

    /// Whatever is done to them, they are what the standard library's are.
    #[test]
    fn they_are_what_the_standard_librarys_are() {
        let mut random = fastrand::Rng::with_seed(17);
        for (keys, rounds) in [(12_u32, 300), (3_000, 20_000), (u32::MAX, 5_000)] {
            let (mut ours, mut theirs) = (BTreeMap::<u32, usize>::new(), std::collections::BTreeMap::new());
            let mut next = 0;
            for round in 0..rounds {
                // In order for a while, then anywhere; put in more often than taken out, then the contrary.
                let key = if round % 1_000 < 300 { next } else { random.u32(0..keys) };
                next = key.wrapping_add(1) % keys;
                match random.u8(0..16) {
                    0..9 => assert_eq!(ours.insert(key, round), theirs.insert(key, round)),
                    9 => {
                        *ours.entry(key).or_insert(7) +=
                            usize::from(theirs.entry(key).and_modify(|n| *n += 1).or_insert(8) > &mut 0);
                    }
                    10 => assert_eq!(ours.pop_first(), theirs.pop_first()),
                    11 if round % 500 == 11 => {
                        ours.retain(|key, value| !(*key as usize + *value).is_multiple_of(3));
                        theirs.retain(|key, value| !(*key as usize + *value).is_multiple_of(3));
                    }
                    _ => assert_eq!(ours.remove(&key), theirs.remove(&key)),
                }
                let probe = random.u32(0..keys);
                assert_eq!((ours.get(&probe), ours.len()), (theirs.get(&probe), theirs.len()));
                assert_eq!(
                    (ours.first_key_value(), ours.last_key_value()),
                    (theirs.first_key_value(), theirs.last_key_value())
                );
                if round % 97 == 0 {
                    assert!(ours.iter().eq(theirs.iter()) && ours.iter().rev().eq(theirs.iter().rev()));
                    let (from, to) = (probe.min(key), probe.max(key));
                    assert!(ours.between(Some(&from), Some(&to)).eq(theirs.range(from..to)));
                    assert!(ours.between(None, Some(&to)).eq(theirs.range(..to)));
                    assert!(ours.between(Some(&from), None).eq(theirs.range(from..)));
                    let (mut some, mut all) = (ours.iter(), theirs.iter());
                    while some.len() > 0 {
                        let pair =
                            if random.bool() { (some.next(), all.next()) } else { (some.next_back(), all.next_back()) };
                        assert_eq!((pair.0, some.len()), (pair.1, all.len()));
                    }
                    assert_eq!((some.next(), some.next_back()), (None, None));
                    assert!(ours.0.leaves.iter().all(|leaf| !leaf.is_empty() && leaf.len() <= super::FULL));
                }
            }
            assert!(ours.clone().into_iter().eq(theirs.clone()), "{keys} keys");
            let (keys, known): (BTreeSet<u32>, std::collections::BTreeSet<u32>) =
                (ours.keys().copied().collect(), theirs.keys().copied().collect());
            let (odd, was_odd) = (
                keys.iter().copied().filter(|key| key % 2 == 1).collect::<BTreeSet<u32>>(),
                known.iter().copied().filter(|key| key % 2 == 1).collect(),
            );
            let more: BTreeSet<u32> = odd.iter().map(|key| key.wrapping_add(1)).collect();
            let was_more: std::collections::BTreeSet<u32> = more.iter().copied().collect();
            assert!(
                keys.difference(&odd).eq(known.difference(&was_odd))
                    && keys.intersection(&more).eq(known.intersection(&was_more))
            );
            assert!(
                keys.union(&more).iter().eq(known.union(&was_more))
                    && odd.is_subset(&keys)
                    && odd.is_disjoint(&keys.without(&odd))
            );
            assert_eq!((keys.cmp(&more), more.is_subset(&keys)), (known.cmp(&was_more), was_more.is_subset(&known)));
        }
    }

    #[test]
    fn leaves_that_are_filled_in_order_are_full_and_how_they_came_to_be_is_no_difference() {
        let mut set: BTreeSet<u32> = (0..1_000).collect();
        assert!(set.0.leaves.iter().rev().skip(1).all(|leaf| leaf.len() == super::FULL));
        let backwards: BTreeSet<u32> = (0..1_000).rev().collect();
        assert_ne!(set.0.leaves.len(), backwards.0.leaves.len());
        assert_eq!((&set, set.cmp(&backwards)), (&backwards, std::cmp::Ordering::Equal));
        assert!(set.remove(&999) && !set.remove(&999) && set.insert(999) && !set.insert(999));
        set.retain(|item| *item == 64);
        assert_eq!((set.len(), set.first(), set.last(), set.0.leaves.len()), (1, Some(&64), Some(&64), 1));
        assert!(set.remove(&64) && set.is_empty() && set.first().is_none() && set.pop_first().is_none());
    }

    #[test]
    fn their_json_is_that_of_the_standard_librarys() {
        let set: BTreeSet<u8> = serde_json::from_str("[2,1,2]").unwrap();
        assert_eq!(serde_json::to_string(&set).unwrap(), "[1,2]");
        let map: BTreeMap<String, u8> = serde_json::from_str(r#"{"b":2,"a":1}"#).unwrap();
        assert_eq!(serde_json::to_string(&map).unwrap(), r#"{"a":1,"b":2}"#);
    }
}
