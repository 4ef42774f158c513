//! What is known of tenants, and whether it may be used. Nobody outside this folder knows of leases.
//!
//! [`GrpcDirectory`] asks the admin service every time. [`CachedDirectory`] asks it once, and answers from what it kept for
//! as long as a lease says that it may; [`Subscription`] keeps that lease, and drops what changes.

mod cached;
mod grpc;
mod lease;
mod listener;
mod memberships;
mod port;
mod previous_uses;
mod subscription;
mod widget_access;

pub(crate) use cached::CachedDirectory;
pub(crate) use grpc::GrpcDirectory;
pub(crate) use listener::ChangeListener;
pub(crate) use port::{Known, TenantDirectory, unavailable};
pub(crate) use previous_uses::PreviousUses;
pub(crate) use subscription::Subscription;
