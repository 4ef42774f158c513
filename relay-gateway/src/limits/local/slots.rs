//! How many of something are open at once, by key.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts what is open. Cloning shares it.
#[derive(Debug)]
pub(crate) struct Slots<K> {
    most: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// One that is open, until this is dropped.
#[derive(Debug)]
pub(crate) struct Slot<K: Hash + Eq + Copy> {
    key: K,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Hash + Eq + Copy> Slots<K> {
    /// Of each key, `most` may be open at once.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// Takes a slot; `None` where the key has as many as it may.
    pub(crate) fn take(&self, key: K) -> Option<Slot<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(&key).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        taken.insert(key, count + 1);
        Some(Slot { key, taken: Arc::clone(&self.taken) })
    }
}

impl<K: Hash + Eq + Copy> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_slots_and_gets_them_back() {
        let slots = Slots::new(2);
        let (first, second) = (slots.take(1).expect("free"), slots.take(1).expect("free"));
        assert!(slots.take(1).is_none() && slots.take(2).is_some());
        drop(first);
        let again = slots.take(1).expect("free again");
        assert!(slots.take(1).is_none());
        drop((second, again));
        assert!(slots.taken.lock().expect("not poisoned").is_empty(), "nothing is left behind");
    }
}
