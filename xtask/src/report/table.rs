//! The table at the end of a run: what a person wants to know in one look.

use super::{AtDevices, Figures};
use crate::console::Paint;

/// The table, ready to print.
pub(crate) fn table(figures: &Figures, paint: Paint) -> String {
    let mut text = guests(figures, paint);
    text.push_str(&player(figures, paint));
    text.push_str(&machine(figures));
    text
}

fn guests(figures: &Figures, paint: Paint) -> String {
    let guests = &figures.summary.guests;
    let mut reasons: Vec<&String> = guests.iter().flat_map(|guest| guest.exits.keys()).collect();
    reasons.sort();
    reasons.dedup();
    let mut rows = vec![vec!["guest".to_owned(), "CPU".to_owned(), "exits".to_owned()]];
    rows[0].extend(reasons.iter().map(|reason| (*reason).clone()));
    for guest in guests {
        let total: u64 = guest.exits.values().sum();
        let mut row = vec![guest.name.clone(), format!("{:.1} %", guest.cpu_share * 100.0), grouped(total)];
        row.extend(reasons.iter().map(|reason| grouped(guest.exits.get(*reason).copied().unwrap_or(0))));
        rows.push(row);
    }
    aligned(&rows, paint)
}

fn player(figures: &Figures, paint: Paint) -> String {
    let summary = &figures.summary;
    if summary.frames_total == 0 {
        return String::new();
    }
    let head = ["", "shown", "late", "dropped", "differ from ffmpeg"].map(str::to_owned).to_vec();
    let shown = summary.frames_total.saturating_sub(summary.frames_dropped);
    let video = ["video".to_owned(), grouped(shown), grouped(summary.frames_late), grouped(summary.frames_dropped)];
    let video = [video.to_vec(), vec![grouped(summary.crc_mismatches)]].concat();
    let audio = ["sound".to_owned(), grouped(summary.audio_total), grouped(summary.audio_late)];
    let audio = [audio.to_vec(), vec!["-".into(), "-".into()]].concat();
    let mut text = aligned(&[head, video, audio], paint);
    text.push_str(&summary.devices.map_or_else(String::new, |devices| at_devices(devices, paint)));
    if let Some(wake) = summary.wakeup_ns {
        let head = ["wake-up", "p50", "p99", "p99.9", "max"].map(str::to_owned).to_vec();
        let row = ["ns".to_owned(), grouped(wake.p50), grouped(wake.p99), grouped(wake.p999), grouped(wake.max)];
        text.push_str(&aligned(&[head, row.to_vec()], paint));
    }
    text
}

fn at_devices(devices: AtDevices, paint: Paint) -> String {
    let head = ["at the devices", "shown", "late", "latest after its release", "gaps"].map(str::to_owned).to_vec();
    let mut rows = vec![head];
    if devices.pictures_shown > 0 {
        let [shown, late, latest] =
            [devices.pictures_shown, devices.pictures_late, devices.picture_ns_max].map(grouped);
        rows.push(vec!["display".into(), shown, late, latest + " ns", "-".into()]);
    }
    if let (Some(played), Some(gaps)) = (devices.sound_played, devices.sound_gaps) {
        rows.push(vec!["sound card".into(), grouped(played), "-".into(), "-".into(), grouped(gaps)]);
    }
    aligned(&rows, paint)
}

fn machine(figures: &Figures) -> String {
    let summary = &figures.summary;
    format!(
        "image {} bytes, hypervisor's RAM {} bytes, boot to first guest {} instructions\n",
        grouped(summary.image_bytes),
        grouped(summary.hypervisor_ram_bytes),
        grouped(summary.boot_to_first_guest_insns)
    )
}

/// Columns as wide as their widest cell: the first left, the others right. Ends with an empty line.
pub(crate) fn aligned(rows: &[Vec<String>], paint: Paint) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(&if number == 0 { paint.bold(&line) } else { line });
        text.push('\n');
    }
    text + "\n"
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
