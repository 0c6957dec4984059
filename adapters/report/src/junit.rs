//! JUnit XML: one test case per row, so that a build server shows which expectation broke.

use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use crate::{Outcome, Report, Row};

/// The file's text.
pub fn text(report: &Report) -> Result<String, String> {
    let mut suite = TestSuite::new(&*report.name);
    for (name, value) in &report.facts {
        suite.add_property((&**name, &**value));
    }
    suite.add_test_cases(report.rows.iter().map(|row| case(report, row)));
    suite.set_time(Duration::from_secs_f64(report.seconds.max(0.0)));
    let mut all = quick_junit::Report::new("flyball hil");
    all.add_test_suite(suite);
    all.to_string().map_err(|e| format!("the JUnit report cannot be made ({e})"))
}

fn case(report: &Report, row: &Row) -> TestCase {
    let mut status = match row.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Skipped => TestCaseStatus::skipped(),
    };
    if row.outcome != Outcome::Passed {
        status.set_message(format!("expected {}, observed {}", row.expected, row.observed));
    }
    if row.outcome == Outcome::Failed {
        status.set_type("expectation").set_description(row.what.clone());
    }
    let mut case = TestCase::new(&*row.id, status);
    case.set_classname(format!("flyball.{}", report.name));
    // Process time: what a plant engineer compares with the expectation.
    case.set_time(Duration::from_secs_f64(row.took.max(0.0)));
    case.add_property(("expected", &*row.expected));
    case.add_property(("observed", &*row.observed));
    case
}
