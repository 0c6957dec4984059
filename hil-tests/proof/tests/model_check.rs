//! Promise: no order of faults and orders drives flyball and the PLC's gate blocks into a state that breaks a safety promise, and a willing
//! operator gets the loop closed from every state that can be reached.
//!
//! `cargo test --release --manifest-path hil-tests/proof/Cargo.toml -- --nocapture` prints how many states there were and how deep they lie.

use std::collections::BTreeSet;

use flyball_config::ReturnAfterShed;
use flyball_proof::parts::{Break, Parts};
use flyball_proof::world::{Scope, World};
use stateright::{Checker, HasDiscoveries, Model};

/// The one property that must have an example, or the rest says nothing.
const REACHED: &str = "the loop is closed and a setpoint is written";

fn explore<const N: usize>(what: &str, world: World<N>) {
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    report(what, &checker);
    checker.assert_properties();
}

/// Fails with the shortest way to a broken promise that was found.
fn report<const N: usize>(what: &str, checker: &impl Checker<World<N>>) {
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
}

const LOSS: Scope =
    Scope { late: false, broken_messages: false, stops: false, bad_links: 1, power: true, orders: true };

fn asking() -> Parts {
    Parts::shipped(ReturnAfterShed::Operator)
}

#[test]
fn loss_crash_and_restart_on_both_sides() {
    explore::<1>("loss", World { parts: asking(), scope: LOSS });
}

#[test]
fn cut_and_unreadable_messages() {
    let scope = Scope { broken_messages: true, orders: false, ..LOSS };
    explore::<1>("cut", World { parts: asking(), scope });
}

#[test]
fn late_and_repeated_messages() {
    let scope = Scope { late: true, orders: false, ..LOSS };
    explore::<1>("late", World { parts: asking(), scope });
}

#[test]
fn stops_stalls_and_permits() {
    let scope = Scope { stops: true, orders: false, power: false, ..LOSS };
    explore::<1>("stops", World { parts: asking(), scope });
}

#[test]
fn setpoints_and_a_slave_loop_that_leaves() {
    let scope = Scope { orders: false, power: false, ..LOSS };
    explore::<1>("setpoints", World { parts: Parts { mv: true, ..asking() }, scope });
}

/// With two runtimes there are too many states to see all: all that lie within this many steps, five to a scan.
const LEASE_DEPTH: usize = 28;

#[test]
fn two_runtimes_and_one_lease_as_deep_as_time_allows() {
    let scope = Scope { orders: false, power: false, ..LOSS };
    let world = World::<2> { parts: Parts { lease: true, ..asking() }, scope };
    let enough = HasDiscoveries::AnyFailures;
    let checker = world.checker().threads(2).target_max_depth(LEASE_DEPTH).finish_when(enough).spawn_bfs().join();
    report("lease", &checker);
}

#[test]
fn automatic_return_but_not_after_the_operator_left() {
    let scope = Scope { power: false, ..LOSS };
    explore::<1>("automatic", World { parts: Parts::shipped(ReturnAfterShed::Automatic), scope });
}

/// Explores until the promise is broken; fails if it never is.
fn caught<const N: usize>(parts: Parts, broken: Break, scope: Scope, promise: &'static str) {
    let world = World::<N> { parts: parts.with(broken), scope };
    let enough = HasDiscoveries::AnyOf(BTreeSet::from([promise]));
    let checker = world.checker().threads(2).finish_when(enough).spawn_bfs().join();
    let path = checker.discovery(promise).unwrap_or_else(|| panic!("{broken:?} is not caught by: {promise}"));
    let (states, steps) = (checker.unique_state_count(), path.into_actions().len());
    println!("{broken:?} breaks \"{promise}\": after {states} states, {steps} steps deep");
}

#[test]
fn each_break_is_caught_by_the_promise_that_it_breaks() {
    let plain = Scope { orders: false, power: false, ..LOSS };
    let with_mv = Parts { mv: true, ..asking() };
    let refused = "leaving is never refused";
    let bumpless = "bumpless entry";
    caught::<1>(asking(), Break::LeaveRefusedWhileArming, plain, refused);
    caught::<1>(with_mv, Break::ShedRefusedWhileHolding, plain, refused);
    // The latch of the gate hides it, unless the one write that says so is lost.
    caught::<1>(asking(), Break::AsksAgainByItself, Scope { orders: true, ..plain }, "no return by itself");
    caught::<1>(asking(), Break::DeadWishCounts, Scope { power: true, ..plain }, "no return by itself");
    caught::<1>(asking(), Break::PlcLossNeverNoticed, plain, "the runtime sheds within its time-out of a silent PLC");
    caught::<1>(
        asking(),
        Break::RuntimeLossNeverNoticed,
        plain,
        "the PLC opens within its time-out of a silent runtime",
    );
    caught::<1>(asking(), Break::WritesOneScanAfterShed, plain, "written only in CLOSED LOOP and in control");
    caught::<1>(with_mv, Break::OldSequenceTakenAtEntry, plain, "the gate ignores what was written before it closed");
    caught::<1>(with_mv, Break::FirstWriteIsAMove, plain, bumpless);
    caught::<1>(asking(), Break::NeverArms, plain, "a willing operator gets the loop closed");
    let with_lease = Parts { lease: true, ..asking() };
    let one_speaker = "only the owner of the lease writes";
    caught::<2>(with_lease, Break::LeaseIgnored, plain, one_speaker);
    caught::<2>(with_lease, Break::NoPauseBetweenOwners, plain, one_speaker);
}
