//! Dense storage: things are found by the caller's id once and by index on the hot path. Knows nothing of what it holds.

use std::collections::HashMap;
use std::hash::Hash;

pub struct Slab<K, T> {
    entries: Vec<Option<(K, T)>>,
    free: Vec<usize>,
    indices: HashMap<K, usize>,
}

impl<K: Copy + Eq + Hash, T> Default for Slab<K, T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), indices: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash, T> Slab<K, T> {
    /// `None` where the id is taken.
    pub fn insert(&mut self, key: K, value: T) -> Option<usize> {
        if self.indices.contains_key(&key) {
            return None;
        }
        let entry = Some((key, value));
        let index = if let Some(index) = self.free.pop() {
            self.entries[index] = entry;
            index
        } else {
            self.entries.push(entry);
            self.entries.len() - 1
        };
        self.indices.insert(key, index);
        Some(index)
    }

    pub fn remove(&mut self, key: K) -> Option<(usize, T)> {
        let index = self.indices.remove(&key)?;
        let (_, value) = self.entries.get_mut(index)?.take()?;
        self.free.push(index);
        Some((index, value))
    }

    #[must_use]
    pub fn find(&self, key: K) -> Option<usize> {
        self.indices.get(&key).copied()
    }

    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.entries.get(index)?.as_ref().map(|(_, value)| value)
    }

    #[must_use]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.entries.get_mut(index)?.as_mut().map(|(_, value)| value)
    }

    pub fn by_key_mut(&mut self, key: K) -> Option<&mut T> {
        let index = self.find(key)?;
        self.get_mut(index)
    }

    /// One more than the highest index in use.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.entries.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.entries.iter().flatten().map(|(key, value)| (*key, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        self.entries.iter_mut().flatten().map(|(key, value)| (*key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_an_index_again_and_refuses_a_taken_id() {
        let mut slab: Slab<u32, &str> = Slab::default();
        assert_eq!(slab.insert(7, "a"), Some(0));
        assert_eq!(slab.insert(7, "b"), None);
        assert_eq!(slab.insert(9, "c"), Some(1));
        assert_eq!(slab.remove(7), Some((0, "a")));
        assert_eq!(slab.remove(7), None);
        assert_eq!(slab.get(0), None);
        assert_eq!(slab.insert(11, "d"), Some(0));
        assert_eq!(slab.iter().collect::<Vec<_>>(), vec![(11, &"d"), (9, &"c")]);
    }
}
