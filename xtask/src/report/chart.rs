//! The report's charts as SVG. Colours are style-sheet variables, so that one drawing is readable on light and on dark.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::Figures;

/// Stands for the text colour until [`themed`] replaces it.
const INK: RGBColor = RGBColor(1, 2, 3);
const GRID: RGBColor = RGBColor(4, 5, 6);
const BAR: RGBColor = RGBColor(7, 8, 9);
const ALERT: RGBColor = RGBColor(10, 11, 12);

/// Bars for each decade of latency.
const PER_DECADE: i32 = 20;

/// Axes of both charts. A macro, because the charts' types differ in their scales.
macro_rules! axes {
    ($chart:ident, $x:expr, $y:expr, $x_text:expr, $y_text:expr) => {
        $chart
            .configure_mesh()
            .disable_x_mesh()
            .x_desc($x)
            .y_desc($y)
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(("sans-serif", 13).into_font().color(&INK))
            .x_label_formatter(&$x_text)
            .y_label_formatter(&$y_text)
            .draw()
            .map_err(drawing)?
    };
}
/// Histogram of wake-up latencies on a logarithmic axis; `None` without values.
pub(crate) fn latencies(values: &[u64]) -> Result<Option<String>> {
    let (Some(&low), Some(&high)) = (values.iter().min(), values.iter().max()) else { return Ok(None) };
    let bin = |value: u64| ((value.max(1) as f64).log10() * f64::from(PER_DECADE)).floor() as i32;
    let edge = |bin: i32| 10f64.powf(f64::from(bin) / f64::from(PER_DECADE));
    // Whole decades: values that are nearly equal must not fill the picture.
    let first = bin(low).div_euclid(PER_DECADE) * PER_DECADE;
    let last = (bin(high).div_euclid(PER_DECADE) + 1) * PER_DECADE;
    let mut counts = vec![0u32; usize::try_from(last - first)?];
    for &value in values {
        counts[usize::try_from(bin(value) - first)?] += 1;
    }
    let top = f64::from(counts.iter().copied().max().unwrap_or(1)) * 1.08;
    drawn(320, |chart| {
        let mut chart = chart.build_cartesian_2d((edge(first)..edge(last)).log_scale(), 0f64..top).map_err(drawing)?;
        axes!(chart, "wake-up latency", "wake-ups", |ns: &f64| duration(*ns), |count: &f64| format!("{count:.0}"));
        let bars = (first..last).zip(&counts).filter(|(_, count)| **count > 0);
        chart
            .draw_series(bars.map(|(bin, &count)| {
                Rectangle::new([(edge(bin), 0.0), (edge(bin + 1), f64::from(count))], BAR.filled())
            }))
            .map_err(drawing)?;
        Ok(())
    })
    .map(Some)
}

/// The part of the wake-ups that were later than a latency, both on logarithmic axes: what is rare is as easy to see as
/// what is frequent. `None` without values.
pub(crate) fn later_than(values: &[u64]) -> Result<Option<String>> {
    let mut sorted: Vec<f64> = values.iter().map(|value| (*value).max(1) as f64).collect();
    sorted.sort_by(f64::total_cmp);
    let (Some(&low), Some(&high)) = (sorted.first(), sorted.last()) else { return Ok(None) };
    let decade = |value: f64| 10f64.powf(value.log10().floor());
    let count = sorted.len() as f64;
    // A point where the latency changes; the last one is as far down as one wake-up goes.
    let mut points: Vec<(f64, f64)> = vec![(decade(low), 1.0)];
    for (number, pair) in sorted.windows(2).enumerate() {
        let [value, next] = pair else { continue };
        if value < next {
            points.extend([
                (*value, points.last().map_or(1.0, |last| last.1)),
                (*value, 1.0 - (number + 1) as f64 / count),
            ]);
        }
    }
    points.extend([(high, points.last().map_or(1.0, |last| last.1)), (high, 0.5 / count)]);
    drawn(320, |chart| {
        let mut chart = chart
            .build_cartesian_2d((decade(low)..decade(high) * 10.0).log_scale(), (0.5 / count..1f64).log_scale())
            .map_err(drawing)?;
        axes!(chart, "wake-up latency", "part that was later", |ns: &f64| duration(*ns), |part: &f64| {
            // Powers of ten alone have a label: the others would lie on each other.
            let power = part.log10();
            let whole = (power - power.round()).abs() < 1e-6;
            if whole { format!("{} %", (part * 1e8).round() / 1e6) } else { String::new() }
        });
        chart.draw_series([PathElement::new(thinned(points), BAR.stroke_width(2))]).map_err(drawing)?;
        Ok(())
    })
    .map(Some)
}

/// The line without the points that lie within a thousandth of the one before them in both directions, which nobody sees.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let near = |a: f64, b: f64| (a / b).ln().abs() < 2e-3;
    let end = points.last().copied();
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for point in points {
        if kept.last().is_none_or(|last| !near(last.0, point.0) || !near(last.1, point.1)) {
            kept.push(point);
        }
    }
    kept.extend(end);
    kept
}

/// When each picture was ready, as a part of its period after its release; 1 is the next release.
pub(super) fn readiness(figures: &Figures) -> Result<Option<String>> {
    let frames = &figures.frames;
    let [one, two, ..] = frames.as_slice() else { return Ok(None) };
    let period = two.due_ns.saturating_sub(one.due_ns).max(1) as f64;
    let ready = |due: u64, ready: u64| ready.saturating_sub(due) as f64 / period;
    let points: Vec<(f64, f64)> =
        frames.iter().map(|frame| (frame.n as f64, ready(frame.due_ns, frame.ready_ns))).collect();
    let top = points.iter().map(|point| point.1).fold(1.1, f64::max) * 1.05;
    drawn(260, |chart| {
        let mut chart = chart.build_cartesian_2d(0f64..frames.len() as f64, 0f64..top).map_err(drawing)?;
        axes!(chart, "frame", "periods after release", |n: &f64| format!("{n:.0}"), |part: &f64| format!("{part:.1}"));
        chart.draw_series([PathElement::new([(0.0, 1.0), (frames.len() as f64, 1.0)], ALERT)]).map_err(drawing)?;
        chart
            .draw_series(points.iter().map(|&(n, part)| {
                let colour = if part > 1.0 { ALERT } else { BAR };
                Circle::new((n, part), 2, colour.filled())
            }))
            .map_err(drawing)?;
        Ok(())
    })
    .map(Some)
}

/// A line of a chart: its name, which stands at its right end, and its points.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
    /// It is what should not be.
    pub(crate) marked: bool,
}

/// Lines of parts between 0 and 1.
pub(crate) fn parts(x_text: &str, lines: &[Line]) -> Result<String> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let (low, high) = all().fold((f64::MAX, f64::MIN), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
    drawn(320, |chart| {
        let mut chart = chart.build_cartesian_2d(low..high + (high - low) * 0.3, 0f64..1.05).map_err(drawing)?;
        axes!(chart, x_text, "part", |x: &f64| format!("{:.0} %", x * 100.0), |y: &f64| format!("{:.0} %", y * 100.0));
        for (row, Line { name, points, marked }) in lines.iter().enumerate() {
            let style = if *marked { ALERT } else { BAR }.stroke_width(2);
            chart.draw_series([PathElement::new(points.clone(), style)]).map_err(drawing)?;
            if let Some((x, y)) = points.last() {
                // Two lines may end at one place.
                let at = (*x, y + 0.06 * (row % 2) as f64);
                let font = ("sans-serif", 13).into_font().color(&INK);
                chart.draw_series([Text::new(format!(" {name}"), at, font)]).map_err(drawing)?;
            }
        }
        Ok(())
    })
}

/// A chart of this height, in units of which its width has 960: `draw` gives it its axes and what is in it.
fn drawn(height: u32, draw: impl FnOnce(&mut ChartBuilder<'_, '_, SVGBackend<'_>>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (960, height)).into_drawing_area();
        draw(ChartBuilder::on(&area).margin(12).x_label_area_size(44).y_label_area_size(64))?;
        area.present().map_err(drawing)?;
    }
    Ok(themed(svg))
}

fn drawing(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw a chart: {error}")
}

/// A latency with its unit.
fn duration(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.0} µs", ns / 1e3),
        ns => format!("{:.0} ms", ns / 1e6),
    }
}

/// Colours become variables, fixed sizes become the page's width.
fn themed(svg: String) -> String {
    let pairs = [(INK, "var(--ink)"), (GRID, "var(--grid)"), (BAR, "var(--guest-0)"), (ALERT, "var(--bad)")];
    let mut svg = svg;
    for (colour, variable) in pairs {
        svg = svg.replace(&format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2), variable);
    }
    let end = svg.find('>').unwrap_or(0);
    let viewbox = svg.find("viewBox").unwrap_or(0);
    match svg.get(viewbox..end) {
        Some(rest) if viewbox > 0 => format!("<svg {rest}>{}", &svg[end + 1..]),
        _ => svg,
    }
}
