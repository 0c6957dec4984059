//! The anytime setpoint optimiser: an economic objective under limits, searched through a map with exact derivatives.
//!
//! [`SteadyOptimizer`] answers the scan's `Optimizer` port over any [`Map`]: [`NetworkMap`] is a compiled network with its Jacobian,
//! [`Differences`] any equations. [`climb`] is the search itself, over anything that is an [`nlp::Nlp`].
//!
//! Words: a *map* answers rows of inputs with rows of outputs; *MV*, *CV* and *rank* are the configuration's; see [`nlp`] for the search's own.

mod answer;
pub mod climb;
mod curvature;
mod domain;
mod expression;
pub mod gains;
mod halton;
pub mod horizon;
pub mod levels;
mod map;
pub mod nlp;
mod objective;
mod optimiser;
pub mod qp;
mod setup;
mod steady;
pub mod testing;

pub use domain::DomainCost;
pub use expression::{Expression, NAMES_MAX, STEPS_MAX};
pub use map::{Differences, Map, NetworkMap};
pub use objective::{BadObjective, Objective, Term};
pub use optimiser::{Budget, CannotOptimise, ITERATIONS_MAX, STARTS_MAX, SteadyOptimizer};
pub use setup::{MvSetup, Setup};
