//! Asking a running emulator for its virtual time. QEMU has no command for that, but with `-rtc clock=vm` the board's
//! real-time clock (PL031 at 0x0901_0000, data register 0) counts virtual seconds, and its monitor can read the
//! register without the guest's help. So a hung machine is stopped by virtual time too, not by the host's speed.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const READ_CLOCK: &str = "xp /1wx 0x9010000";

/// A connection to the emulator's machine protocol.
pub(crate) struct Monitor {
    lines: BufReader<UnixStream>,
    stream: UnixStream,
}

impl Monitor {
    /// Connects; `None` if the emulator is not ready or gone.
    pub(crate) fn connect(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let mut monitor = Self { lines: BufReader::new(stream.try_clone().ok()?), stream };
        let mut greeting = String::new();
        monitor.lines.read_line(&mut greeting).ok()?;
        monitor.ask(&serde_json::json!({ "execute": "qmp_capabilities" }))?;
        Some(monitor)
    }

    /// Virtual seconds since power-on.
    pub(crate) fn seconds(&mut self) -> Option<u64> {
        let answer = self.ask(&serde_json::json!({
            "execute": "human-monitor-command", "arguments": { "command-line": READ_CLOCK }
        }))?;
        parse(answer.as_str()?)
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
}
