//! The page for people: verdict, steps, plots, timing, machine, log. One file that loads nothing and prints well.

use std::fmt::Write as _;

use crate::{Outcome, Report, plot};

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;background:#f5f7fa;margin:0}\
main{max-width:1040px;margin:0 auto;padding:32px 24px}\
header{display:flex;justify-content:space-between;align-items:flex-start;gap:24px}\
h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:32px 0 10px}\
p.lead{margin:0;color:#52606d;max-width:72ch}\
.badge{font-weight:600;padding:6px 16px;border-radius:999px;color:#fff;white-space:nowrap}\
.passed{background:#2f8132}.failed{background:#c0392b}.skipped{background:#7b8794}\
section{background:#fff;border:1px solid #e4e7eb;border-radius:8px;padding:4px 16px 12px;overflow-x:auto}\
table{border-collapse:collapse;width:100%;font-size:14px}\
th,td{text-align:left;padding:7px 10px;border-bottom:1px solid #e4e7eb;vertical-align:top}\
th{color:#52606d;font-weight:600}tr:last-child td{border-bottom:0}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
td .badge{font-size:12px;padding:2px 10px}code,.mono{font:13px/1.4 ui-monospace,monospace;overflow-wrap:anywhere}\
figure{margin:14px 0 4px}figcaption{font-weight:600;font-size:14px}figcaption span{color:#7b8794;font-weight:400}\
svg{width:100%;height:auto;display:block}ol.marks{columns:2;margin:4px 0 0;padding-left:22px;font-size:13px;color:#52606d}\
footer{color:#7b8794;font-size:13px;margin-top:24px}\
@media print{body{background:#fff}section{break-inside:avoid;border:0;padding:0}}";

/// The page.
pub fn text(report: &Report) -> Result<String, String> {
    let mut plots = String::new();
    for trend in &report.trends {
        if let Some(svg) = plot::svg(report, trend)? {
            let (name, unit) = (escape(&trend.name), escape(&trend.unit));
            plots += &format!("<figure><figcaption>{name} <span>{unit}</span></figcaption>{svg}</figure>\n");
        }
    }
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(report, &plots, &mut out);
    Ok(out)
}

fn write(report: &Report, plots: &str, out: &mut String) -> std::fmt::Result {
    let (title, lead) = (escape(&report.title), escape(&report.text));
    let passed = report.rows.iter().filter(|r| r.outcome == Outcome::Passed).count();
    let (class, word) = if report.passed() { ("passed", "PASSED") } else { ("failed", "FAILED") };
    writeln!(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}: {word}</title>")?;
    writeln!(
        out,
        "<meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\n<body><main>"
    )?;
    writeln!(out, "<header><div><h1>{title}</h1><p class=\"lead\">{lead}</p></div>")?;
    let count = format!("{passed} of {}", report.rows.len());
    writeln!(out, "<span class=\"badge {class}\">{word} &middot; {count}</span></header>")?;

    writeln!(
        out,
        "<h2>Steps</h2><section><table><tr><th>Step</th><th>Expected</th><th>Observed</th><th class=\"n\">At</th><th class=\"n\">After</th><th></th></tr>"
    )?;
    for row in &report.rows {
        let (id, what) = (escape(&row.id), escape(&row.what));
        let (expected, observed) = (escape(&row.expected), escape(&row.observed));
        let word = row.outcome.word();
        writeln!(
            out,
            "<tr><td><code>{id}</code><br>{what}</td><td>{expected}</td><td>{observed}</td><td class=\"n\">{:.0} s</td>\
             <td class=\"n\">{:.0} s</td><td><span class=\"badge {word}\">{word}</span></td></tr>",
            row.at, row.took
        )?;
    }
    writeln!(out, "</table></section>")?;

    if !plots.is_empty() {
        writeln!(out, "<h2>Trends</h2><section>{plots}<ol class=\"marks\">")?;
        for (at, name) in &report.marks {
            writeln!(out, "<li>{:.1} min: {}</li>", at / 60.0, escape(name))?;
        }
        writeln!(out, "</ol></section>")?;
    }

    writeln!(
        out,
        "<h2>Timing</h2><section><table><tr><th>Stage</th><th class=\"n\">Count</th><th class=\"n\">p50</th><th class=\"n\">p99</th><th class=\"n\">p99.9</th><th class=\"n\">Longest</th></tr>"
    )?;
    for row in &report.timing {
        let times: String = row.times.iter().map(|t| format!("<td class=\"n\">{}</td>", escape(t))).collect();
        writeln!(out, "<tr><td>{}</td><td class=\"n\">{}</td>{times}</tr>", escape(&row.stage), row.count)?;
    }
    let counted: String = report.counted.iter().map(|c| format!("<p>{}</p>", escape(c))).collect();
    writeln!(out, "</table>{counted}</section>")?;

    writeln!(out, "<h2>Facts</h2><section><table>")?;
    for (name, value) in &report.facts {
        writeln!(out, "<tr><th>{}</th><td class=\"mono\">{}</td></tr>", escape(name), escape(value))?;
    }
    writeln!(out, "</table></section>")?;

    writeln!(out, "<h2>Log</h2><section><table>")?;
    for (at, text) in &report.events {
        writeln!(out, "<tr><td class=\"n\">{at:.0} s</td><td>{}</td></tr>", escape(text))?;
    }
    writeln!(out, "</table></section>")?;
    let (started, seconds) = (escape(&report.started), report.seconds);
    writeln!(
        out,
        "<footer>Begun {started}, {seconds:.0} s of real time. Times in the tables of steps and log are process time.</footer>"
    )?;
    writeln!(out, "</main></body></html>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
