//! Ids of what stands in a conversation, messages and notes alike: each is greater than the one before, so their order is the order in
//! which they were written.

use uuid::Uuid;

/// The bits of a UUID of version 7 that count within a millisecond and carry into nothing else.
const COUNTER: u128 = (1 << 62) - 1;

/// The next id after `last`, which is empty where there is none. Make it while the conversation's row is locked. It tells the time,
/// unless the clock was set back since the last one.
pub(super) fn after(last: &str) -> String {
    let now = Uuid::now_v7();
    let next = match Uuid::try_parse(last) {
        Ok(last) if last >= now => successor(last),
        _ => now,
    };
    next.to_string()
}

/// The least greater id of the same form. Where the counter is full, the id is of the next millisecond.
fn successor(id: Uuid) -> Uuid {
    let number = id.as_u128();
    if number & COUNTER < COUNTER {
        return Uuid::from_u128(number + 1);
    }
    let millisecond = u64::try_from(number >> 80).unwrap_or(u64::MAX) + 1;
    uuid::Builder::from_unix_timestamp_millis(millisecond, &[0; 10]).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_greater_than_the_last_whatever_the_clock_says() {
        let mut last = String::new();
        for _ in 0..1000 {
            let next = after(&last);
            assert!(next > last);
            last = next;
        }
        let future = Uuid::parse_str("ffffffff-ff00-7fff-bfff-fffffffffffe").expect("an id");
        let one = after(&future.to_string());
        assert_eq!(one, "ffffffff-ff00-7fff-bfff-ffffffffffff");
        let carried = after(&one);
        assert_eq!(carried, "ffffffff-ff01-7000-8000-000000000000");
        assert_eq!(Uuid::parse_str(&carried).expect("an id").get_version_num(), 7);
    }
}
