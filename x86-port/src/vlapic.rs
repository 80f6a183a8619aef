//! The local APIC that a vCPU sees: interrupts by vector, priorities, a timer, and words to other vCPUs.
//!
//! Its registers have the numbers of x2APIC's model-specific registers, counted from 0x800 (Intel SDM 3A, 11.12.1.2). It is in
//! x2APIC mode from the start and stays there, so that nothing of it is in memory. Its bus runs at 1 GHz.
//!
//! Only the vCPU's own CPU touches it; what others have for it comes through [`Posted`].

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hyp_core::time::Nanos;

/// Registers.
const ID: u32 = 0x02;
const VERSION: u32 = 0x03;
const TASK_PRIORITY: u32 = 0x08;
const PROCESSOR_PRIORITY: u32 = 0x0a;
const END: u32 = 0x0b;
const LOGICAL_ID: u32 = 0x0d;
const SPURIOUS: u32 = 0x0f;
const IN_SERVICE: u32 = 0x10;
const TRIGGER: u32 = 0x18;
const REQUESTED: u32 = 0x20;
const ERRORS: u32 = 0x28;
const COMMAND: u32 = 0x30;
const LOCAL_VECTORS: u32 = 0x32;
const INITIAL_COUNT: u32 = 0x38;
const CURRENT_COUNT: u32 = 0x39;
const DIVIDE: u32 = 0x3e;
const SELF: u32 = 0x3f;

/// 24 interrupts are not told to others; 6 local vectors.
const VERSION_VALUE: u64 = 0x5_0015;
const LOCAL_VECTOR_COUNT: usize = 6;
const MASKED: u32 = 1 << 16;
const SOFTWARE_ENABLED: u32 = 1 << 8;
/// Timer modes, in its local vector.
const MODE: u32 = 3 << 17;
const PERIODIC: u32 = 1 << 17;
const BY_DEADLINE: u32 = 2 << 17;
/// Vectors below are not for interrupts.
const FIRST_VECTOR: u8 = 16;

/// A register does not exist, or does not take the value: the guest gets a general protection fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// What follows from a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that others care about.
    None,
    /// An interrupt for other vCPUs: which, bit n is vCPU n, the writer among them where it is meant.
    Interrupt {
        /// For whom.
        targets: u32,
        /// Its vector.
        vector: u8,
    },
    /// The interrupt of this vector is over.
    Ended(u8),
    /// Start other vCPUs in real mode, at this page (SIPI).
    Start {
        /// Whom.
        targets: u32,
        /// Guest frame of the first instruction.
        page: u8,
    },
}

/// A set of vectors. Mostly it is empty, which one look tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Vectors {
    words: [u32; 8],
    /// Which words are not 0.
    used: u8,
}

impl Vectors {
    const NONE: Self = Self { words: [0; 8], used: 0 };

    fn set(&mut self, vector: u8, value: bool) {
        let number = vector / 32;
        if let Some(word) = self.words.get_mut(usize::from(number)) {
            let bit = 1 << (vector % 32);
            *word = if value { *word | bit } else { *word & !bit };
            let used = 1 << number;
            self.used = if *word != 0 { self.used | used } else { self.used & !used };
        }
    }

    #[inline(always)]
    fn highest(&self) -> Option<u8> {
        if self.used == 0 { None } else { self.highest_of_some() }
    }

    fn highest_of_some(&self) -> Option<u8> {
        let number = 7u8.checked_sub(self.used.leading_zeros() as u8)?;
        let word = self.words.get(usize::from(number))?;
        Some(number * 32 + 31 - word.leading_zeros() as u8)
    }

    fn word(&self, number: u32) -> u64 {
        self.words.get(number as usize).copied().unwrap_or(0).into()
    }
}

/// Vectors that other CPUs have for a vCPU.
pub struct Posted {
    vectors: [AtomicU64; 4],
    /// There may be some.
    any: AtomicBool,
}

impl Posted {
    /// None.
    pub const fn new() -> Self {
        Self { vectors: [const { AtomicU64::new(0) }; 4], any: AtomicBool::new(false) }
    }

    /// Leaves a vector for it.
    pub fn post(&self, vector: u8) {
        if let Some(word) = self.vectors.get(usize::from(vector / 64)) {
            word.fetch_or(1 << (vector % 64), Ordering::Release);
            self.any.store(true, Ordering::Release);
        }
    }

    /// Is there one?
    #[inline(always)]
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Forgets what was left.
    pub fn clear(&self) {
        self.any.store(false, Ordering::Relaxed);
        self.vectors.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

impl Default for Posted {
    fn default() -> Self {
        Self::new()
    }
}

/// One vCPU's.
#[derive(Clone, Debug)]
pub struct LocalApic {
    /// Its identifier, which is the vCPU's number in its domain.
    id: u8,
    /// How many vCPUs there are.
    count: u8,
    requested: Vectors,
    in_service: Vectors,
    task_priority: u8,
    spurious: u32,
    command: u64,
    local: [u32; LOCAL_VECTOR_COUNT],
    initial: u32,
    divide: u32,
    /// When the timer rings.
    deadline: Option<Nanos>,
}

impl LocalApic {
    /// As after a reset. `count` is how many vCPUs the domain has.
    pub const fn new(id: u8, count: u8) -> Self {
        Self {
            id,
            count,
            requested: Vectors::NONE,
            in_service: Vectors::NONE,
            task_priority: 0,
            spurious: 0xff,
            command: 0,
            local: [MASKED; LOCAL_VECTOR_COUNT],
            initial: 0,
            divide: 0,
            deadline: None,
        }
    }

    /// An interrupt of this vector is requested.
    pub fn request(&mut self, vector: u8) {
        if vector >= FIRST_VECTOR {
            self.requested.set(vector, true);
        }
    }

    /// Takes what others have left.
    #[inline(always)]
    pub fn take(&mut self, posted: &Posted) {
        if posted.any() {
            self.take_some(posted);
        }
    }

    #[inline(never)]
    fn take_some(&mut self, posted: &Posted) {
        // First: what comes from here on is seen next time.
        posted.any.swap(false, Ordering::AcqRel);
        for (word, first) in posted.vectors.iter().zip((0u8..).step_by(64)) {
            let mut bits = word.swap(0, Ordering::Acquire);
            while bits != 0 {
                self.requested.set(first + bits.trailing_zeros() as u8, true);
                bits &= bits - 1;
            }
        }
    }

    /// The priority that interrupts have to exceed.
    fn priority(&self) -> u8 {
        let served = self.in_service.highest().unwrap_or(0);
        if self.task_priority >> 4 >= served >> 4 { self.task_priority } else { served & 0xf0 }
    }

    /// The interrupt that the vCPU could take now, if it takes any.
    #[inline(always)]
    pub fn deliverable(&self) -> Option<u8> {
        let highest = self.requested.highest().filter(|_| self.spurious & SOFTWARE_ENABLED != 0)?;
        (highest >> 4 > self.priority() >> 4).then_some(highest)
    }

    /// The vCPU takes it.
    pub fn accept(&mut self, vector: u8) {
        self.requested.set(vector, false);
        self.in_service.set(vector, true);
    }

    /// The priority below which interrupts wait, as CR8 shows it.
    pub fn task_priority(&self) -> u8 {
        self.task_priority >> 4
    }

    /// The guest wrote it there.
    pub fn set_task_priority(&mut self, priority: u8) {
        if priority != self.task_priority() {
            self.task_priority = priority << 4;
        }
    }

    /// When the timer rings.
    pub fn deadline(&self) -> Option<Nanos> {
        self.deadline
    }

    /// Lets the timer ring if it is time.
    pub fn ring(&mut self, now: Nanos) {
        let Some(deadline) = self.deadline.filter(|at| *at <= now) else { return };
        let vector = self.local[0];
        if vector & MASKED == 0 {
            self.request(vector as u8);
        }
        let period = self.period();
        let again = vector & MODE == PERIODIC && period != 0;
        // What was missed is not made good.
        self.deadline = again.then(|| now + period - (now - deadline) % period);
    }

    /// Sets the deadline of a timer in that mode; `None` is none.
    pub fn set_deadline(&mut self, at: Option<Nanos>) {
        if self.local[0] & MODE == BY_DEADLINE {
            self.deadline = at;
        }
    }

    /// Is the timer in that mode?
    pub fn is_by_deadline(&self) -> bool {
        self.local[0] & MODE == BY_DEADLINE
    }

    /// Nanoseconds of a count.
    fn tick(&self) -> u64 {
        let code = self.divide & 3 | self.divide >> 1 & 4;
        if code == 7 { 1 } else { 2 << code }
    }

    fn period(&self) -> u64 {
        u64::from(self.initial) * self.tick()
    }

    fn count_left(&self, now: Nanos) -> u64 {
        let left = self.deadline.filter(|_| !self.is_by_deadline()).map_or(0, |at| at.saturating_sub(now));
        left / self.tick()
    }

    /// Reads a register.
    ///
    /// # Errors
    /// There is none of this number to be read.
    pub fn read(&self, register: u32, now: Nanos) -> Result<u64, Refused> {
        Ok(match register {
            ID => self.id.into(),
            VERSION => VERSION_VALUE,
            TASK_PRIORITY => self.task_priority.into(),
            PROCESSOR_PRIORITY => self.priority().into(),
            LOGICAL_ID => 1 << (self.id & 15),
            SPURIOUS => self.spurious.into(),
            IN_SERVICE..TRIGGER => self.in_service.word(register - IN_SERVICE),
            TRIGGER..REQUESTED | ERRORS => 0,
            REQUESTED..ERRORS => self.requested.word(register - REQUESTED),
            COMMAND => self.command,
            LOCAL_VECTORS..INITIAL_COUNT => {
                self.local.get((register - LOCAL_VECTORS) as usize).copied().unwrap_or(0).into()
            }
            INITIAL_COUNT => self.initial.into(),
            CURRENT_COUNT => self.count_left(now),
            DIVIDE => self.divide.into(),
            _ => return Err(Refused),
        })
    }

    /// Writes a register.
    ///
    /// # Errors
    /// There is none of this number to be written, or it does not take this.
    pub fn write(&mut self, register: u32, value: u64, now: Nanos) -> Result<Effect, Refused> {
        let small = u32::try_from(value).map_err(|_| Refused);
        match register {
            TASK_PRIORITY => self.task_priority = u8::try_from(value).map_err(|_| Refused)?,
            END => {
                if let Some(vector) = self.in_service.highest() {
                    self.in_service.set(vector, false);
                    return Ok(Effect::Ended(vector));
                }
            }
            SPURIOUS => self.spurious = small? & 0x1ff,
            ERRORS => {}
            COMMAND => {
                self.command = value & !(1 << 12);
                return Ok(self.command(value));
            }
            LOCAL_VECTORS..INITIAL_COUNT => self.set_local((register - LOCAL_VECTORS) as usize, small?),
            INITIAL_COUNT => {
                if !self.is_by_deadline() {
                    self.initial = small?;
                    self.deadline = (self.initial != 0).then(|| now.saturating_add(self.period()));
                }
            }
            DIVIDE => self.divide = small? & 0b1011,
            SELF => return Ok(Effect::Interrupt { targets: self.bit(), vector: value as u8 }),
            _ => return Err(Refused),
        }
        Ok(Effect::None)
    }

    fn set_local(&mut self, number: usize, value: u32) {
        const TIMER_BITS: u32 = 0xff | MASKED | MODE;
        const OTHER_BITS: u32 = 0x7ff | 1 << 13 | 1 << 15 | MASKED;
        let Some(local) = self.local.get_mut(number) else { return };
        let other_mode = number == 0 && (*local ^ value) & MODE != 0;
        *local = value & if number == 0 { TIMER_BITS } else { OTHER_BITS };
        if other_mode {
            self.deadline = None;
        }
    }

    const fn bit(&self) -> u32 {
        1u32.wrapping_shl(self.id as u32)
    }

    /// What a command means.
    fn command(&self, value: u64) -> Effect {
        const LOGICAL: u64 = 1 << 11;
        let all = 1u32.checked_shl(self.count.into()).map_or(!0, |bit| bit - 1);
        let named = (value >> 32) as u32;
        let targets = match value >> 18 & 3 {
            1 => self.bit(),
            2 => all,
            3 => all & !self.bit(),
            _ if named == u32::MAX => all,
            // One cluster of 16.
            _ if value & LOGICAL != 0 => named & 0xffff,
            _ => 1u32.checked_shl(named).unwrap_or(0),
        } & all;
        let vector = value as u8;
        match value >> 8 & 7 {
            // Fixed, and to the one of lowest priority, who is any.
            0 if vector >= FIRST_VECTOR => Effect::Interrupt { targets, vector },
            1 if vector >= FIRST_VECTOR => Effect::Interrupt { targets: targets & targets.wrapping_neg(), vector },
            6 => Effect::Start { targets: targets & !self.bit(), page: vector },
            // INIT comes before that and changes nothing for a vCPU that is off; the rest has no meaning here.
            _ => Effect::None,
        }
    }
}

#[cfg(test)]
mod tests;
