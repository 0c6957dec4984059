//! The program: commands, control and service process, threads, wiring.
//!
//! `main` only parses and dispatches; everything it calls is here, so that tests reach it. See docs/ARCHITECTURE.md, "Two
//! processes, few threads".

pub mod application;
pub mod bench;
pub mod beside;
pub mod certify;
pub mod check;
pub mod cli;
pub mod clock;
pub mod demo;
pub mod engines;
pub mod error;
pub mod export;
pub mod hil;
pub mod keeper;
pub mod logging;
pub mod model;
pub mod plckit;
pub mod publication;
mod recording;
pub mod replay;
pub mod run;
pub mod service;
pub mod signals;
pub mod timing;
pub mod utc;
pub mod view;
pub mod why;
pub mod words;

pub use flyball_machine::realtime;
