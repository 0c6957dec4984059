//! The four files of one report, with names that would break a careless writer.

use super::*;

fn row(id: &str, outcome: Outcome) -> Row {
    Row {
        id: id.into(),
        what: "Switch on | \"now\"".into(),
        expected: "feed <= 200 & >= 80".into(),
        observed: "<nothing>".into(),
        outcome,
        at: 30.0,
        took: 12.5,
    }
}

fn report(outcomes: &[Outcome]) -> Report {
    Report {
        name: "close_and_climb".into(),
        title: "Close <and> climb".into(),
        text: "The loop closes.".into(),
        started: "2026-11-30T12:00:00Z".into(),
        seconds: 61.0,
        facts: vec![("seed".into(), "1".into()), ("machine".into(), "a | b".into())],
        rows: outcomes.iter().enumerate().map(|(i, o)| row(&format!("s{i}"), *o)).collect(),
        timing: vec![TimingRow {
            stage: "total".into(),
            count: 9,
            times: ["1 ms", "2 ms", "3 ms", "4 ms"].map(String::from),
        }],
        counted: vec!["deadline missed 0 times".into()],
        times: vec![0.0, 1.0, 2.0, 3.0],
        trends: vec![
            Trend {
                name: "feed, actual".into(),
                unit: "l/h".into(),
                low: Some(80.0),
                high: Some(200.0),
                values: vec![Some(140.0), None, Some(142.5), Some(f64::NAN)],
            },
            Trend { name: "empty".into(), values: vec![None; 4], ..Trend::default() },
        ],
        marks: vec![(1.0, "switched on".into())],
        events: vec![(1.0, "mode ADVISORY -> CLOSED LOOP".into())],
    }
}

fn files(report: &Report) -> [String; 4] {
    let folder = tempfile::tempdir().expect("folder");
    let inside = folder.path().join("new/folder");
    report.write(&inside).expect("written");
    ["junit.xml", "report.html", "FAT.md", "trend.csv"]
        .map(|name| fs::read_to_string(inside.join(name)).expect("a file of the report"))
}

#[test]
fn a_report_passes_only_when_every_row_has() {
    assert!(report(&[Outcome::Passed, Outcome::Passed]).passed());
    assert!(!report(&[Outcome::Passed, Outcome::Failed]).passed());
    assert!(!report(&[Outcome::Passed, Outcome::Skipped]).passed());
    assert!(!report(&[]).passed(), "nothing was shown");
}

#[test]
fn every_file_tells_the_failure() {
    let [junit, html, fat, csv] = files(&report(&[Outcome::Passed, Outcome::Failed, Outcome::Skipped]));
    for wanted in
        ["tests=\"3\"", "failures=\"1\"", "name=\"s1\"", "<skipped", "name=\"seed\" value=\"1\"", "&lt;nothing&gt;"]
    {
        assert!(junit.contains(wanted), "{wanted} is missing in\n{junit}");
    }
    assert!(html.contains("FAILED &middot; 1 of 3") && html.contains("Close &lt;and&gt; climb"), "{html}");
    assert!(!html.contains("<nothing>") && !html.contains("http://") || html.contains("http://www.w3.org/2000/svg"));
    assert!(
        fat.contains("| 2 | s1 | Switch on \\| \"now\" | feed <= 200 & >= 80 | <nothing> | **FAIL** | | |"),
        "{fat}"
    );
    assert!(fat.contains("1 of 3 steps as expected: **NOT PASSED**"), "{fat}");
    assert_eq!(
        csv, "time [s],\"feed, actual [l/h]\",empty []\n0.000,140,\n1.000,,\n2.000,142.5,\n3.000,,\n",
        "an unusable value is an empty cell"
    );
}

#[test]
fn a_plot_has_its_limits_marks_and_gaps_and_an_empty_trend_has_none() {
    let [_, html, ..] = files(&report(&[Outcome::Passed]));
    assert_eq!(html.matches("<svg").count(), 1, "the empty trend is not drawn");
    // A single point makes no line: two pieces are drawn, neither joins across the gap.
    assert!(html.contains("viewBox=\"0 0 900 220\""), "{html}");
    assert!(html.contains("1F4E79"), "the line is drawn");
    assert!(html.contains("C0392B"), "the limits are drawn");
}

#[test]
fn what_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let taken = folder.path().join("taken");
    fs::write(&taken, "").expect("a file in the way");
    let said = report(&[Outcome::Passed]).write(&taken).expect_err("a file is no folder");
    assert!(said.contains("taken") && said.contains("cannot be written"), "{said}");
}
