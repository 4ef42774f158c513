//! Percentiles of what was measured.

/// The value at this percentile of a sorted list.
///
/// # Panics
/// Where there are none.
#[must_use]
pub fn percentile<T: Copy>(sorted: &[T], percent: usize) -> T {
    sorted[(sorted.len() - 1) * percent / 100]
}
