//! Puts many concurrent clients on a framed server and tells honestly how it held.
//!
//! ```text
//!   plan ---> run ---> measure ---> report ---> output
//!   what      when,    what came    all as      one file
//!             who      of it        plain data  per format
//! ```
//!
//! A [`plan::Plan`] is plain data. [`run::Run`] carries it out on threads of its own and gives an
//! [`run::Outcome`]; [`report::Report`] says all that follows from both, and [`output`] turns it
//! into text.
//!
//! ```no_run
//! use volley_load::plan::Plan;
//! use volley_load::run::Run;
//!
//! let outcome = Run::start(Plan::default())?.finish(&mut ())?;
//! println!("{} frames, {} failed", outcome.total.run.ledger.sent(), outcome.total.run.ledger.failed());
//! # Ok::<(), volley_load::run::RunError>(())
//! ```

pub mod embedded;
pub mod limits;
pub mod measure;
pub mod output;
pub mod plan;
pub mod report;
pub mod run;
pub mod self_test;
