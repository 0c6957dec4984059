//! One trend as an SVG drawing that stands in the page itself.

use plotters::prelude::*;

use crate::{Report, Trend};

/// Size of a drawing, pixels; the page scales it.
const SIZE: (u32, u32) = (900, 220);
const INK: RGBColor = RGBColor(0x1f, 0x4e, 0x79);
const GRID: RGBColor = RGBColor(0xe4, 0xe7, 0xeb);
const LIMIT: RGBColor = RGBColor(0xc0, 0x39, 0x2b);
const MARK: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);

/// The drawing; None for a trend without a value.
pub fn svg(report: &Report, trend: &Trend) -> Result<Option<String>, String> {
    let values = || trend.values.iter().flatten().copied().filter(|v| v.is_finite());
    let limits = [trend.low, trend.high];
    let all = || values().chain(limits.into_iter().flatten());
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    if values().next().is_none() {
        return Ok(None);
    }
    let room = ((high - low) * 0.08).max(low.abs().max(high.abs()) * 1e-3).max(1e-9);
    let minutes = |seconds: f64| seconds / 60.0;
    let (first, last) = (report.times.first().copied().unwrap_or(0.0), report.times.last().copied().unwrap_or(1.0));
    let mut text = String::new();
    draw(
        &mut text,
        report,
        trend,
        (minutes(first), minutes(last).max(minutes(first) + 1e-3)),
        (low - room, high + room),
    )
    .map_err(|e| format!("the plot of {} cannot be drawn ({e})", trend.name))?;
    // Scales with the page instead of standing at a fixed width.
    let (width, height) = SIZE;
    let fixed = format!("<svg width=\"{width}\" height=\"{height}\" ");
    Ok(Some(text.replacen(&fixed, "<svg ", 1)))
}

fn draw(
    text: &mut String,
    report: &Report,
    trend: &Trend,
    times: (f64, f64),
    values: (f64, f64),
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(times.0..times.1, values.0..values.1)?;
    let digits = (2.0 - (values.1 - values.0).log10()).clamp(0.0, 6.0) as usize;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(MARK)
        .x_labels(12)
        .y_labels(6)
        .x_desc("min")
        .y_label_formatter(&|v| format!("{v:.digits$}"))
        .label_style(("sans-serif", 12))
        .draw()?;
    for (at, _) in &report.marks {
        let x = at / 60.0;
        chart.draw_series(DashedLineSeries::new([(x, values.0), (x, values.1)], 2, 4, MARK.stroke_width(1)))?;
    }
    for limit in [trend.low, trend.high].into_iter().flatten() {
        let line = [(times.0, limit), (times.1, limit)];
        chart.draw_series(DashedLineSeries::new(line, 8, 5, LIMIT.stroke_width(1)))?;
    }
    // A gap where the value was not usable: a line through it would be an invention.
    let points: Vec<Option<(f64, f64)>> = report
        .times
        .iter()
        .zip(&trend.values)
        .map(|(t, v)| v.filter(|v| v.is_finite()).map(|v| (t / 60.0, v)))
        .collect();
    for piece in points.split(Option::is_none).filter(|p| !p.is_empty()) {
        chart.draw_series(LineSeries::new(piece.iter().copied().flatten(), INK.stroke_width(2)))?;
    }
    for (number, (at, _)) in report.marks.iter().enumerate() {
        let style = ("sans-serif", 11).into_font().color(&MARK);
        chart.draw_series(std::iter::once(Text::new(format!("{}", number + 1), (at / 60.0, values.1), style)))?;
    }
    area.present()?;
    drop(chart);
    Ok(())
}
