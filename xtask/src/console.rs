//! One serial port carries everything: `[name] text` lines of guests, and of the hypervisor either the same or binary log
//! frames between zero bytes. This takes the stream apart in pieces of any size and survives garbage, because a
//! machine that dies does so in the middle of a line.

mod frames;
mod paint;
mod peer;

pub(crate) use frames::Frames;
pub(crate) use paint::Paint;

use crate::events::Source;

/// A whole line with its speaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Who said it; `None` for text without a known prefix, such as firmware's.
    pub(crate) source: Option<Source>,
    /// The text without its prefix.
    pub(crate) text: String,
}

/// Takes a serial stream apart.
pub(crate) struct Demultiplexer {
    frames: Option<Frames>,
    /// Names of the guests by their numbers from 1, where it is the peer that speaks.
    peer: Option<Vec<String>>,
    /// Name of the guest that prints what others say on their consoles.
    io_domain: Option<String>,
    text: Vec<u8>,
    frame: Option<Vec<u8>>,
}

/// Longer frames and lines are garbage, or a zero byte was lost.
const LONGEST: usize = 64 << 10;

impl Demultiplexer {
    /// A demultiplexer; without `frames` log frames are shown as undecoded.
    pub(crate) fn new(frames: Option<Frames>) -> Self {
        Self { frames, peer: None, io_domain: None, text: Vec::new(), frame: None }
    }

    /// The same, where this guest prints what others say: `NAME| text`, or `NAME> text` for the beginning of a line.
    pub(crate) fn through(self, io_domain: Option<&str>) -> Self {
        Self { io_domain: io_domain.map(Into::into), ..self }
    }

    /// A demultiplexer for Xen's console. `guests` are the names of the domains from number 1 on.
    pub(crate) fn of_peer(guests: Vec<String>) -> Self {
        Self { peer: Some(guests), ..Self::new(None) }
    }

    /// Takes bytes and gives the lines they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for &byte in bytes {
            match (&mut self.frame, byte) {
                (None, 0) => self.frame = Some(Vec::new()),
                (None, b'\n') => lines.extend(self.end_line()),
                (None, byte) => {
                    self.text.push(byte);
                    if self.text.len() >= LONGEST {
                        lines.extend(self.end_line());
                    }
                }
                // An empty frame is none: the zero byte before it was an end, this one is a start.
                (Some(frame), 0) if frame.is_empty() => {}
                (Some(_), 0) => self.end_frame(&mut lines),
                (Some(frame), byte) => {
                    frame.push(byte);
                    if frame.len() >= LONGEST {
                        self.end_frame(&mut lines);
                    }
                }
            }
        }
        lines
    }

    /// Gives what is left at the end of the stream.
    pub(crate) fn finish(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        if self.frame.as_ref().is_some_and(|frame| !frame.is_empty()) {
            self.end_frame(&mut lines);
        }
        lines.extend(self.end_line());
        lines
    }

    fn end_line(&mut self) -> Option<Line> {
        let bytes = std::mem::take(&mut self.text);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches('\r');
        (!text.is_empty()).then(|| match &self.peer {
            Some(guests) => peer::split(text, guests),
            None => self.split(text),
        })
    }

    fn split(&self, text: &str) -> Line {
        let line = split(text);
        match (&line.source, &self.io_domain) {
            (Some(Source::Guest(name)), Some(io_domain)) if name == io_domain => relayed(&line.text).unwrap_or(line),
            _ => line,
        }
    }

    fn end_frame(&mut self, lines: &mut Vec<Line>) {
        let frame = self.frame.take().unwrap_or_default();
        let decoded = self.frames.as_ref().map(|frames| frames.decode(&frame));
        match decoded {
            Some(Ok(text)) => lines.extend(text.lines().map(|text| hypervisor(text.to_owned()))),
            // A lost zero byte turns text into a "frame": give the text back, and let this zero start the next frame.
            Some(Err(_)) | None if looks_like_text(&frame) => {
                lines.extend(self.end_line());
                for piece in frame.split(|&byte| byte == b'\n').filter(|piece| !piece.is_empty()) {
                    lines.push(self.split(&String::from_utf8_lossy(piece)));
                }
                self.frame = Some(Vec::new());
            }
            Some(Err(why)) => lines.push(hypervisor(format!("(log frame of {} bytes: {why})", frame.len()))),
            None => lines.push(hypervisor(format!("(log frame of {} bytes, no symbols to decode it)", frame.len()))),
        }
    }
}

fn hypervisor(text: String) -> Line {
    Line { source: Some(Source::Hypervisor), text }
}

/// Text that got into a frame: it has a prefix and a line end, or nothing but letters.
fn looks_like_text(frame: &[u8]) -> bool {
    let plain = |byte: &u8| matches!(byte, b'\n' | b'\r' | b'\t' | 0x1b | b' '..=b'~');
    frame.len() > 8 && frame.contains(&b'\n') && frame.iter().all(plain)
}

/// What another guest said, as an I/O domain prints it.
fn relayed(text: &str) -> Option<Line> {
    let (name, text) = text.split_once(['|', '>'])?;
    let text = text.strip_prefix(' ')?;
    is_name(name).then(|| Line { source: Some(Source::Guest(name.into())), text: text.into() })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Splits `[name] text`.
fn split(line: &str) -> Line {
    let named = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let known = named.filter(|(name, _)| is_name(name));
    match known {
        Some((name, text)) => {
            let source = if name == "hyp" { Source::Hypervisor } else { Source::Guest(name.into()) };
            Line { source: Some(source), text: text.strip_prefix(' ').unwrap_or(text).into() }
        }
        None => Line { source: None, text: line.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::{Demultiplexer, Line, split};
    use crate::events::Source;

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn prefixes_name_the_speaker() {
        assert_eq!(split("[hyp] a b").source, Some(Source::Hypervisor));
        assert_eq!(split("[player] x"), Line { source: Some(Source::Guest("player".into())), text: "x".into() });
        assert_eq!(split("[no name] x"), Line { source: None, text: "[no name] x".into() });
        assert_eq!(split("[hog]").text, "");
    }

    #[test]
    fn an_io_domain_prints_what_others_say() {
        let mut console = Demultiplexer::new(None).through(Some("iod"));
        let lines =
            console.push(b"[iod] linux| booting\n[iod] linux> login: \n[iod] disk `a`: 1 sectors\n[hog] linux| no\n");
        let who: Vec<_> = lines.iter().map(|line| line.source.as_ref().unwrap().to_string()).collect();
        assert_eq!(who, ["linux", "linux", "iod", "hog"]);
        assert_eq!(texts(&lines), ["booting", "login: ", "disk `a`: 1 sectors", "linux| no"]);
    }

    #[test]
    fn lines_come_in_any_pieces() {
        let stream = b"[a] one\r\n[b] two\nthree";
        for size in 1..stream.len() {
            let mut console = Demultiplexer::new(None);
            let mut lines: Vec<Line> = stream.chunks(size).flat_map(|piece| console.push(piece)).collect();
            lines.extend(console.finish());
            assert_eq!(texts(&lines), ["one", "two", "three"], "pieces of {size}");
        }
    }

    #[test]
    fn a_frame_in_the_middle_of_a_line_does_not_break_it() {
        let mut console = Demultiplexer::new(None);
        let lines = console.push(b"[a] o\x00\x81\x82\x83\x00ne\n");
        assert_eq!(texts(&lines), ["(log frame of 3 bytes, no symbols to decode it)", "one"]);
    }

    #[test]
    fn a_lost_zero_byte_costs_one_frame_only() {
        let mut console = Demultiplexer::new(None);
        // The frame's opening zero was lost, so its closing zero opens a "frame" of text.
        let lines = console.push(b"\x81\x82\x00[a] text\n[b] more\n\x00\x81\x82\x00[a] end\n");
        assert!(texts(&lines).contains(&"text"), "{lines:?}");
        assert!(texts(&lines).contains(&"end"), "{lines:?}");
    }

    #[test]
    fn garbage_is_shown_not_fatal() {
        let mut console = Demultiplexer::new(None);
        let lines = console.push(b"\xff\xfe[a\n\n");
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].source, None);
    }
}
