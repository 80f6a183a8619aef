//! Asking a running emulator for its virtual time. QEMU has no command for that, but with `-rtc clock=vm` the board's
//! real-time clock counts virtual seconds, and its monitor can read it without the guest's help: on `virt` as a register
//! (PL031 at 0x0901_0000, data register 0), on a PC as a property. So a hung machine is stopped by virtual time too, not by
//! the host's speed.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::board::Board;

/// How often it is asked whether a machine that has said its last line is off, and how long in between.
const OFF: (u32, Duration) = (1000, Duration::from_millis(10));

const READ_CLOCK: &str = "xp /1wx 0x9010000";

/// Where an emulator is asked, and which machine it emulates.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) socket: PathBuf,
    pub(crate) board: Board,
}

/// A connection to the emulator's machine protocol.
pub(crate) struct Monitor {
    board: Board,
    lines: BufReader<UnixStream>,
    stream: UnixStream,
}

impl Monitor {
    /// Connects; `None` if the emulator is not ready or gone.
    pub(crate) fn connect(place: &Place) -> Option<Self> {
        let stream = UnixStream::connect(&place.socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let mut monitor = Self { board: place.board, lines: BufReader::new(stream.try_clone().ok()?), stream };
        let mut greeting = String::new();
        monitor.lines.read_line(&mut greeting).ok()?;
        monitor.ask(&serde_json::json!({ "execute": "qmp_capabilities" }))?;
        Some(monitor)
    }

    /// Virtual seconds since power-on.
    pub(super) fn seconds(&mut self) -> Option<u64> {
        if self.board == Board::X86 {
            let answer = self.ask(&serde_json::json!({
                "execute": "qom-get", "arguments": { "path": "/machine", "property": "rtc-time" }
            }))?;
            return seconds_of(&answer);
        }
        let answer = self.ask(&serde_json::json!({
            "execute": "human-monitor-command", "arguments": { "command-line": READ_CLOCK }
        }))?;
        parse(answer.as_str()?)
    }

    /// How many instructions all CPUs have executed under the deterministic clock, without what was skipped of idle time.
    pub(crate) fn instructions(&mut self) -> Option<u64> {
        self.ask(&serde_json::json!({ "execute": "query-replay" }))?.get("icount")?.as_u64()
    }

    /// Presses a key of the machine's keyboard, or several at once, by QEMU's names with hyphens between.
    pub(crate) fn press(&mut self, key: &str) -> Option<()> {
        let keys: Vec<_> = key.split('-').map(|name| serde_json::json!({ "type": "qcode", "data": name })).collect();
        self.ask(&serde_json::json!({ "execute": "send-key", "arguments": { "keys": keys } })).map(|_| ())
    }

    /// Writes what the machine's display shows into a PNG file.
    pub(crate) fn photograph(&mut self, path: &Path) -> Option<()> {
        let arguments = serde_json::json!({ "filename": path, "format": "png" });
        self.ask(&serde_json::json!({ "execute": "screendump", "arguments": arguments })).map(|_| ())
    }

    /// Waits until the machine has been switched off, and lets go of an emulator that waits for that. None if it is not off in time.
    pub(crate) fn quit_when_off(&mut self) -> Option<()> {
        for _ in 0..OFF.0 {
            let answer = self.ask(&serde_json::json!({ "execute": "query-status" }))?;
            if answer.get("status")?.as_str()? == "shutdown" {
                return self.ask(&serde_json::json!({ "execute": "quit" })).map(|_| ());
            }
            std::thread::sleep(OFF.1);
        }
        None
    }

    fn ask(&mut self, question: &serde_json::Value) -> Option<serde_json::Value> {
        writeln!(self.stream, "{question}").ok()?;
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            // Events come in between; the answer is the line with `return`.
            let mut answer: serde_json::Value = serde_json::from_str(&line).ok()?;
            if let Some(value) = answer.get_mut("return") {
                return Some(value.take());
            }
            if answer.get("error").is_some() {
                return None;
            }
        }
    }
}

/// A date and a time of January 1970, in C's `struct tm`.
fn seconds_of(date: &serde_json::Value) -> Option<u64> {
    let field = |name: &str| date.get(name)?.as_u64();
    let days = field("tm_mday")?.checked_sub(1)?;
    Some(((days * 24 + field("tm_hour")?) * 60 + field("tm_min")?) * 60 + field("tm_sec")?)
}

/// `0000000009010000: 0x00000005`
fn parse(text: &str) -> Option<u64> {
    let digits = text.split_once(": 0x")?.1;
    u64::from_str_radix(digits.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_is_read_from_the_monitors_text() {
        assert_eq!(super::parse("0000000009010000: 0x0000001f\r\n"), Some(31));
        assert_eq!(super::parse("Cannot access memory"), None);
    }

    #[test]
    fn a_pcs_clock_is_read_from_its_date() {
        let date = serde_json::json!({
            "tm_year": 70, "tm_mon": 0, "tm_mday": 2, "tm_hour": 1, "tm_min": 2, "tm_sec": 3
        });
        assert_eq!(super::seconds_of(&date), Some(86_400 + 3_600 + 120 + 3));
        assert_eq!(super::seconds_of(&serde_json::json!({ "tm_mday": 0 })), None);
    }
}
