//! Trends as CSV: time, then one column per trend with its unit; an empty cell where a value was not usable.

use std::fmt::Write as _;

use crate::Report;

/// The file's text.
pub fn text(report: &Report) -> String {
    let mut out = String::from("time [s]");
    for trend in &report.trends {
        let name = format!("{} [{}]", trend.name, trend.unit);
        // Quoted when a name would end its cell.
        let quoted = name.contains([',', '"', '\n']);
        out.push(',');
        out.push_str(&if quoted { format!("\"{}\"", name.replace('"', "\"\"")) } else { name });
    }
    out.push('\n');
    for (i, time) in report.times.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(out, "{time:.3}");
        for trend in &report.trends {
            out.push(',');
            if let Some(value) = trend.values.get(i).copied().flatten().filter(|v| v.is_finite()) {
                let _ = write!(out, "{value}");
            }
        }
        out.push('\n');
    }
    out
}
