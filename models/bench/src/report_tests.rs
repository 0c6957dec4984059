//! The tables as a reader sees them.

use flyball_machine::spread::Spread;

use crate::case::{Case, Goal};
use crate::ceiling::{Cache, Ceiling};
use crate::measure::{Allocations, Times};
use crate::onnx_runtime::Library;
use crate::ours;
use crate::report::{Outcome, Verdict, block, header, summary};
use crate::zoo;

fn times(name: &str, p50: u64, allocations: Allocations) -> Times {
    let single = Spread { p50, p99: p50 + 100, p999: 2 * p50, max: 50 * p50 };
    Times { name: name.to_owned(), single, runs: 100_000, in_a_row: p50 as f64 - 20.0, allocations }
}

fn outcome(name: &str, goal: Option<Goal>, times: Vec<Times>) -> Outcome {
    let mut case = Case::read(name, zoo::mlp(&[16, 64, 64, 2], "Relu"), 1).expect("built here");
    case.goal = goal;
    Outcome {
        case,
        multiply_adds: Some(5_248),
        shortest_ns: Some(100.0),
        level: "L1",
        compared: Ok(1.2e-7),
        times,
        notes: Vec::new(),
    }
}

fn three(ours_p50: u64) -> Vec<Times> {
    vec![
        times(ours::NAME, ours_p50, Allocations::PerRun(0.0)),
        times("tract 0.23", 4_000, Allocations::PerRun(30.0)),
        times("ONNX Runtime 1.32.0", 3_000, Allocations::NotSeen),
    ]
}

#[test]
fn a_block_shows_every_contender_with_its_allocations_and_share_of_the_ceiling() {
    let text = block(&outcome("mlp", None, three(500)));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], "mlp: 5248 multiply-adds, 21 KiB of weights (L1), ceiling 0.100 us");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        words(lines[3]),
        ["flyball", "0.500", "0.600", "1.000", "25.00", "0.480", "0", "20", "%", "2.00", "100000"]
    );
    assert!(lines[4].contains(" 30 ") && lines[5].contains("not counted"), "{text}");
    assert_eq!(lines[6], "  largest difference: 1.2e-7 of the largest output");
    let widths: Vec<usize> = lines[2..6].iter().map(|l| l.len()).collect();
    assert!(widths.iter().all(|w| *w == widths[0]), "columns line up: {text}");
}

#[test]
fn engines_that_differ_get_no_times() {
    let mut differing = outcome("mlp", Some(Goal::OfBestPeer(0.2)), Vec::new());
    differing.compared = Err("a and b differ by 1.0e0".to_owned());
    let text = block(&differing);
    assert!(text.contains("NOT COMPARED: a and b differ by 1.0e0") && !text.contains("p50"), "{text}");
    assert_eq!(Verdict::of(&[differing]), Verdict { met: 0, missed: 1, open: 0 });
}

#[test]
fn who_is_absent_is_said_and_leaves_its_goal_open() {
    let mut absent = outcome("mlp", Some(Goal::OfBestPeer(0.2)), three(500).split_off(1));
    absent.notes.push("NOT MEASURED: flyball: not in this build".to_owned());
    assert!(block(&absent).contains("NOT MEASURED: flyball: not in this build"));
    let all = [absent];
    let verdict = Verdict::of(&all);
    assert_eq!(verdict, Verdict { met: 0, missed: 0, open: 1 });
    assert!(summary(&all, &verdict).contains("goals: 0 met, 0 missed, 1 not judged"));
}

#[test]
fn goals_are_judged_against_the_fastest_peer_or_a_case_of_our_own() {
    let all = [
        outcome("small", Some(Goal::OfBestPeer(0.20)), three(600)),
        outcome("too slow", Some(Goal::OfBestPeer(0.20)), three(601)),
        outcome(
            "gradient",
            Some(Goal::OfOurs { case: "small".to_owned(), at_most: Some(3.0) }),
            vec![three(1_500).remove(0)],
        ),
        outcome("no goal", None, three(300)),
    ];
    let verdict = Verdict::of(&all);
    assert_eq!(verdict, Verdict { met: 2, missed: 1, open: 0 });
    let text = summary(&all, &verdict);
    let line = |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    assert!(line("small").contains("ONNX Runtime 1.32.0") && line("small").contains(" 0.20     0.20 met"), "{text}");
    assert!(line("too slow").contains("MISSED"), "{text}");
    assert!(line("gradient").contains(" 2.50*     3.00 met"), "{text}");
    assert!(line("no goal").contains(" 0.10        - "), "{text}");
    assert!(text.contains("* of our own p50"), "{text}");
}

#[test]
fn the_header_says_loudly_that_the_library_is_absent() {
    let cache = Cache { name: "L1", bytes: 32 << 10, rate: 200.4 };
    let ceiling = Ceiling { level: "Avx512".to_owned(), multiply_adds: 56.04, caches: vec![cache] };
    let text = header(&ceiling, 24, &Err("run models/tools/fetch_onnxruntime.sh".to_owned()));
    assert!(
        text.contains("Avx512, 56.0 float32 multiply-adds per ns; reads in bytes per ns: L1 (32 KiB) 200"),
        "{text}"
    );
    assert!(text.contains("*** NOT MEASURED: ONNX Runtime: run models/tools/fetch_onnxruntime.sh ***"), "{text}");
    let library = Library { path: "lib/libonnxruntime.so.1.32.0".into(), name: "ONNX Runtime 1.32.0".to_owned() };
    assert!(header(&ceiling, 24, &Ok(library)).contains("ONNX Runtime 1.32.0: lib/libonnxruntime.so.1.32.0"));
}
