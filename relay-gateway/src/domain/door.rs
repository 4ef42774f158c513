//! A visitor's door: which pages a tenant's widget key lets in, and what their widget draws itself from.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value};
use shared::origin::{Origin, OriginPolicy};
use uuid::Uuid;

/// A tenant's door, as one widget key opens it.
#[derive(Debug)]
pub(crate) struct Door {
    /// Where the key is unknown, what the tenant allows: by it a refusal may be shown to the page.
    pub(crate) policy: OriginPolicy,
    /// `None` where the tenant has no such key, or not any more.
    pub(crate) widget: Option<Widget>,
}

/// What a widget key opens.
#[derive(Debug)]
pub(crate) struct Widget {
    pub(crate) key_id: Uuid,
    pub(crate) sessions_per_hour: NonZeroU32,
    /// `bot_id`, `customization`, `branding` and what else a widget draws itself from.
    pub(crate) config: Map<String, Value>,
}

impl Door {
    pub(crate) fn allows(&self, origin: &Origin) -> bool {
        self.policy.allows(origin)
    }
}

/// Doors of one tenant that are kept at once; a tenant has a handful of keys in use.
const MOST_KEPT: usize = 64;

/// The doors that are known of a tenant. They are kept with what is known of the tenant, and dropped with it: a change to any
/// of its keys is a change to the tenant.
#[derive(Debug, Default)]
pub(crate) struct Doors(Mutex<Option<Kept>>);

/// Allocated with the first door, so that tenants without visitors pay a word for them.
type Kept = Box<HashMap<Box<str>, Arc<Door>>>;

impl Doors {
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Door>> {
        self.kept().as_ref()?.get(key).cloned()
    }

    /// Keeps a door. One that no key opens is not kept: whoever invents keys would fill the memory.
    pub(crate) fn keep(&self, key: &str, door: &Arc<Door>) {
        if door.widget.is_none() && !key.is_empty() {
            return;
        }
        let mut kept = self.kept();
        let doors = kept.get_or_insert_default();
        if doors.len() >= MOST_KEPT {
            doors.clear();
        }
        doors.insert(key.into(), Arc::clone(door));
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_keys_fill_nothing() {
        let doors = Doors::default();
        let door = |opens: bool| {
            let widget = opens.then(|| Widget {
                key_id: Uuid::new_v4(),
                sessions_per_hour: NonZeroU32::MIN,
                config: Map::new(),
            });
            Arc::new(Door { policy: OriginPolicy::default(), widget })
        };
        doors.keep("pk_invented", &door(false));
        assert!(doors.get("pk_invented").is_none());
        doors.keep("", &door(false));
        assert!(doors.get("").is_some(), "what the tenant itself allows");
        for n in 0..10 * MOST_KEPT {
            doors.keep(&format!("pk_{n}"), &door(true));
        }
        assert!(doors.kept().as_ref().is_some_and(|kept| kept.len() <= MOST_KEPT));
        assert!(doors.get(&format!("pk_{}", 10 * MOST_KEPT - 1)).is_some());
    }
}
