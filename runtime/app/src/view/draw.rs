//! Why: a pure function from `ViewState` to a frame. Made for 100 x 30, whole at 80 x 24; smaller terminals lose the lowest rows first.
//!
//! Colour only repeats what a word or a mark says: a black-and-white terminal and a colour-blind operator lose nothing.

use flyball_core::image::LinkState;
use flyball_core::mode::Mode;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::symbols;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, LineGauge, Paragraph, Sparkline};

use super::state::{CvRow, Trend, ViewState};
use super::{clock_text, maybe, mode_name, number};
use crate::timing::Nanos;

/// Rows of MVs and CVs shown at most; the first ones are the most important by the order of the configuration.
const ROWS_MAX: usize = 6;

/// Draws one picture.
pub fn draw(frame: &mut Frame, state: &ViewState) {
    let rows = |n: usize| u16::try_from(n.min(ROWS_MAX)).unwrap_or(u16::MAX) + 2;
    let [head, mvs, cvs, lower, messages, foot] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(rows(state.mvs.len())),
        Constraint::Length(rows(state.cvs.len())),
        Constraint::Min(9),
        Constraint::Length(if frame.area().height >= 28 { 5 } else { 3 }),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    header(frame, head, state);
    mv_table(frame, mvs, state);
    cv_table(frame, cvs, state);
    let [trend_area, timing_area] = Layout::horizontal([Constraint::Min(30), Constraint::Length(45)]).areas(lower);
    trends(frame, trend_area, state);
    timing(frame, timing_area, state);
    message_lines(frame, messages, state);
    footer(frame, foot, state);
}

fn titled(title: String) -> Block<'static> {
    Block::new().borders(Borders::TOP).border_style(Style::new().dark_gray()).title(Span::from(title).bold())
}

fn mode_style(mode: Mode) -> Style {
    let style = Style::new().add_modifier(Modifier::BOLD).fg(Color::Black);
    match mode {
        Mode::Off => style.bg(Color::Gray),
        Mode::Advisory => style.bg(Color::Yellow),
        Mode::ClosedLoop => style.bg(Color::Green),
    }
}

fn header(frame: &mut Frame, area: Rect, state: &ViewState) {
    let mut first = vec![
        Span::styled(format!("  {}  ", mode_name(state.mode)), mode_style(state.mode)),
        Span::from(format!("  {}", state.title)).bold(),
    ];
    if !state.sub_state.is_empty() {
        first.insert(1, Span::from(format!(" {}", state.sub_state)).bold());
    }
    let mut links = vec![Span::from(" links")];
    for link in &state.links {
        let (word, colour) = match link.state {
            LinkState::Up => ("up", Color::Green),
            LinkState::Starting => ("starting", Color::Yellow),
            LinkState::Down => ("DOWN", Color::Red),
            LinkState::Refused => ("REFUSED", Color::Red),
        };
        links.push(Span::from(format!("  {} ", link.name)));
        links.push(Span::styled(word, Style::new().fg(colour)));
    }
    let lines = vec![
        Line::from(first),
        Line::from(format!(" requested {}: {}", mode_name(state.requested), state.reason)),
        Line::from(links),
    ];
    frame.render_widget(Paragraph::new(lines), area);
    let pace = if state.time_scale > 1 { format!(" x{}", state.time_scale) } else { String::new() };
    let right = vec![
        Line::from(format!("{}{pace} ", clock_text(state.elapsed))),
        Line::default(),
        Line::from(format!("cycle {} ", state.cycle)),
    ];
    let width = 20.min(area.width);
    let corner = Rect { x: area.right() - width, width, ..area };
    frame.render_widget(Paragraph::new(right).alignment(Alignment::Right), corner);
}

fn mv_table(frame: &mut Frame, area: Rect, state: &ViewState) {
    let mut lines = vec![
        Line::from(format!(" {:<12}{:>9}{:>11}{:>10}  {:<9}{}", "", "setpoint", "next move", "optimum", "", "held by"))
            .dark_gray(),
    ];
    for mv in state.mvs.iter().take(ROWS_MAX) {
        let text = format!(
            " {:<12}{:>9}{:>11}{:>10}  {:<9}{}",
            mv.name,
            maybe(mv.actual),
            maybe(mv.recommended),
            maybe(mv.optimum),
            mv.unit,
            mv.held_by
        );
        let line = Line::from(text);
        lines.push(if mv.in_control { line } else { line.dark_gray() });
    }
    let against = if state.against.is_empty() { String::new() } else { format!("against {} ", state.against) };
    frame.render_widget(Paragraph::new(lines).block(titled(format!(" Manipulated variables {against}"))), area);
}

fn cv_table(frame: &mut Frame, area: Rect, state: &ViewState) {
    // Name, value, predicted, unit and quality take 64 columns; the bar gets what is left.
    let bar_width = usize::from(area.width).saturating_sub(66).max(10);
    let head = format!(" {:<12}{:>9}{:>11}  {:<9}{:<bar_width$}  {}", "", "now", "predicted", "", "limits", "quality");
    let mut lines = vec![Line::from(head).dark_gray()];
    for cv in state.cvs.iter().take(ROWS_MAX) {
        let colour = if cv.violated() { Color::Red } else { Color::Reset };
        let quality = match (cv.violated(), cv.given_up, cv.status.is_good()) {
            (true, ..) => "OUTSIDE".to_owned(),
            (_, true, _) => "given up".to_owned(),
            (_, _, true) => "good".to_owned(),
            _ => cv.status.name().to_owned(),
        };
        lines.push(Line::from(vec![
            Span::from(format!(" {:<12}", cv.name)),
            Span::styled(format!("{:>9}", maybe(cv.value)), Style::new().fg(colour).bold()),
            Span::from(format!("{:>11}  {:<9}", maybe(cv.predicted), cv.unit)),
            Span::styled(bar(cv, bar_width), Style::new().fg(colour)),
            Span::from(format!("  {quality}  {}", limits(cv))),
        ]));
    }
    frame.render_widget(Paragraph::new(lines).block(titled(" Controlled variables ".into())), area);
}

fn limits(cv: &CvRow) -> String {
    match (cv.low, cv.high) {
        (Some(low), Some(high)) => format!("{} to {}", number(low), number(high)),
        (Some(low), None) => format!(">= {}", number(low)),
        (None, Some(high)) => format!("<= {}", number(high)),
        (None, None) => String::new(),
    }
}

/// The EU range as a line, its limits as strokes, the value as a block, the predicted value as a dot.
fn bar(cv: &CvRow, width: usize) -> String {
    let (low, high) = cv.range;
    let mut cells = vec![symbols::line::HORIZONTAL; width];
    let mut put = |x: Option<f64>, mark: &'static str| {
        let Some(x) = x.filter(|_| high > low) else { return };
        let share = ((x - low) / (high - low)).clamp(0.0, 1.0);
        cells[(share * (width - 1) as f64).round() as usize] = mark;
    };
    put(cv.low, symbols::line::VERTICAL);
    put(cv.high, symbols::line::VERTICAL);
    put(cv.predicted, symbols::DOT);
    put(cv.value, symbols::block::FULL);
    cells.concat()
}

fn trends(frame: &mut Frame, area: Rect, state: &ViewState) {
    let title = state.objective.as_ref().map_or_else(
        || " Trends ".to_owned(),
        |o| format!(" {} {} of {} {}, {} ", o.name, maybe(o.now), maybe(o.optimum), o.unit, o.solve),
    );
    let block = titled(title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    // Each trend wants a label and at least one row of bars.
    let fit = usize::from(inner.height / 2).min(state.trends.len());
    let areas = Layout::vertical(vec![Constraint::Fill(1); fit]).split(inner);
    for (trend, area) in state.trends.iter().zip(areas.iter()) {
        trend_lines(frame, *area, trend);
    }
}

fn trend_lines(frame: &mut Frame, area: Rect, trend: &Trend) {
    let [label, bars] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    let shown = trend.points().len().min(usize::from(bars.width.saturating_sub(2)));
    let points: Vec<f64> = trend.points().skip(trend.points().len() - shown).collect();
    let low = points.iter().copied().fold(f64::INFINITY, f64::min);
    let high = points.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let text = if points.is_empty() {
        format!(" {}: no value yet", trend.name)
    } else {
        format!(" {} {} {}  ({} to {})", trend.name, maybe(trend.newest()), trend.unit, number(low), number(high))
    };
    frame.render_widget(Paragraph::new(text), label);
    /// Steps of a bar: eight per row, with room for tall terminals.
    const STEPS: f64 = 100.0;
    let scaled: Vec<u64> =
        points
            .iter()
            .map(|x| {
                if high > low {
                    1 + ((x - low) / (high - low) * (STEPS - 1.0)).round() as u64
                } else {
                    STEPS as u64 / 2
                }
            })
            .collect();
    let area = Rect { x: bars.x + 1.min(bars.width), width: bars.width.saturating_sub(2), ..bars };
    frame.render_widget(Sparkline::default().data(&scaled).max(STEPS as u64).style(Style::new().cyan()), area);
}

fn timing(frame: &mut Frame, area: Rect, state: &ViewState) {
    let missed = state.overruns.total;
    let title = format!(" Deadline {} ms missed {missed} times ", state.deadline.as_millis());
    let mut lines =
        vec![Line::from(format!(" {:<10}{:>8}{:>8}{:>8}{:>8}", "", "last", "p50", "p99", "max")).dark_gray()];
    for row in &state.timing {
        let s = row.summary;
        let [last, p50, p99, max] = [s.last, s.p50, s.p99, s.max].map(|ns| Nanos(ns).to_string());
        lines.push(Line::from(format!(" {:<10}{last:>8}{p50:>8}{p99:>8}{max:>8}", row.name)));
    }
    let block = titled(title).border_style(if missed > 0 { Style::new().red() } else { Style::new().dark_gray() });
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn message_lines(frame: &mut Frame, area: Rect, state: &ViewState) {
    let fit = usize::from(area.height.saturating_sub(1));
    let newest = state.messages.len().saturating_sub(fit);
    let lines: Vec<Line> = state.messages[newest..].iter().map(|m| Line::from(format!(" {m}"))).collect();
    frame.render_widget(Paragraph::new(lines).block(titled(" Messages ".into())), area);
}

fn footer(frame: &mut Frame, area: Rect, state: &ViewState) {
    let [left, right] = Layout::horizontal([Constraint::Min(10), Constraint::Length(8)]).areas(area);
    frame.render_widget(Paragraph::new("q ends ").alignment(Alignment::Right).dark_gray(), right);
    let Some((done, next)) = &state.progress else { return };
    let share = if done.is_finite() { done.clamp(0.0, 1.0) } else { 0.0 };
    let gauge = LineGauge::default()
        .ratio(share)
        .label(format!(" {:>3.0} % {next}", share * 100.0))
        .filled_style(Style::new().green())
        .unfilled_style(Style::new().dark_gray());
    frame.render_widget(gauge, left);
}
