//! The filter that xz puts before LZMA for x86 code: targets of calls and jumps are made absolute, as the same target then
//! looks the same from everywhere. Here they are made relative again.
//!
//! Which bytes are taken for a target is decided by bytes that the filter leaves alone, so that both directions decide alike;
//! they do by the four bytes before, which may be a target themselves.
//!
//! Source: `bcj_x86.c` and `x86.c` of the LZMA SDK and XZ Utils, both in the public domain, for what is decided how.

/// Bytes of an instruction with a target: an operation code and four bytes.
const SIZE: usize = 5;

/// How far the output is done.
#[derive(Clone, Debug, Default)]
pub(super) struct Branches {
    /// All before it is as it shall be.
    at: usize,
    /// The last operation code whose target was no good.
    last: Option<usize>,
    /// Which of the bytes before are such codes; the lowest is the nearest.
    before: u32,
}

impl Branches {
    /// Makes targets relative in the next `budget` bytes; returns up to where all is as it shall be.
    pub(super) fn step(&mut self, out: &mut [u8], budget: usize) -> usize {
        let last = out.len().saturating_sub(SIZE - 1);
        let stop = last.min(self.at.saturating_add(budget));
        while self.at < stop {
            let rest = out.get(self.at..stop).unwrap_or_default();
            let Some(skip) = rest.iter().position(|byte| byte & 0xfe == 0xe8) else {
                self.at = stop;
                break;
            };
            self.at = self.at.saturating_add(skip);
            let target = out.get_mut(self.at.saturating_add(1)..).and_then(|rest| rest.first_chunk_mut());
            let Some(target) = target else { break };
            let converted = self.convert(target);
            self.at = self.at.saturating_add(if converted { SIZE } else { 1 });
        }
        if self.at >= last { out.len() } else { self.at }
    }

    /// Looks at what follows an operation code; whether it was a target.
    fn convert(&mut self, target: &mut [u8; 4]) -> bool {
        /// Codes among the three bytes before that still allow a target, and which byte of it then decides.
        const ALLOWED: [bool; 8] = [true, true, true, false, true, false, false, false];
        const DECIDES: [u32; 8] = [0, 1, 2, 2, 3, 3, 3, 3];
        let distance = self.last.map_or(usize::MAX, |last| self.at.saturating_sub(last));
        self.before = if distance > 3 { 0 } else { self.before << distance.saturating_sub(1) & 7 };
        self.last = Some(self.at);
        let entry = self.before as usize;
        let (allowed, decides) = (ALLOWED.get(entry), DECIDES.get(entry).copied().unwrap_or(0));
        let [_, _, _, highest] = *target;
        let near = target.get(3usize.saturating_sub(decides as usize)).copied();
        let spoilt = entry != 0 && (allowed != Some(&true) || near.is_some_and(is_sign));
        if spoilt || !is_sign(highest) {
            self.before = self.before << 1 | 1;
            return false;
        }
        let next = (self.at as u32).wrapping_add(SIZE as u32);
        let mut absolute = u32::from_le_bytes(*target);
        let relative = loop {
            let relative = absolute.wrapping_sub(next);
            let shift = decides.wrapping_mul(8);
            if entry == 0 || !is_sign((relative >> 24u32.wrapping_sub(shift)) as u8) {
                break relative;
            }
            absolute = relative ^ (u32::MAX >> shift);
        };
        // 25 bits with a sign.
        let sign = if relative & 1 << 24 == 0 { 0 } else { 0xff00_0000 };
        *target = (relative & 0x00ff_ffff | sign).to_le_bytes();
        true
    }
}

/// The highest byte of a target that is not far away.
fn is_sign(byte: u8) -> bool {
    byte == 0 || byte == 0xff
}
