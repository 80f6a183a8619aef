//! The figures as a page: a bar for each operation, as long as its part of what the peer needs.

use super::Row;
use crate::report::{document, escape, grouped, section};

/// The page's text.
pub(super) fn page(figures: &[(Row, u64)]) -> String {
    let reached = figures.iter().filter(|(row, insns)| *insns <= row.goal).count();
    let class = if reached == figures.len() { "good" } else { "bad" };
    let verdict = format!("<p class=\"verdict {class}\">{reached} of {} goals reached</p>", figures.len());
    let rows: String = figures.iter().map(|(row, insns)| line(row, *insns)).collect();
    let table = format!(
        "<div class=\"wide\"><table><tr><th>operation</th><th>ours / peer</th><th>ours</th><th>goal</th>\
         <th>peer</th></tr>{rows}</table></div>"
    );
    let note = "Instructions executed at any exception level, the guest's own included. The bar is our part of what \
                Xen 4.17 needs on the same machine; it is green where the goal is reached.";
    document("bench micro", &verdict, &section("Operations of a guest", note, &table))
}

fn line(row: &Row, insns: u64) -> String {
    let part = insns as f64 / row.peer.max(1) as f64 * 100.0;
    let colour = if insns <= row.goal { "var(--good)" } else { "var(--bad)" };
    format!(
        "<tr><th>{}</th><td class=\"share\"><span style=\"width:{:.1}%;background:{colour}\"></span>{part:.0}&nbsp;%\
         </td><td>{}</td><td>{}</td><td>{}</td></tr>",
        escape(&row.what),
        part.min(100.0),
        grouped(insns),
        grouped(row.goal),
        grouped(row.peer)
    )
}
