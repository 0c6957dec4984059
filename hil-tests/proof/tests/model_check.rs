//! Promise: nobody can drive flyball and the PLC's gate blocks into a state that breaks a safety promise, and a willing operator gets the loop closed.
//!
//! `cargo test --release --workspace --test model_check -- --nocapture` prints how many states there were and how deep they lie.

use flyball_config::ReturnAfterShed;
use flyball_proof::parts::Parts;
use flyball_proof::world::{Scope, World};
use stateright::{Checker, HasDiscoveries, Model};

/// The one property that must have an example, or the rest says nothing.
const REACHED: &str = "the loop is closed and a setpoint is written";

fn explore<const N: usize>(what: &str, world: World<N>) {
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{what}: {} states, {} transitions, depth {}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth()
    );
    for (promise, path) in checker.discoveries() {
        if promise != REACHED {
            for (state, step) in path.into_vec() {
                println!("{}  {step:?}", state.line());
            }
            panic!("{what}: not kept: {promise}");
        }
    }
    checker.assert_properties();
}

const PLAIN: Scope = Scope { late: false, broken_messages: false, stops: false };

#[test]
fn plain() {
    let parts = Parts::shipped(ReturnAfterShed::Operator);
    explore::<1>("plain", World { parts, scope: PLAIN });
}

#[test]
fn broken() {
    let parts = Parts::shipped(ReturnAfterShed::Operator);
    explore::<1>("broken messages", World { parts, scope: Scope { broken_messages: true, ..PLAIN } });
}

#[test]
fn late() {
    let parts = Parts::shipped(ReturnAfterShed::Operator);
    explore::<1>("late", World { parts, scope: Scope { late: true, ..PLAIN } });
}

#[test]
fn stops() {
    let parts = Parts::shipped(ReturnAfterShed::Operator);
    explore::<1>("stops", World { parts, scope: Scope { stops: true, ..PLAIN } });
}

#[test]
fn mv() {
    let parts = Parts { mv: true, ..Parts::shipped(ReturnAfterShed::Operator) };
    explore::<1>("mv", World { parts, scope: PLAIN });
}
