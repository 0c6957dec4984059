//! What the plant is: tags, units, ranges, models, MVs, CVs.
//!
//! `load` reads a TOML file (and its CSV tag sheets), reports *every* error at once, and returns a validated [`Config`].

pub mod model;
pub mod units;

pub use model::*;
