//! Pages from rows.

use crate::store::{error::StoreError, page::Page};

/// Makes a page of one row more than the page holds: that row says whether there is a next page.
pub(super) fn cut<Row, T: TryFrom<Row, Error = StoreError>, Key>(
    mut rows: Vec<Row>,
    limit: u64,
    key: impl Fn(&Row) -> Key,
) -> Result<Page<T, Key>, StoreError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(key);
    Ok(Page { items: rows.into_iter().map(T::try_from).collect::<Result<_, _>>()?, next })
}
