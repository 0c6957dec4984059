//! What this machine is, what its operating system grants a thread, and how the times of one piece of work spread.
//!
//! A latency without its machine means nothing: the runtime logs these facts at start, and every bench prints them above its numbers.

pub mod extreme;
pub mod realtime;
pub mod spread;
