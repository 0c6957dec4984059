//! The program: commands, control and service process, threads, wiring.
//!
//! `main` only parses and dispatches; everything it calls is here, so that tests reach it. See docs/ARCHITECTURE.md, "Two
//! processes, few threads".

pub mod application;
pub mod bench;
pub mod check;
pub mod cli;
pub mod clock;
pub mod demo;
pub mod engines;
pub mod error;
pub mod export;
pub mod keeper;
pub mod logging;
pub mod model;
pub mod publication;
mod recording;
pub mod run;
pub mod service;
pub mod signals;
pub mod timing;
pub mod view;
pub mod words;

pub use flyball_machine::realtime;
