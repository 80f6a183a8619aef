//! A run against the limits of SPECIFICATION.md, so that CI fails when a promised figure is passed.

use anyhow::Result;
use serde_json::Value;

use super::Summary;
use crate::board::Board;
use crate::scenario::Scenario;
use crate::size::budget;

/// Whether the page promises figures of this scenario: the main job, on the board that the project is for.
pub(crate) fn concern(scenario: &Scenario) -> bool {
    scenario.name() == "media" && scenario.machine.board == Board::default()
}

/// The promises that a run does not keep, a sentence each. A limit whose key this report does not have is another
/// command's.
///
/// # Errors
/// SPECIFICATION.md cannot be read or understood.
pub(crate) fn broken(summary: &Summary) -> Result<Vec<String>> {
    let json = serde_json::to_value(summary)?;
    let limits = budget::limits()?;
    let sentence = |limit: &budget::Limit| {
        let value = figure(&json, &limit.key)?;
        (!limit.holds(value)).then(|| format!("{}: {value}, SPECIFICATION.md says {}", limit.figure, limit.shown()))
    };
    Ok(limits.iter().filter_map(sentence).collect())
}

/// The figure under a key with dots.
fn figure(json: &Value, key: &str) -> Option<u64> {
    key.split('.').try_fold(json, |json, part| json.get(part))?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::{concern, figure};
    use crate::board::Board;
    use crate::scenario::single;

    #[test]
    fn a_pc_has_other_figures() {
        let media = |board: Board| single(&board.scenarios(), "media").unwrap();
        assert!(concern(&media(Board::QemuVirt)) && !concern(&media(Board::X86)));
        assert!(!concern(&single(&Board::QemuVirt.scenarios(), "linux").unwrap()));
    }

    #[test]
    fn keys_lead_into_the_report() {
        let json = serde_json::json!({ "frames_late": 3, "wakeup_ns": { "p999": 7 } });
        assert_eq!(figure(&json, "frames_late"), Some(3));
        assert_eq!(figure(&json, "wakeup_ns.p999"), Some(7));
        assert_eq!(figure(&json, "wakeup_ns.p5"), None);
    }
}
