//! Certified bounds hold: for every operator and for whole networks, for the reference interpreter and for programs in f32.

mod edges;
mod nets;
mod networks;
mod operators;
mod program;
mod sampling;
