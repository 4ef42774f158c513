//! What all gateways count together, in Redis: tenants' rates, what signatures were used for, and sessions of widget keys. And what a
//! gateway does while Redis does not say.

mod caller;
mod faults;
mod servers;
mod together;
