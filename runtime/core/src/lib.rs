//! The pure scan: a function from (state, cycle, input image) to (state, output image, report).
//!
//! All waiting is outside. See docs/ARCHITECTURE.md for the five rooms and the one door.

pub mod advisor;
pub mod age;
pub mod bias;
pub mod bounds;
pub mod command;
pub mod condition;
pub mod controller;
pub mod deadline;
pub mod domain;
pub mod exchange;
pub mod executive;
pub mod feature;
pub mod field;
pub mod guard;
pub mod handshake;
pub mod image;
pub mod interval;
pub mod link;
pub mod mode;
pub mod optimum;
pub mod outside;
pub mod pacer;
pub mod ports;
pub mod record;
pub mod sample;
pub mod sensor;
pub mod shadow;
pub mod state;
pub mod status;
pub mod steady;
pub mod time;
pub mod value;
pub mod watch;

pub use flyball_config as config;
