//! Guests: closures that say what they do next.

use std::array;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hyp_core::arch::{BadAddress, Exit, Page};
use hyp_core::limits::GRANT_FRAMES;
use hyp_core::time::Nanos;

use crate::memory::{AddressSpace, PAGE};

/// Bytes of a guest's memory, at address 0.
const MEMORY: usize = 0x1_0000;
/// Bytes of a word.
const WORD: usize = size_of::<u64>();
/// From here on its memory can be read and not written.
pub const READ_ONLY: u64 = 0xf000;
/// Where a guest keeps the structures that it passes.
pub const ARGUMENTS: u64 = 0x1000;

/// What a guest does next.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// It computes for so long.
    Compute(Nanos),
    /// It leaves its code for this reason.
    Exit(Exit),
    /// It makes a hypercall.
    Hypercall(u64, [u64; 5]),
}

impl Act {
    /// It makes a hypercall.
    pub fn call<const N: usize>(number: u64, args: [u64; N]) -> Self {
        let mut all = [0; 5];
        all[..N].copy_from_slice(&args);
        Self::Hypercall(number, all)
    }
}

/// What a guest's code can see and touch.
pub struct Guest<'a> {
    /// The time.
    pub now: Nanos,
    /// Index of the vCPU.
    pub index: u8,
    /// The CPU on which it runs.
    pub cpu: u8,
    /// Entry point and argument with which it was started.
    pub start: (u64, u64),
    /// Result of the last call.
    pub result: u64,
    /// Level of the event interrupt.
    pub line: bool,
    /// The vCPU's timer: when it fires.
    pub timer: &'a mut Option<Nanos>,
    /// It fired; to be cleared by the guest.
    pub timer_fired: &'a mut bool,
    /// The domain.
    pub domain: &'a FakeDomain,
}

impl Guest<'_> {
    /// Makes a hypercall with a structure, given as bytes, as its argument number `at`.
    pub fn call_with(&self, number: u64, mut args: [u64; 3], at: usize, structure: &[u8]) -> Act {
        self.domain.with_range(ARGUMENTS, structure.len(), |memory| memory.copy_from_slice(structure)).unwrap();
        args[at] = ARGUMENTS;
        Act::call(number, args)
    }

    /// The structure of the last such call, as it is now.
    pub fn answer<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.domain.with_range(ARGUMENTS, N, |memory| bytes.copy_from_slice(memory)).unwrap();
        bytes
    }
}

/// A guest's code: called whenever it has nothing left to do.
pub type Program = Box<dyn FnMut(&mut Guest<'_>) -> Act + Send>;

/// Makes a program for each start of a vCPU.
pub type Maker = Arc<dyn Fn() -> Program + Send + Sync>;

/// A maker of programs, each with its own copy of `state`.
pub fn program<S: Clone + Send + Sync + 'static>(
    state: S,
    code: impl Fn(&mut S, &mut Guest<'_>) -> Act + Clone + Send + Sync + 'static,
) -> Maker {
    Arc::new(move || {
        let (mut state, code) = (state.clone(), code.clone());
        Box::new(move |guest| code(&mut state, guest))
    })
}

/// A vCPU.
pub struct FakeVcpu {
    make: Maker,
    program: Program,
    start: (u64, u64),
    pub(crate) left: Nanos,
    pub(crate) result: u64,
    pub(crate) last: Option<Exit>,
    pub(crate) call: (u64, [u64; 5]),
    pub(crate) repeats: bool,
    pub(crate) line: bool,
    pub(crate) timer: Option<Nanos>,
    pub(crate) timer_fired: bool,
    pub(crate) loaded: bool,
    /// The CPU on which it was loaded last, unless it left that.
    pub(crate) cpu: Option<u8>,
}

impl FakeVcpu {
    /// A vCPU that will run such a program.
    pub fn new(make: Maker) -> Self {
        let program = make();
        Self {
            make,
            program,
            start: (0, 0),
            left: 0,
            result: 0,
            last: None,
            call: (0, [0; 5]),
            repeats: false,
            line: false,
            timer: None,
            timer_fired: false,
            loaded: false,
            cpu: None,
        }
    }

    pub(crate) fn reset(&mut self, _: u8, entry: u64, argument: u64) {
        let fresh = Self::new(self.make.clone());
        *self = Self { start: (entry, argument), cpu: self.cpu, ..fresh };
    }

    pub(crate) fn act(&mut self, domain: &FakeDomain, index: u8, now: Nanos) -> Act {
        let Self { program, timer, timer_fired, .. } = self;
        let (start, result, line, cpu) = (self.start, self.result, self.line, self.cpu.unwrap());
        program(&mut Guest { now, index, cpu, start, result, line, timer, timer_fired, domain })
    }
}

/// A domain's memory.
pub struct FakeDomain {
    /// In words, as guests and the hypervisor share them.
    memory: Vec<AtomicU64>,
    /// The shared-info page.
    pub shared: Page,
    /// The first frames of its RAM.
    pub pages: [Page; 2],
    /// The pages that it has in common with an I/O domain, if it has.
    pub io_pages: Option<Box<[Page; 2]>>,
    /// The grant table.
    pub grants: [Page; GRANT_FRAMES],
    /// What it sees where.
    pub space: Mutex<AddressSpace>,
    /// How often it was brought back to its first state.
    pub resets: AtomicU32,
}

impl Default for FakeDomain {
    fn default() -> Self {
        let page = || array::from_fn(|_| AtomicU64::new(0));
        let memory = (0..MEMORY / WORD).map(|_| AtomicU64::new(0)).collect();
        let space = Mutex::new(AddressSpace::new(MEMORY as u64));
        let grants = array::from_fn(|_| page());
        Self {
            memory,
            shared: page(),
            pages: [page(), page()],
            io_pages: None,
            grants,
            space,
            resets: AtomicU32::new(0),
        }
    }
}

impl FakeDomain {
    /// One that has pages in common with an I/O domain, in which anything stands.
    pub fn with_io_pages() -> Self {
        let page = || array::from_fn(|_| AtomicU64::new(!0));
        Self { io_pages: Some(Box::new([page(), page()])), ..Self::default() }
    }

    pub(crate) fn with_range(&self, from: u64, size: usize, look: impl FnOnce(&mut [u8])) -> Result<(), BadAddress> {
        let from = usize::try_from(from).map_err(|_| BadAddress)?;
        let end = from.checked_add(size).filter(|end| *end <= MEMORY).ok_or(BadAddress)?;
        let words = &self.memory[from / WORD..end.div_ceil(WORD).max(from / WORD)];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Ordering::SeqCst).to_le_bytes()).collect();
        look(&mut bytes[from % WORD..][..size]);
        for (word, bytes) in words.iter().zip(bytes.chunks(WORD)) {
            word.store(u64::from_le_bytes(bytes.try_into().unwrap()), Ordering::SeqCst);
        }
        Ok(())
    }

    /// Words of its memory, where they are aligned, in one page, and may be written.
    pub(crate) fn words(&self, at: u64, count: usize) -> Option<&[AtomicU64]> {
        let size = (count * WORD) as u64;
        let end = at.checked_add(size).filter(|end| *end <= READ_ONLY)?;
        let whole = at.is_multiple_of(WORD as u64) && at / PAGE == (end - 1) / PAGE;
        whole.then(|| &self.memory[at as usize / WORD..][..count])
    }

    /// Puts bytes into the guest's memory.
    pub fn put(&self, at: u64, bytes: &[u8]) {
        self.with_range(at, bytes.len(), |memory| memory.copy_from_slice(bytes)).unwrap();
    }

    /// Bytes of the guest's memory.
    pub fn get(&self, at: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        self.with_range(at, size, |memory| bytes.copy_from_slice(memory)).unwrap();
        bytes
    }

    pub(crate) fn reset(&self, step: u32) -> Option<(u64, u64)> {
        if step < crate::RESET_STEPS {
            return None;
        }
        self.memory.iter().for_each(|word| word.store(0, Ordering::SeqCst));
        self.space.lock().unwrap().reset();
        self.grants.iter().flatten().for_each(|word| word.store(0, Ordering::Relaxed));
        self.resets.fetch_add(1, Ordering::Relaxed);
        Some((0x8000, 0x9000))
    }
}
