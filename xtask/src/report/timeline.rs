//! The timeline of who ran when, as data for the page's script: one row for each vCPU on each physical CPU.

use std::fmt::Write as _;

use super::Figures;

/// One vCPU on one physical CPU.
pub(crate) struct Row {
    /// `player/0 on CPU 0`.
    pub(crate) name: String,
    /// Number of the guest in the scenario, for its colour.
    pub(crate) colour: usize,
    /// Start and end of each stretch, ns.
    pub(crate) stretches: Vec<(u64, u64)>,
}

/// Rows in order of physical CPU and vCPU.
pub(crate) fn rows(figures: &Figures) -> Vec<Row> {
    let mut rows = Vec::new();
    for (cpu, switches) in &figures.trace {
        for (vcpu, name) in &figures.vcpus {
            let ends = switches.iter().skip(1).map(|next| next.time_ns).chain([figures.elapsed_ns]);
            let stretches: Vec<(u64, u64)> = switches
                .iter()
                .zip(ends)
                .filter(|(switch, end)| switch.vcpu == Some(*vcpu) && *end > switch.time_ns)
                .map(|(switch, end)| (switch.time_ns, end))
                .collect();
            if stretches.is_empty() {
                continue;
            }
            let guest = name.split('/').next().unwrap_or_default();
            let colour = figures.summary.guests.iter().position(|other| other.name == guest).unwrap_or(0);
            rows.push(Row { name: format!("{name} on CPU {cpu}"), colour, stretches });
        }
    }
    rows
}

/// The rows as a script's array. Times are distances from the one before, which halves the page.
pub(super) fn script_data(rows: &[Row]) -> String {
    let mut text = String::from("[");
    for row in rows {
        let _ = write!(text, "{{name:{:?},colour:{},at:[", row.name, row.colour);
        let mut last = 0;
        for &(start, end) in &row.stretches {
            let _ = write!(text, "{},{},", start - last, end - start);
            last = end;
        }
        text.push_str("]},\n");
    }
    text + "]"
}
