//! The admin service from outside: the store on both databases, REST, gRPC, and what must never leak.

mod accounts;
mod admin_keys;
mod audit_subjects;
mod delivery;
mod failover;
mod grpc;
mod identities;
mod logs;
mod openapi;
mod overlap;
mod rest;
mod rewrap;
mod secrets;
mod signing_keys;
mod store;
mod support;
mod visitors;
mod watch;
