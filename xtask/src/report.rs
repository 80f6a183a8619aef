//! What a run says about itself: figures computed from events alone, so that two runs of the same build give the same
//! file, and the reasons why a run is not a good one.

pub(crate) mod chart;
mod devices;
mod figures;
mod page;
pub(crate) mod promises;
mod table;
pub(crate) mod timeline;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

pub(crate) use devices::AtDevices;
pub(crate) use figures::{Figures, quantiles};
pub(crate) use page::{document, escape, quantiles as quantile_tiles, script, section, who_ran};
pub(crate) use table::{aligned, grouped, table};

use crate::scenario::Scenario;

/// The contents of `run.json`. No dates and no times of the host: two runs give the same text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Name of the scenario.
    pub(crate) scenario: String,
    /// Name of the machine's board.
    pub(crate) board: &'static str,
    /// Pictures decoded.
    pub(crate) frames_total: u64,
    /// Pictures ready after the next one's release.
    pub(crate) frames_late: u64,
    /// Pictures more than one period late.
    pub(crate) frames_dropped: u64,
    /// Sound periods decoded.
    pub(crate) audio_total: u64,
    /// Sound periods ready after the next one's release.
    pub(crate) audio_late: u64,
    /// Pictures that differ from ffmpeg's.
    pub(crate) crc_mismatches: u64,
    /// What reached the devices; none where the player has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) devices: Option<AtDevices>,
    /// Latency of the player's wake-ups, ns; none if nothing was measured.
    pub(crate) wakeup_ns: Option<Quantiles>,
    /// The guests in the scenario's order.
    pub(crate) guests: Vec<GuestShare>,
    /// Size of the hypervisor's image.
    pub(crate) image_bytes: u64,
    /// All memory the hypervisor keeps, with its image.
    pub(crate) hypervisor_ram_bytes: u64,
    /// Instructions from power-on to the first one of a guest.
    pub(crate) boot_to_first_guest_insns: u64,
}

/// Quantiles of a latency, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub(crate) struct Quantiles {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

/// What a guest used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct GuestShare {
    /// Its name.
    pub(crate) name: String,
    /// Its part of all CPUs' time, 0 to 1.
    pub(crate) cpu_share: f64,
    /// Exits to the hypervisor by reason.
    pub(crate) exits: BTreeMap<String, u64>,
}

/// Text of `run.json`.
///
/// # Errors
/// Never for these types; the writer says so nevertheless.
pub(crate) fn json(figures: &Figures) -> Result<String> {
    Ok(serde_json::to_string_pretty(&figures.summary)? + "\n")
}

/// Writes `run.json` and `run.html` into `folder`; returns their paths.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(figures: &Figures, scenario: &Scenario, command: &str, folder: &Path) -> Result<[PathBuf; 2]> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let paths = [folder.join("run.json"), folder.join("run.html")];
    let texts = [json(figures)?, page::page(figures, scenario, command)?];
    for (path, text) in paths.iter().zip(texts) {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(paths)
}

#[cfg(test)]
pub(crate) mod tests;
