//! Percentiles of what was measured.

/// Of sorted values, the one that so many percent do not exceed.
///
/// # Panics
/// Where there are none.
#[must_use]
pub fn percentile<T: Copy>(sorted: &[T], percent: usize) -> T {
    sorted[(sorted.len() - 1) * percent / 100]
}
