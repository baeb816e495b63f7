//! Puts many concurrent clients on a framed server and tells honestly how it held.

pub mod bench;
pub mod exchange;
pub mod flight;
pub mod interval;
pub mod ledger;
pub mod pace;
pub mod pacer;
pub mod payload;
pub mod plan;
pub mod recorder;
pub mod run;
pub mod schedule;
pub mod shared;
pub mod worker;
