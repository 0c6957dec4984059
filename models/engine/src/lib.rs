//! Compact networks as flat programs: no allocation per run, the same bits on every CPU and for every batch size.
//!
//! A [`Graph`] says what is computed: static single assignment, static shapes, a dozen operators. Everything else is made from it:
//! values by the reference interpreter ([`reference`]) and by compiled programs, gradients, bounds and streaming forms.
//!
//! Words: a *node* is one tensor of a graph; *rows* are independent samples of a batch; *lanes* are the 16 numbers of one vector.

#[cfg(test)]
mod graph_tests;

pub mod bounds;
mod copy;
pub mod gradient;
pub mod graph;
pub mod index;
mod kernel;
pub mod math;
mod moves;
pub mod op;
pub mod program;
pub mod reference;
pub mod stream;
pub mod testing;

pub use graph::{Graph, GraphError, Node};
pub use kernel::Path;
pub use op::{Binary, Conv, Op, ReduceKind, Unary};
pub use program::{Instance, Program};
