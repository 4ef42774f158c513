//! Fits the bounds on connections and sockets to the descriptors that this process may have: a process without a descriptor left
//! can call nobody.

use service::process;

use super::limits::one_address_of;
use crate::limits::LimitsConfig;

/// Descriptors that are neither a connection's nor a socket's: listeners, logs, the admin service, workers' own.
pub(super) const OTHER_DESCRIPTORS: usize = 64;

/// The bounds that descriptors limit.
pub(super) struct Bounded<'a> {
    pub(super) connections: &'a mut usize,
    pub(super) sockets: &'a mut usize,
    pub(super) limits: &'a mut LimitsConfig,
    /// Descriptors that each connection and each socket takes.
    pub(super) descriptors_each: usize,
    /// Whether only this machine reaches the gateway: then lowered bounds are no fault.
    pub(super) is_laptop: bool,
}

impl Bounded<'_> {
    /// Raises the process's limit as far as it may, fits the bounds to it, and says so in the log where it lowers them.
    pub(super) fn fit(&mut self) {
        process::raise_descriptor_limit();
        let Some(descriptors) = process::descriptor_limit() else { return };
        let (connections, sockets) = (*self.connections, *self.sockets);
        self.fit_to(descriptors);
        let (max_connections, max_sockets) = (*self.connections, *self.sockets);
        if (max_connections, max_sockets) == (connections, sockets) {
            return;
        }
        if self.is_laptop {
            tracing::info!(
                descriptors,
                max_connections,
                max_sockets,
                "max_connections {connections} and max_sockets {sockets} were lowered to what the limit of descriptors allows: \
                 enough for a trial",
            );
        } else {
            tracing::warn!(
                descriptors,
                max_connections,
                max_sockets,
                "max_connections {connections} and max_sockets {sockets} were lowered to what the limit of descriptors allows: \
                 raise it (ulimit -n)",
            );
        }
    }

    pub(super) fn fit_to(&mut self, descriptors: usize) {
        let before = (*self.connections, *self.sockets);
        let room = descriptors.saturating_sub(OTHER_DESCRIPTORS) / self.descriptors_each;
        if before.0 + before.1 <= room {
            return;
        }
        // Half for each. What one does not need goes to the other.
        let half = room / 2;
        let fitted = |wanted: usize, others: usize| wanted.min(half.max(room.saturating_sub(others))).max(1);
        *self.connections = fitted(before.0, before.1);
        *self.sockets = fitted(before.1, before.0);
        // What one address may have shrinks with the whole, unless it was set.
        let share =
            |given: usize, before, now| if given == one_address_of(before) { one_address_of(now) } else { given };
        let limits = &mut *self.limits;
        limits.connections_per_address = share(limits.connections_per_address, before.0, *self.connections);
        limits.sockets_per_address = share(limits.sockets_per_address, before.1, *self.sockets);
    }
}
