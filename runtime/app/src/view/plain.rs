//! Why: the same picture in one line, for logs, pipes and terminals that cannot draw.

use super::state::ViewState;
use super::{clock_text, maybe, mode_name, number};

/// One status line, without a line break.
#[must_use]
pub fn line(state: &ViewState) -> String {
    let mut parts = vec![format!("{} {}", clock_text(state.elapsed), mode_name(state.mode))];
    if !state.sub_state.is_empty() {
        parts[0] += &format!(" ({})", state.sub_state);
    }
    parts.extend(
        state.mvs.iter().map(|mv| format!("{} {} -> {} {}", mv.name, maybe(mv.actual), maybe(mv.optimum), mv.unit)),
    );
    for cv in &state.cvs {
        let quality = if cv.status.is_good() { "" } else { " (not good)" };
        let limit = if cv.violated() { " OUTSIDE ITS LIMITS" } else { "" };
        parts.push(format!("{} {} {}{quality}{limit}", cv.name, maybe(cv.value), cv.unit));
    }
    if let Some(objective) = &state.objective {
        parts.push(format!(
            "{} {} of {} {}",
            objective.name,
            maybe(objective.now),
            maybe(objective.optimum),
            objective.unit
        ));
    }
    parts.push(format!("missed {}", state.overruns.total));
    if let Some((done, next)) = &state.progress {
        parts.push(format!("{} % {next}", number((done * 100.0).round()).split('.').next().unwrap_or("")));
    }
    parts.join(" | ")
}
