//! Bytes of bodies that are waited for: a budget for the process, and one for each address that has proved nothing yet.
//!
//! A body that is there at once is not counted: it occupies memory no longer than its call takes. One that is waited for is
//! counted by its declared length from the moment the wait begins, so that three hundred bodies that are held back one byte
//! before their end cost what the budget says and no more.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;

use service::edge::network;

use crate::limits::{
    bounds::MemoryConfig,
    limit::{Exceeded, Limit},
};

/// The budgets and what is taken of them.
pub(crate) struct BodyMemory {
    config: MemoryConfig,
    total: Arc<AtomicUsize>,
    addresses: Cache<IpAddr, Arc<AtomicUsize>>,
}

/// What one body has taken. Dropping it gives everything back.
pub(crate) struct HeldBytes<'a> {
    memory: &'a BodyMemory,
    address: IpAddr,
    bytes: usize,
    /// The address's budget, until the caller has proved itself.
    unproven: Option<Arc<AtomicUsize>>,
}

impl BodyMemory {
    pub(crate) fn new(config: MemoryConfig) -> Self {
        // An entry that is forgotten while a body holds it only starts a new count for its address.
        let addresses = Cache::builder().max_capacity(100_000).time_to_idle(Duration::from_secs(120)).build();
        Self { config, total: Arc::default(), addresses }
    }

    /// Begins with nothing taken.
    pub(crate) fn hold(&self, address: IpAddr) -> HeldBytes<'_> {
        HeldBytes { memory: self, address, bytes: 0, unproven: None }
    }

    pub(crate) fn sweep(&self) {
        self.addresses.run_pending_tasks();
    }
}

fn take(from: &AtomicUsize, bytes: usize, most: usize) -> bool {
    let taken = from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
        taken.checked_add(bytes).filter(|taken| *taken <= most)
    });
    taken.is_ok()
}

impl HeldBytes<'_> {
    /// Takes that many bytes in all.
    ///
    /// # Errors
    /// [`Limit::AddressMemory`], [`Limit::Memory`].
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        let exceeded = |limit| Exceeded { limit, retry_after_s: 1 };
        let MemoryConfig { total, per_address } = self.memory.config;
        let address =
            self.unproven.get_or_insert_with(|| self.memory.addresses.get_with(network(self.address), Arc::default));
        if !take(address, more, per_address) {
            return Err(exceeded(Limit::AddressMemory));
        }
        if !take(&self.memory.total, more, total) {
            address.fetch_sub(more, Ordering::Relaxed);
            return Err(exceeded(Limit::Memory));
        }
        self.bytes = bytes;
        Ok(())
    }

    /// The caller has proved itself: its body counts against the address no more.
    pub(crate) fn proven(&mut self) {
        if let Some(address) = self.unproven.take() {
            address.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for HeldBytes<'_> {
    fn drop(&mut self) {
        self.proven();
        if self.bytes > 0 {
            self.memory.total.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_budget_until_it_has_proved_something_and_the_process_has_its_own() {
        let memory = BodyMemory::new(MemoryConfig { total: 250, per_address: 100 });
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().expect("an address"));
        let mut first = memory.hold(one);
        first.grow_to(60).expect("room");
        first.grow_to(60).expect("no more than it has");
        let mut second = memory.hold(one);
        assert_eq!(second.grow_to(41).expect_err("over").limit, Limit::AddressMemory);
        second.grow_to(40).expect("just what is left");
        first.proven();
        second.proven();
        let mut third = memory.hold(one);
        third.grow_to(100).expect("the first two are proven");
        let mut fourth = memory.hold(other);
        assert_eq!(fourth.grow_to(51).expect_err("over").limit, Limit::Memory);
        drop(third);
        fourth.grow_to(100).expect("given back");
        drop((first, second, fourth));
        assert_eq!(memory.total.load(Ordering::Relaxed), 0, "nothing is left behind");
        assert_eq!(memory.addresses.get(&one).expect("kept").load(Ordering::Relaxed), 0);
    }
}
