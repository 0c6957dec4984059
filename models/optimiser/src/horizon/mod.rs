//! The horizon: the best plan of moves over a model that remembers (model predictive control).
//!
//! [`HorizonOptimizer`] answers the scan's `Optimizer` port. [`Dynamics`] is the model, [`rollout()`] its future as one graph, [`tangent`] the
//! derivatives of that; `plant` keeps what the model remembers of the plant's history, `problem` poses the search's question, `answer`
//! words its answer.
//!
//! Words: a *step* is one step of the model; a *block* is a number of steps in which the MVs stand; a *plan* is the MVs in every block.

mod answer;
mod blocks;
mod dynamics;
mod optimizer;
mod plant;
mod problem;
mod rollout;
pub mod tangent;
mod template;
pub mod testing;

pub use blocks::{Blocks, HORIZON_MVS_MAX, STEPS_MAX};
pub use dynamics::{Dynamics, Run};
pub use optimizer::{HorizonOptimizer, HorizonSetup};
pub use plant::Columns;
pub use rollout::{Roles, rollout};
