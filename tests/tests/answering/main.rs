//! People who answer, through the whole relay: races for a conversation, and talks that go on while links are cut and processes die.

mod broken;
mod claims;
