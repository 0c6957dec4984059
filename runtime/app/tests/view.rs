//! Why: the faceplate looks as agreed (a text snapshot a person can read in review) and survives every size and every missing value.
//!
//! A wanted change of the picture: run with `BLESS=1` and look at the difference before committing it.

use std::path::Path;
use std::time::Duration;

use flyball::timing::{Overruns, Summary};
use flyball::view::{CvRow, LinkRow, MvRow, ObjectiveRow, TimingRow, Trend, ViewState, draw, line};
use flyball_core::image::LinkState;
use flyball_core::mode::Mode;
use flyball_core::status::Status;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

fn mv(name: &str, actual: f64, recommended: f64, optimum: f64, unit: &str, held_by: &str) -> MvRow {
    MvRow {
        name: name.into(),
        actual: Some(actual),
        recommended: Some(recommended),
        optimum: Some(optimum),
        unit: unit.into(),
        held_by: held_by.into(),
        in_control: true,
    }
}

fn r101() -> ViewState {
    let quality = CvRow {
        name: "quality".into(),
        value: Some(1.093),
        low: Some(1.06),
        high: None,
        predicted: Some(1.096),
        range: (0.9, 1.2),
        unit: "mol/l".into(),
        status: Status::Good,
        given_up: false,
    };
    let cooling = CvRow {
        name: "cooling".into(),
        value: Some(6104.0),
        low: None,
        high: Some(6000.0),
        predicted: Some(5988.0),
        range: (0.0, 8000.0),
        unit: "kJ/h".into(),
        ..quality.clone()
    };
    let trend = |name: &str, unit: &str, low: f64, high: f64| {
        let mut t = Trend::new(name, unit);
        (0..90).for_each(|i| t.push(low + (high - low) * (1.0 - (-f64::from(i) / 25.0).exp())));
        t
    };
    let stage = |name: &str, us: u64| TimingRow {
        name: name.into(),
        summary: Summary {
            count: 900,
            last: us * 1000,
            p50: us * 950,
            p99: us * 1900,
            p999: us * 2300,
            max: us * 2500,
        },
    };
    ViewState {
        title: "R101-OPT  Van de Vusse reactor".into(),
        mode: Mode::ClosedLoop,
        requested: Mode::ClosedLoop,
        reason: "PLC asks for closed loop, all critical values good".into(),
        cycle: 902,
        elapsed: Duration::from_secs(902),
        time_scale: 20,
        mvs: vec![
            mv("feed", 186.0, 188.0, 200.0, "l/h", "rate limit"),
            mv("temp", 118.6, 118.8, 120.0, "degC", "engineering high limit"),
        ],
        cvs: vec![quality, cooling],
        against: "temp high limit (worth 0.65 EUR/h per degC)".into(),
        objective: Some(ObjectiveRow {
            name: "profit".into(),
            now: Some(15.42),
            optimum: Some(17.82),
            unit: "EUR/h".into(),
            solve: "optimal".into(),
        }),
        trends: vec![
            trend("profit", "EUR/h", 8.27, 15.8),
            trend("cB", "mol/l", 1.09, 1.096),
            trend("duty", "kJ/h", 5549.0, 6104.0),
        ],
        timing: vec![
            stage("total", 13_000),
            stage("freeze", 9),
            stage("condition", 30),
            stage("predict", 160),
            stage("optimise", 11_400),
            stage("guard", 4),
            stage("write", 1_400),
        ],
        deadline: Duration::from_millis(250),
        overruns: Overruns::default(),
        links: vec![
            LinkRow { name: "plc1".into(), state: LinkState::Up },
            LinkRow { name: "gc".into(), state: LinkState::Down },
            LinkRow { name: "service".into(), state: LinkState::Up },
        ],
        messages: (1..=6).map(|i| format!("0:0{i}:00 message number {i}")).collect(),
        progress: Some((0.42, "feed temperature steps to 120 degC at 0:40:00".into())),
        ..ViewState::default()
    }
}

/// The picture as text, trailing spaces removed.
fn picture(state: &ViewState, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory");
    terminal.draw(|frame| draw(frame, state)).expect("memory");
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(|y| row(y) + "\n").collect()
}

fn compare(name: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, got).expect("the folder is in the repository");
    }
    let want = std::fs::read_to_string(&path).expect("snapshot; BLESS=1 makes it");
    assert!(got == want, "{name} has changed. Now:\n{got}\nbefore:\n{want}");
}

#[test]
fn the_faceplate_at_100_by_30() {
    compare("view_100x30.txt", &picture(&r101(), 100, 30));
}

#[test]
fn the_faceplate_at_80_by_24() {
    compare("view_80x24.txt", &picture(&r101(), 80, 24));
}

#[test]
fn mode_reason_and_holds_are_visible_at_the_smallest_agreed_size() {
    let text = picture(&r101(), 80, 24);
    for wanted in [
        "CLOSED LOOP",
        "PLC asks for closed loop",
        "held by",
        "engineering high limit",
        "OUTSIDE",
        "gc DOWN",
        "17.82",
        "42 %",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
    }
}

#[test]
fn no_size_and_no_missing_value_breaks_it() {
    let mut state = r101();
    for size in [(1, 1), (10, 3), (40, 10), (80, 24), (300, 100)] {
        picture(&state, size.0, size.1);
    }
    for cv in &mut state.cvs {
        (cv.value, cv.predicted, cv.range) = (None, None, (1.0, 1.0));
        cv.status = Status::BadTimeout;
    }
    state.trends = vec![Trend::new("empty", "")];
    state.progress = Some((f64::NAN, String::new()));
    let text = picture(&state, 100, 30);
    assert!(text.contains("BadTimeout") && text.contains("no value yet"), "{text}");
    picture(&ViewState::default(), 100, 30);
}

#[test]
fn the_plain_line_says_the_same() {
    assert_eq!(
        line(&r101()),
        "0:15:02 CLOSED LOOP | feed 186.0 -> 200.0 l/h | temp 118.6 -> 120.0 degC | quality 1.093 mol/l | \
         cooling 6104 kJ/h OUTSIDE ITS LIMITS | profit 15.42 of 17.82 EUR/h | missed 0 | 42 % feed temperature steps to 120 degC at 0:40:00"
    );
}
