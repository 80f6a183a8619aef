//! The page that a domain and the hypervisor share.
//!
//! Pending and masked events, and the wall clock. Both sides write it at the same time, so it is accessed by offsets
//! into a page of atomic words; the structures are there for guests' tools and for tests. Sources: `public/xen.h`,
//! `public/arch-arm.h`, `public/arch-x86/xen.h`. Offsets are in bytes from the start of the page, for arm64, where the
//! page holds the [`VcpuInfo`] of vCPU 0 alone: the others must register theirs. What differs elsewhere is in [`Layout`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where in the page an architecture has what, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How many vCPUs have their info in the page from the start (`XEN_LEGACY_MAX_VCPUS`).
    pub vcpus: usize,
    /// Bytes of each (`sizeof(struct vcpu_info)`).
    pub vcpu_info: usize,
    /// Offset in it of its [`VcpuTimeInfo`].
    pub time: usize,
    /// Offset of the pending bits, [`EVTCHN_WORDS`] words.
    pub pending: usize,
    /// Offset of the mask bits, as many.
    pub mask: usize,
}

impl Layout {
    /// arm64.
    pub const ARM: Self = Self {
        vcpus: LEGACY_MAX_VCPUS,
        vcpu_info: VCPU_INFO_SIZE,
        time: TIME,
        pending: EVTCHN_PENDING,
        mask: EVTCHN_MASK,
    };
    /// 64-bit x86, whose `vcpu_info` has two more words for paravirtual kernels before the clock.
    pub const X86: Self = Self { vcpus: 32, vcpu_info: 64, time: 32, pending: 2048, mask: 2560 };
}

/// How many vCPUs have their info in the page on ARM (`XEN_LEGACY_MAX_VCPUS`).
pub const LEGACY_MAX_VCPUS: usize = 1;
/// Offset of vCPU 0's [`VcpuInfo`].
pub const VCPU_INFO: usize = 0;
/// Offset of the pending bits, one for each port, 64 words.
pub const EVTCHN_PENDING: usize = 48;
/// Offset of the mask bits, one for each port, 64 words.
pub const EVTCHN_MASK: usize = 560;
/// Words of pending bits, and words of mask bits.
pub const EVTCHN_WORDS: usize = 64;
/// Offset of the wall clock's version counter; odd while it changes.
pub const WC_VERSION: usize = 1072;
/// Offset of the wall clock's seconds, low word: Unix time at system time 0.
pub const WC_SEC: usize = 1076;
/// Offset of the wall clock's nanoseconds.
pub const WC_NSEC: usize = 1080;
/// Offset of the wall clock's seconds, high word.
pub const WC_SEC_HI: usize = 1084;
/// Offset of what each architecture adds: nothing on ARM.
pub const ARCH: usize = 1088;

/// Offset in a [`VcpuInfo`] of the byte that says that an event is pending.
pub const EVTCHN_UPCALL_PENDING: usize = 0;
/// Offset in a [`VcpuInfo`] of the byte that masks the upcall on x86 PV; ARM has padding here.
pub const EVTCHN_UPCALL_MASK: usize = 1;
/// Offset in a [`VcpuInfo`] of the selector word: a bit for each word of pending bits.
pub const EVTCHN_PENDING_SEL: usize = 8;
/// Offset in a [`VcpuInfo`] of its [`VcpuTimeInfo`].
pub const TIME: usize = 16;
/// Bytes of a [`VcpuInfo`] on arm64.
pub const VCPU_INFO_SIZE: usize = 48;

/// Parameters of the paravirtual clock (`struct vcpu_time_info`); unused on ARM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VcpuTimeInfo {
    /// Odd while the record changes.
    pub version: u32,
    /// Padding.
    pub pad0: u32,
    /// Counter at the last update.
    pub tsc_timestamp: u64,
    /// ns since start at the last update.
    pub system_time: u64,
    /// ns for each count, as a fraction of 2^32.
    pub tsc_to_system_mul: u32,
    /// By how much counts are shifted first.
    pub tsc_shift: i8,
    /// `XEN_PVCLOCK_*`.
    pub flags: u8,
    /// Padding.
    pub pad1: [u8; 2],
}

/// What a vCPU shares with the hypervisor (`struct vcpu_info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VcpuInfo {
    /// Not 0: an event is pending.
    pub evtchn_upcall_pending: u8,
    /// The upcall mask on x86 PV, else padding.
    pub pad0: u8,
    /// Padding.
    pub pad1: [u8; 6],
    /// A bit for each word of pending bits.
    pub evtchn_pending_sel: u64,
    /// The paravirtual clock.
    pub time: VcpuTimeInfo,
}

/// The whole page's used part (`struct shared_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SharedInfo {
    /// vCPU 0.
    pub vcpu_info: [VcpuInfo; LEGACY_MAX_VCPUS],
    /// Pending bits.
    pub evtchn_pending: [u64; EVTCHN_WORDS],
    /// Mask bits.
    pub evtchn_mask: [u64; EVTCHN_WORDS],
    /// Odd while the wall clock changes.
    pub wc_version: u32,
    /// Unix time at system time 0, low word.
    pub wc_sec: u32,
    /// And its nanoseconds.
    pub wc_nsec: u32,
    /// And its seconds' high word.
    pub wc_sec_hi: u32,
}
