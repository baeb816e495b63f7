//! From the report to text: one file per format.

pub mod floor;
pub mod json;
pub mod table;
pub mod hgrm;
mod histogram;
pub mod hlog;
pub mod json;
pub mod junit;
#[cfg(test)]
mod sample;
