//! Why: the operator's faceplate in a terminal: mode first, then why, then who holds what and how much it earns.
//!
//! `state` is plain data that anybody can fill; `draw` is a pure function from it to a frame; `plain` says the same in one line for
//! logs and pipes; `screen` owns the terminal and gives it back whatever happens.

mod draw;
mod faceplate;
mod plain;
mod screen;
mod state;

pub use draw::draw;
pub use faceplate::Faceplate;
pub use plain::line;
pub use screen::{Screen, give_back};
pub use state::{CvRow, LinkRow, MvRow, ObjectiveRow, TimingRow, Trend, ViewState};

/// A number for people: four significant digits, never an exponent below ten million.
#[must_use]
pub fn number(x: f64) -> String {
    let size = x.abs();
    if !x.is_finite() {
        return "-".into();
    }
    let digits = match size {
        s if s >= 1e7 => return format!("{x:.3e}"),
        s if s >= 1000.0 => 0,
        s if s >= 100.0 => 1,
        s if s >= 10.0 => 2,
        _ => 3,
    };
    format!("{x:.digits$}")
}

/// A number that may be missing.
fn maybe(x: Option<f64>) -> String {
    x.map_or_else(|| "-".into(), number)
}

/// Mode as it is written on every operator display.
fn mode_name(mode: flyball_core::mode::Mode) -> &'static str {
    match mode {
        flyball_core::mode::Mode::Off => "OFF",
        flyball_core::mode::Mode::Advisory => "ADVISORY",
        flyball_core::mode::Mode::ClosedLoop => "CLOSED LOOP",
    }
}

/// `h:mm:ss`.
fn clock_text(d: std::time::Duration) -> String {
    let s = d.as_secs();
    format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}
