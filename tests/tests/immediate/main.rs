//! Immediate means immediate: once a change has returned, no gateway accepts what was true before it, whatever fails. Real
//! processes, hammered with what is current and what is retired while gateways are paused, links swallow bytes, replicas are killed and
//! the database restarts.

mod faults;
mod healthy;
mod operators;
mod secrets;
mod seen;
