//! The protocol to sign (FAT, IEC 62381): step, expected, observed, verdict, and room for initials and date.

use std::fmt::Write as _;

use crate::{Outcome, Report};

/// The file's text, in Markdown.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(out, "# Factory acceptance test: {}\n\n{}\n", report.title, report.text)?;
    writeln!(out, "| | |\n|---|---|\n| Scenario | {} |\n| Begun | {} |", cell(&report.name), cell(&report.started))?;
    for (name, value) in &report.facts {
        writeln!(out, "| {} | {} |", cell(name), cell(value))?;
    }
    writeln!(out, "\n| No. | Step | Done | Expected | Observed | Verdict | Initials | Date |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    for (i, row) in report.rows.iter().enumerate() {
        let verdict = match row.outcome {
            Outcome::Passed => "pass",
            Outcome::Failed => "**FAIL**",
            Outcome::Skipped => "not done",
        };
        let (id, what) = (cell(&row.id), cell(&row.what));
        let (expected, observed) = (cell(&row.expected), cell(&row.observed));
        writeln!(out, "| {} | {id} | {what} | {expected} | {observed} | {verdict} | | |", i + 1)?;
    }
    let passed = report.rows.iter().filter(|r| r.outcome == Outcome::Passed).count();
    let verdict = if report.passed() { "PASSED" } else { "NOT PASSED" };
    writeln!(out, "\nResult: {passed} of {} steps as expected: **{verdict}**.\n", report.rows.len())?;
    writeln!(out, "Deviations and remarks:\n\n&nbsp;\n\n&nbsp;\n")?;
    writeln!(out, "| | Name | Signature | Date |\n|---|---|---|---|\n| Supplier | | | |\n| Owner | | | |")
}

/// A text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
