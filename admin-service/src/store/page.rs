//! Pages of rows.

use uuid::Uuid;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart {
    /// After skipping so many rows. Costs what it skips.
    Offset(u64),
    /// Below this id. Costs the same however deep.
    After(Uuid),
}

/// A page of rows, newest first.
#[derive(Clone, Debug)]
pub struct Page<T, Key = Uuid> {
    /// The rows.
    pub items: Vec<T>,
    /// What to go on below; `None` on the last page.
    pub next: Option<Key>,
}
