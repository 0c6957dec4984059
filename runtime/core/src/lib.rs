//! The pure scan: a function from (state, cycle, input image) to (state, output image, report).
//!
//! All waiting is outside. See docs/ARCHITECTURE.md for the five rooms and the one door.

pub mod bounds;
pub mod command;
pub mod exchange;
pub mod guard;
pub mod image;
pub mod link;
pub mod mode;
pub mod optimum;
pub mod outside;
pub mod ports;
pub mod status;
pub mod time;
pub mod value;

pub use flyball_config as config;
