//! The system from outside: what tests need to run real processes and talk to them as their users do.
//!
//! Everything listens on port 0 and says where; everything started here is stopped here, by pid.

pub mod certificates;
pub mod fleet;
pub mod link;
pub mod openapi;
pub mod operator;
pub mod percentile;
pub mod postgres;
pub mod process;
pub mod publisher;
pub mod receiver;
pub mod redis;
pub mod scale;
pub mod seed;
pub mod signed;
pub mod small_disk;
pub mod sources;
pub mod times;
pub mod visitor;
pub mod world;
