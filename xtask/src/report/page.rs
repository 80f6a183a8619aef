//! The report as one self-contained page: no network, no fonts, no libraries; light and dark.

use anyhow::Result;

use super::table::grouped;
use super::{Figures, Quantiles, chart, timeline};
use crate::scenario::Scenario;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page's text.
///
/// # Errors
/// If a chart cannot be drawn.
pub(super) fn page(figures: &Figures, scenario: &Scenario, command: &str) -> Result<String> {
    let name = escape(&scenario.name());
    let mut sections = vec![tiles(figures), guests(figures)];
    if let Some(svg) = chart::latencies(&figures.wakes)? {
        let note = "From the timer's deadline to the first instruction of the player after it. The \
                    horizontal axis is logarithmic.";
        let quantiles = figures.summary.wakeup_ns.map(quantiles).unwrap_or_default();
        sections.push(section("Wake-up latency", note, &format!("{quantiles}{svg}")));
    }
    if let Some(svg) = chart::readiness(figures)? {
        let note = "When each picture was decoded. Above the line it is late: the next picture was due already.";
        sections.push(section("Pictures", note, &svg));
    }
    sections.push(who_ran(figures, 0));
    sections.push(section("Scenario", &escape(&scenario.about), &format!("<pre>{}</pre>", escape(&scenario.text))));
    sections.push(section("Command", "The emulator as it was started.", &format!("<pre>{}</pre>", escape(command))));
    sections.push(script());
    Ok(document(&name, &verdict(figures), &sections.concat()))
}

/// A whole page from its parts, all of them HTML.
pub(crate) fn document(name: &str, verdict: &str, sections: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Makuhari: {name}</title>\
         <style>\n{STYLE}</style></head>\n<body><main>\n<header><h1>Makuhari <span>{name}</span></h1>{verdict}</header>\n\
         {sections}</main></body></html>\n"
    )
}

fn verdict(figures: &Figures) -> String {
    if figures.failures.is_empty() {
        return "<p class=\"verdict good\">A good run: every check passed.</p>".into();
    }
    let items: String = figures.failures.iter().map(|failure| format!("<li>{}</li>", escape(failure))).collect();
    format!("<div class=\"verdict bad\">Not a good run:<ul>{items}</ul></div>")
}

fn tiles(figures: &Figures) -> String {
    let summary = &figures.summary;
    let mut tiles = Vec::new();
    if summary.frames_total > 0 {
        tiles.push((grouped(summary.frames_total), "frames decoded", false));
        tiles.push((grouped(summary.frames_late), "late", summary.frames_late > 0));
        tiles.push((grouped(summary.frames_dropped), "dropped", summary.frames_dropped > 0));
        tiles.push((grouped(summary.crc_mismatches), "differ from ffmpeg", summary.crc_mismatches > 0));
        tiles.push((grouped(summary.audio_late), "late sound periods", summary.audio_late > 0));
    }
    tiles.push((grouped(summary.image_bytes), "bytes of image", false));
    tiles.push((grouped(summary.hypervisor_ram_bytes), "bytes of hypervisor's RAM", false));
    tiles.push((grouped(summary.boot_to_first_guest_insns), "instructions to the first guest", false));
    let tile = |(value, what, bad): &(String, &str, bool)| {
        let class = if *bad { " class=\"bad\"" } else { "" };
        format!("<div{class}><b>{value}</b><span>{what}</span></div>")
    };
    format!("<section class=\"tiles\">{}</section>\n", tiles.iter().map(tile).collect::<String>())
}

fn guests(figures: &Figures) -> String {
    let guests = &figures.summary.guests;
    let mut reasons: Vec<&String> = guests.iter().flat_map(|guest| guest.exits.keys()).collect();
    reasons.sort();
    reasons.dedup();
    let head: String = reasons.iter().map(|reason| format!("<th>{}</th>", escape(reason))).collect();
    let mut rows = String::new();
    for (number, guest) in guests.iter().enumerate() {
        let count = |reason: &&String| guest.exits.get(*reason).copied().unwrap_or(0);
        let cells: String = reasons.iter().map(|reason| format!("<td>{}</td>", grouped(count(reason)))).collect();
        let share = guest.cpu_share * 100.0;
        rows.push_str(&format!(
            "<tr><th><i style=\"background:var(--guest-{})\"></i>{}</th><td class=\"share\"><span \
             style=\"width:{share:.2}%;background:var(--guest-{})\"></span>{share:.1}&nbsp;%</td>{cells}</tr>",
            number % 6,
            escape(&guest.name),
            number % 6
        ));
    }
    let table = format!("<div class=\"wide\"><table><tr><th>guest</th><th>CPU</th>{head}</tr>{rows}</table></div>");
    section("Guests", "Share of all CPUs' time, and exits to the hypervisor by reason.", &table)
}

/// Quantiles of a latency as a row of tiles.
pub(crate) fn quantiles(wake: Quantiles) -> String {
    let cell = |(name, value): (&str, u64)| format!("<div><b>{}</b><span>ns, {name}</span></div>", grouped(value));
    let all = [("p50", wake.p50), ("p99", wake.p99), ("p99.9", wake.p999), ("max", wake.max)];
    format!("<div class=\"tiles small\">{}</div>", all.into_iter().map(cell).collect::<String>())
}

/// The section with the timeline of who ran when, number `number` of its page; nothing if nobody told. The page needs
/// [`script`] behind all of them.
pub(crate) fn who_ran(figures: &Figures, number: usize) -> String {
    let rows = timeline::rows(figures);
    if rows.is_empty() {
        return String::new();
    }
    let start = rows.iter().filter_map(|row| row.stretches.first()).map(|first| first.0).min().unwrap_or(0);
    let body = format!(
        "<div class=\"timeline\" tabindex=\"0\" data-rows=\"{number}\" data-start=\"{start}\" data-end=\"{}\"></div>\
         <p class=\"buttons\"><button data-do=\"in\">Zoom in</button><button data-do=\"out\">Zoom out</button>\
         <button data-do=\"left\">Earlier</button><button data-do=\"right\">Later</button>\
         <button data-do=\"all\">All</button><output></output></p>\
         <noscript>The timeline needs scripts.</noscript>\n<script>(window.timelines ??= [])[{number}] = {};</script>",
        figures.elapsed_ns,
        timeline::script_data(&rows)
    );
    section("Who ran when", "Wheel: zoom. Drag: move. Keys: + - and arrows. A pale column ran for a part of it.", &body)
}

/// What draws a page's timelines.
pub(crate) fn script() -> String {
    format!("<script>\n{SCRIPT}</script>")
}

/// A part of a page; all but the title is HTML.
pub(crate) fn section(title: &str, note: &str, body: &str) -> String {
    format!("<section><h2>{title}</h2><p class=\"note\">{note}</p>{body}</section>\n")
}

/// Text as HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
