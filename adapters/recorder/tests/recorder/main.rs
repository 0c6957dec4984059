//! Promises of the recorder, on real files.

mod common;
mod damage;
mod disk;
mod round_trip;
