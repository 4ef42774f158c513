//! Every order of events in small fleets, by a model checker: replicas, gateways, one or two changes, a network that delays
//! and reorders (what is lost is what never comes), crashes, restarts, pauses (a process that takes no step while time goes
//! by), registrations that run out.
//!
//! The machines are the real ones; the model adds a cache of an entry a tenant, a database, and a clock of a few ticks.
//! Each of [`Breakage`] breaks a rule on purpose and must be caught: a model that finds nothing wrong with a broken
//! protocol would say nothing about the right one.

mod fleet;
mod searches;
mod steps;
