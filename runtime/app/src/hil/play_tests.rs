//! The player on made-up scans of the worked example, and the built-in scenarios.

use super::*;
use crate::hil::BUILT_IN;
use flyball_core::mode::Mode;
use std::path::Path;

fn config() -> Config {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples/r101.toml");
    flyball_config::load(&example).config.expect("the example is accepted")
}

fn seen(at: f64, mode: Mode, feed: f64) -> Seen {
    Seen {
        at,
        mode,
        reason: "a reason".into(),
        shed: None,
        mvs: vec![(Some(feed), "at its optimum".into()), (Some(114.0), "at its optimum".into())],
        cvs: vec![Some(1.09), Some(5000.0)],
        tags: Vec::new(),
        objective: None,
        answers: Vec::new(),
        events: Vec::new(),
        ready: true,
    }
}

const HEAD: &str = "schema = 1\nname = \"t\"\ntitle = \"t\"\ntext = \"t\"\n";
const CLOSES: &str = "[[step]]\nid = \"closes\"\ntext = \"x\"\nexpect = [{ mode = \"closed_loop\" }]\nwithin_s = 10\n";

fn player(text: &str) -> Player {
    let config = config();
    let scenario = Scenario::read(&format!("{HEAD}{text}"), &config).unwrap_or_else(|e| panic!("{e}"));
    Player::new(&config, &scenario)
}

fn outcomes(rows: &[Row]) -> Vec<(&str, Outcome)> {
    rows.iter().map(|r| (r.id.as_str(), r.outcome)).collect()
}

#[test]
fn every_built_in_scenario_fits_the_worked_example_and_asks_for_what_is_done_on_the_plant() {
    let config = config();
    for (name, text) in BUILT_IN {
        let scenario = Scenario::read(text, &config).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(scenario.name, name);
    }
}

#[test]
fn a_step_passes_in_time_and_fails_one_scan_later() {
    for (at, outcome) in [(10.0, Outcome::Passed), (11.0, Outcome::Failed)] {
        let mut p = player(CLOSES);
        p.take(&seen(0.0, Mode::Advisory, 140.0));
        assert_eq!(p.due(), Some(0));
        p.done(NO_COMMAND);
        for t in 1..at as u32 {
            p.take(&seen(f64::from(t), Mode::Advisory, 140.0));
        }
        p.take(&seen(at, if outcome == Outcome::Passed { Mode::ClosedLoop } else { Mode::Advisory }, 140.0));
        assert!(p.over());
        assert_eq!(outcomes(&p.finish("")), [("closes", outcome)]);
    }
}

#[test]
fn what_must_hold_for_a_time_fails_when_it_breaks() {
    let holds = CLOSES.to_owned() + "during_s = 5\n";
    for (breaks, outcome) in [(None, Outcome::Passed), (Some(7.0), Outcome::Failed)] {
        let mut p = player(&holds);
        p.take(&seen(0.0, Mode::Advisory, 140.0));
        p.done(NO_COMMAND);
        for t in 1..=9 {
            let t = f64::from(t);
            let open = t < 4.0 || breaks == Some(t);
            p.take(&seen(t, if open { Mode::Advisory } else { Mode::ClosedLoop }, 140.0));
        }
        assert!(p.over());
        assert_eq!(outcomes(&p.finish("")), [("closes", outcome)]);
    }
}

#[test]
fn after_a_failure_the_rest_is_skipped_and_told() {
    let mut p = player(&format!("{CLOSES}{}", CLOSES.replace("closes", "again")));
    p.take(&seen(0.0, Mode::Advisory, 140.0));
    p.done(NO_COMMAND);
    p.take(&seen(11.0, Mode::Advisory, 140.0));
    assert_eq!((p.over(), p.due()), (true, None));
    let rows = p.finish("");
    assert_eq!(outcomes(&rows), [("closes", Outcome::Failed), ("again", Outcome::Skipped)]);
    assert_eq!(rows[0].observed, "ADVISORY (a reason)");
    assert_eq!(rows[1].observed, "not looked at: an earlier step failed");
}

#[test]
fn rules_that_hold_always_see_the_one_scan_that_breaks_them() {
    let rules = "[[always]]\nid = \"steps\"\ntext = \"x\"\nmv = \"feed\"\nstep = 1.5\n\
                 [[always]]\nid = \"limits\"\ntext = \"x\"\nmv = \"feed\"\nlow = 80\nhigh = 200\n";
    for (feed, steps, limits) in [
        (141.0, Outcome::Passed, Outcome::Passed),
        (142.0, Outcome::Failed, Outcome::Passed),
        (201.0, Outcome::Failed, Outcome::Failed),
    ] {
        let mut p = player(&format!("{rules}{CLOSES}"));
        p.take(&seen(0.0, Mode::Advisory, 140.0));
        p.done(NO_COMMAND);
        p.take(&seen(1.0, Mode::Advisory, feed));
        p.take(&seen(2.0, Mode::ClosedLoop, feed));
        let rows = p.finish("");
        assert_eq!(outcomes(&rows), [("closes", Outcome::Passed), ("steps", steps), ("limits", limits)], "{feed}");
    }
    let p = player(&format!("{rules}{CLOSES}"));
    assert_eq!(p.finish("ended by hand")[1].outcome, Outcome::Failed, "a rule that saw nothing has shown nothing");
}

#[test]
fn an_answer_counts_for_its_own_command_only() {
    let asks = "[[step]]\nid = \"a\"\ntext = \"x\"\naction = { hold = true }\nexpect = [{ answer = \"Done\" }]\nwithin_s = 3\n";
    for (id, outcome) in [(7, Outcome::Passed), (8, Outcome::Failed)] {
        let mut p = player(asks);
        p.take(&seen(0.0, Mode::ClosedLoop, 140.0));
        p.done(7);
        p.take(&Seen { answers: vec![(id, "Done.".into())], ..seen(1.0, Mode::ClosedLoop, 140.0) });
        p.take(&seen(9.0, Mode::ClosedLoop, 140.0));
        assert_eq!(outcomes(&p.finish("")), [("a", outcome)]);
    }
}
