//! What is measured: what became of every frame, and how long it took.

pub mod interval;
pub mod ledger;
pub mod recorder;
