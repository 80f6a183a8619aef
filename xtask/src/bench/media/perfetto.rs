//! A trace in the format that browsers' viewers open (Chrome's JSON trace events, which Perfetto reads): who ran when on each
//! CPU, the player's pictures and sound periods from release to completion, and its late ones by name.

use anyhow::Result;
use serde_json::{Value, json};

use super::Run;

/// Processes of the trace: the CPUs, and the player.
const CPUS: u32 = 1;
const PLAYER: u32 = 2;

/// The trace's text.
///
/// # Errors
/// Never for these types; the writer says so nevertheless.
pub(super) fn trace(run: &Run) -> Result<String> {
    let mut events = vec![named("process_name", CPUS, 0, "CPUs"), named("process_name", PLAYER, 0, "player")];
    for (cpu, switches) in &run.figures.trace {
        events.push(named("thread_name", CPUS, *cpu, &format!("CPU {cpu}")));
        let ends = switches.iter().skip(1).map(|next| next.time_ns).chain([run.figures.elapsed_ns]);
        for (switch, end) in switches.iter().zip(ends) {
            let Some(vcpu) = switch.vcpu else { continue };
            let name = run.figures.vcpus.get(&vcpu).cloned().unwrap_or_else(|| format!("vCPU {vcpu}"));
            events.push(slice(&name, (CPUS, *cpu), switch.time_ns, end));
        }
    }
    events.push(named("thread_name", PLAYER, 0, "pictures"));
    events.push(named("thread_name", PLAYER, 1, "sound"));
    let at = |ns: u64| ns.saturating_add_signed(run.measured.offset);
    for frame in &run.measured.frames {
        let name = match (frame.dropped, frame.late) {
            (true, _) => "dropped",
            (false, true) => "late",
            (false, false) => "picture",
        };
        events.push(slice(name, (PLAYER, 0), at(frame.due_ns), at(frame.ready_ns)));
    }
    for period in &run.measured.audio {
        let name = if period.late { "late" } else { "sound" };
        events.push(slice(name, (PLAYER, 1), at(period.due_ns), at(period.ready_ns)));
    }
    Ok(serde_json::to_string(&json!({ "displayTimeUnit": "ns", "traceEvents": events }))?)
}

/// A name for a process or a row of it.
fn named(what: &str, process: u32, row: u32, name: &str) -> Value {
    json!({ "ph": "M", "name": what, "pid": process, "tid": row, "args": { "name": name } })
}

/// Something that took its time. The format's unit is a microsecond.
fn slice(name: &str, (process, row): (u32, u32), from: u64, to: u64) -> Value {
    let us = |ns: u64| ns as f64 / 1e3;
    json!({ "ph": "X", "name": name, "pid": process, "tid": row, "ts": us(from), "dur": us(to.saturating_sub(from)) })
}
