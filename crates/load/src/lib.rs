//! Puts many concurrent clients on a framed server and tells honestly how it held.

pub mod bench;
pub mod client;
pub mod exchange;
pub mod flight;
pub mod interval;
pub mod ledger;
pub mod output;
pub mod metric;
pub mod notation;
pub mod pace;
pub mod pacer;
pub mod payload;
pub mod phases;
pub mod plan;
pub mod ports;
pub mod recorder;
pub mod report;
pub mod run;
pub mod schedule;
pub mod seconds;
pub mod shared;
pub mod shortage;
pub mod sizes;
pub mod sources;
pub mod threshold;
pub mod worker;
