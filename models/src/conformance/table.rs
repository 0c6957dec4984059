//! The report of a run: a summary for the terminal and a table for the documents.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{CaseResult, Outcome};
use crate::operators;

const BEGIN: &str = "<!-- table of conformance: begin -->";
const END: &str = "<!-- table of conformance: end -->";
/// Reasons that one row of the table gives.
const REASONS_MAX: usize = 3;

/// All cases and how they ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In order of kind and name.
    pub results: Vec<CaseResult>,
}

impl Report {
    /// Cases that our engine or tract's plan answers wrongly. Must be none.
    pub fn wrong(&self) -> impl Iterator<Item = &CaseResult> {
        self.results.iter().filter(|r| matches!(r.outcome, Outcome::Wrong { .. }))
    }

    /// Cases whose operators our engine has, yet which it does not answer.
    pub fn missed(&self) -> impl Iterator<Item = &CaseResult> {
        let missed = |r: &&CaseResult| {
            let answered = matches!(r.outcome, Outcome::Native { .. } | Outcome::Outside { .. });
            !answered && !r.operators.is_empty() && r.operators.iter().all(|o| operators::is_native(o))
        };
        self.results.iter().filter(missed)
    }

    /// A few lines for the terminal: counts, then every wrong and missed case.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = self.counts();
        for (what, case) in self.wrong().map(|c| ("WRONG", c)).chain(self.missed().map(|c| ("missed", c))) {
            let _ = writeln!(text, "{what} {}/{}: {}", case.kind, case.name, reason(&case.outcome));
        }
        text
    }

    fn counts(&self) -> String {
        let count = |f: fn(&Outcome) -> bool| self.results.iter().filter(|r| f(&r.outcome)).count();
        let outside = count(|o| matches!(o, Outcome::Outside { .. }));
        format!(
            "{} cases: {outside} outside; of the other {}: {} native, {} by fallback, {} refused, {} wrong.\n",
            self.results.len(),
            self.results.len() - outside,
            count(|o| matches!(o, Outcome::Native { .. })),
            count(|o| matches!(o, Outcome::Fallback { .. })),
            count(|o| matches!(o, Outcome::Refused { .. })),
            count(|o| matches!(o, Outcome::Wrong { .. })),
        )
    }

    /// The same, then the table per operator, in Markdown. Depends on nothing but the outcomes.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = self.counts();
        text.push_str(
            "\n| Operators | Cases | Native | Fallback | Refused | Why not native |\n|---|---|---|---|---|---|\n",
        );
        for (operators, cases) in self.rows() {
            let _ = writeln!(text, "{}", row(&operators, &cases));
        }
        text.push_str("\nCases whose operators the engine has, yet which it does not answer:\n\n");
        list(&mut text, self.missed());
        text.push_str("\nCases that come out wrong:\n\n");
        list(&mut text, self.wrong());
        text.push_str("\nRight, but some numbers near zero only within the rounding of their tensor (see above):\n\n");
        list(&mut text, self.results.iter().filter(|r| r.rounded));
        text
    }

    /// The document with its table replaced.
    ///
    /// # Errors
    /// The document has not one pair of marks.
    pub fn update(&self, document: &str) -> Result<String, String> {
        let parts = document.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
        let (head, tail) = parts.ok_or_else(|| format!("the document needs the lines {BEGIN} and {END}"))?;
        Ok(format!("{head}{BEGIN}\n{}{END}{tail}", self.markdown()))
    }

    /// Cases by what they test: one operator, the expansion of one into others, or a small graph.
    fn rows(&self) -> BTreeMap<String, Vec<&CaseResult>> {
        let mut rows: BTreeMap<String, Vec<&CaseResult>> = BTreeMap::new();
        for case in self.results.iter().filter(|r| !matches!(r.outcome, Outcome::Outside { .. })) {
            rows.entry(self.row_of(case)).or_default().push(case);
        }
        rows
    }

    fn row_of(&self, case: &CaseResult) -> String {
        if let Some((whole, _)) = case.name.split_once("_expanded")
            && let Some(base) = self.results.iter().find(|r| r.kind == case.kind && r.name == whole)
        {
            return format!("{}, expanded", base.operators.join(" + "));
        }
        if case.operators.is_empty() { "unreadable".to_owned() } else { case.operators.join(" + ") }
    }
}

fn row(operators: &str, cases: &[&CaseResult]) -> String {
    let count = |f: fn(&Outcome) -> bool| cases.iter().filter(|c| f(&c.outcome)).count();
    let number = |n: usize| if n == 0 { String::new() } else { n.to_string() };
    let fixed = count(|o| matches!(o, Outcome::Native { weights_fixed: true }));
    let mut native = number(count(|o| matches!(o, Outcome::Native { .. })));
    if fixed > 0 {
        let _ = write!(native, " ({fixed} with weights fixed)");
    }
    let mut reasons: Vec<String> = Vec::new();
    for case in cases.iter().filter(|c| !matches!(c.outcome, Outcome::Native { .. })) {
        let reason = reason(&case.outcome).replace('|', "\\|");
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    if reasons.len() > REASONS_MAX {
        let more = reasons.len() - REASONS_MAX;
        reasons.truncate(REASONS_MAX);
        reasons.push(format!("{more} more"));
    }
    format!(
        "| {operators} | {} | {native} | {} | {} | {} |",
        cases.len(),
        number(count(|o| matches!(o, Outcome::Fallback { .. }))),
        number(count(|o| matches!(o, Outcome::Refused { .. } | Outcome::Wrong { .. }))),
        reasons.join("; ")
    )
}

fn list<'a>(text: &mut String, cases: impl Iterator<Item = &'a CaseResult>) {
    let before = text.len();
    for case in cases {
        let reason = reason(&case.outcome);
        let said = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let _ = writeln!(text, "* `{}/{}`{said}", case.kind, case.name);
    }
    if text.len() == before {
        text.push_str("* none\n");
    }
}

/// Why a case is not native; empty if it is.
fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Native { .. } => "",
        Outcome::Fallback { why } | Outcome::Refused { why } | Outcome::Outside { why } => why,
        Outcome::Wrong { what } => what,
    }
}
