//! What the plant is: tags, units, ranges, models, MVs, CVs.
//!
//! `load` reads a TOML file (and its CSV tag sheets), reports *every* error at once, and returns a validated [`Config`].
//!
//! The way of a file: `tree` (values with their places) -> `reader` (take keys, complain about the rest) -> `read` (one file per
//! section) -> `check` (between sections) -> `model` (what the rest of flyball sees). `diagnostic` is what a user sees.

mod address;
mod address_modbus;
pub mod bounds;
mod check;
mod diagnostic;
mod load;
pub mod model;
mod quantity;
mod read;
mod reader;
mod secret;
mod suggest;
mod tree;
pub mod units;

pub use diagnostic::{Diagnostic, Diagnostics, Location, Severity, SourceFile};
pub use load::{Loaded, load, load_text};
pub use model::*;
pub use quantity::words as duration_words;
pub use units::Unit;
