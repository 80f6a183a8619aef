//! What a guest was left for, in the architecture's words: the same for both makers of processors.

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A physical interrupt, which still waits.
    Interrupt,
    /// The guest can take an interrupt now, as was asked for.
    Window,
    /// A hypercall.
    Hypercall,
    /// HLT.
    Halt,
    /// CPUID.
    Cpuid,
    /// RDMSR.
    ReadMsr,
    /// WRMSR.
    WriteMsr,
    /// IN or OUT.
    Port(Port),
    /// The second stage refused an access.
    Memory {
        /// Guest-physical address.
        address: u64,
        /// It was a write.
        write: bool,
        /// It was an instruction fetch.
        fetch: bool,
    },
    /// An exception that the guest gets after all: it leaves the guest only so that one that comes again and again does
    /// not keep the processor.
    Exception {
        /// Its vector.
        vector: u8,
        /// Its error code, if it has one.
        error: Option<u32>,
    },
    /// An instruction that writes back caches: 2 bytes.
    CacheControl,
    /// An instruction that the guest's processor does not have.
    Undefined,
    /// One that it has and that must not be executed in this way.
    Forbidden,
    /// Dealt with already.
    Nothing,
    /// A triple fault.
    TripleFault,
    /// The processor refuses the guest's state.
    Invalid,
    /// What must not happen: the maker's own number.
    Unknown(u64),
}

/// An access to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Which.
    pub port: u16,
    /// Bytes: 1, 2 or 4.
    pub size: u8,
    /// IN.
    pub input: bool,
    /// With a string in memory.
    pub string: bool,
    /// The next instruction.
    pub next: u64,
}
