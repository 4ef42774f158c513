//! The history of changes, as gateways and replicas tell it to each other.

/// The directory's revision: one number for the whole database, taken in commit order.
pub type Revision = u64;

/// A run of changes. A gateway or replica that has seen everything up to `after` has, with these, seen everything up to `through`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Changes<K> {
    /// The revision that must have been seen before.
    pub after: Revision,
    /// The revision that has been seen with these.
    pub through: Revision,
    /// What changed in between. `None` if that is not known (a start-over): then anything may have changed.
    pub keys: Option<Vec<K>>,
}
