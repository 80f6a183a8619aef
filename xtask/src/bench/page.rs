//! The figures as a page: for each operation three bars, ours, the goal and the peer's, as long as their parts of the
//! longest of the three. Operations are compared with themselves only, so that one scale is not needed for hundreds and
//! hundreds of millions.

use super::micro::Row;
use crate::report::{document, escape, grouped, section};

/// The page's text. `origin` says where the peer's figures are from.
pub(super) fn page(figures: &[(Row, u64)], origin: &str) -> String {
    let reached = figures.iter().filter(|(row, insns)| *insns <= row.goal).count();
    let class = if reached == figures.len() { "good" } else { "bad" };
    let verdict = format!("<p class=\"verdict {class}\">{reached} of {} goals reached</p>", figures.len());
    let rows: String = figures.iter().map(|(row, insns)| line(row, *insns)).collect();
    let table = format!(
        "<div class=\"wide\"><table class=\"bars\"><tr><th>operation</th><th></th><th>ours</th><th>goal</th>\
         <th>peer</th><th>ours / peer</th></tr>{rows}</table></div>"
    );
    let note = format!(
        "Instructions executed at any exception level, the guest's own included, unless a unit is named. Upper bar: ours, \
         green where the goal is reached and red where not. Below it, narrow: the goal, then the peer ({}). The longest \
         of a row is its full width.",
        escape(origin)
    );
    document("bench micro", &verdict, &section("Operations of a guest", &note, &table))
}

fn line(row: &Row, insns: u64) -> String {
    let longest = insns.max(row.goal).max(row.peer).max(1);
    let class = if insns <= row.goal { "good" } else { "bad" };
    let bar = |class: &str, value: u64| {
        let width = value as f64 / longest as f64 * 100.0;
        format!("<i class=\"{class}\" style=\"width:{width:.1}%\"></i>")
    };
    format!(
        "<tr><th>{}</th><td>{}{}{}</td><td class=\"{class}\">{}</td><td>{}</td><td>{}</td><td>{:.0}&nbsp;%</td></tr>",
        escape(&row.title()),
        bar(class, insns),
        bar("goal", row.goal),
        bar("peer", row.peer),
        grouped(insns),
        grouped(row.goal),
        grouped(row.peer),
        insns as f64 / row.peer.max(1) as f64 * 100.0
    )
}
