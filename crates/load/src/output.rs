//! From the report to text: one file per format. Only [`files`] and [`place`] know of paths.

pub mod files;
pub mod floor;
pub mod hgrm;
mod histogram;
pub mod hlog;
pub mod json;
pub mod junit;
pub mod place;
#[cfg(test)]
pub(crate) mod sample;
pub mod table;
