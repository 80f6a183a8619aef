//! What a vCPU is on this port, and its turn on a processor: in, out, and the state it starts in.

use core::arch::asm;

use hyp_core::time::Nanos;

use crate::domain::X86Domain;
use crate::guest_cpu::{GuestCpu, Start, Virtualization};
use crate::nested::recent::Recent;
use crate::pool::PoolEmpty;
use crate::timer;
use crate::vlapic::LocalApic;

/// What a vCPU is started with that begins in real mode instead of as a PVH guest does: no address of anything.
pub(crate) const REAL_MODE: u64 = u64::MAX;

/// Registers by the numbers that instructions give them.
pub(crate) const RAX: usize = 0;
pub(crate) const RCX: usize = 1;
pub(crate) const RDX: usize = 2;
pub(crate) const RBX: usize = 3;
pub(crate) const RSI: usize = 6;
pub(crate) const RDI: usize = 7;
pub(crate) const R8: usize = 8;
pub(crate) const R10: usize = 10;
/// Where a hypercall has its arguments (`public/arch-x86/xen-x86_64.h`).
pub(crate) const ARGUMENTS: [usize; 5] = [RDI, RSI, RDX, R10, R8];

/// The general registers but rsp, whose place is unused.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Registers([u64; 16]);

impl Registers {
    /// A register.
    #[inline(always)]
    pub(crate) fn get(&self, number: usize) -> u64 {
        self.0.get(number).copied().unwrap_or(0)
    }

    /// Sets it.
    #[inline(always)]
    pub(crate) fn set(&mut self, number: usize, value: u64) {
        if let Some(register) = self.0.get_mut(number) {
            *register = value;
        }
    }

    /// Sets it as 32-bit code does.
    pub(crate) fn set32(&mut self, number: usize, value: u32) {
        self.set(number, value.into());
    }

    /// EDX:EAX.
    pub(crate) fn pair(&self) -> u64 {
        self.get(RAX) & 0xffff_ffff | self.get(RDX) << 32
    }

    /// Sets EDX:EAX.
    pub(crate) fn set_pair(&mut self, value: u64) {
        self.set32(RAX, value as u32);
        self.set32(RDX, (value >> 32) as u32);
    }
}

/// x87 and SSE registers as FXSAVE keeps them (Intel SDM 1, 10.5).
#[repr(C, align(16))]
struct Float([u8; 512]);

impl Float {
    /// As after a reset: all exceptions masked.
    const fn reset() -> Self {
        let mut area = [0; 512];
        [area[0], area[1]] = 0x37fu16.to_le_bytes();
        [area[24], area[25]] = 0x1f80u16.to_le_bytes();
        Self(area)
    }
}

/// How the event interrupt stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventLine {
    /// It went up, and the guest has not been told.
    pub(crate) raised: bool,
}

/// One vCPU.
pub struct X86Vcpu {
    pub(crate) registers: Registers,
    pub(crate) processor: GuestCpu,
    float: Float,
    /// DR0 to DR3, which nothing else keeps.
    breakpoints: [u64; 4],
    pub(crate) apic: LocalApic,
    pub(crate) event: EventLine,
    /// What its hypercalls touched.
    pub(crate) recent: Recent,
    /// How many vCPUs its domain has.
    count: u8,
}

impl X86Vcpu {
    /// A vCPU that is off. `number` is its number in the machine, `index` in its domain of `count` vCPUs.
    pub(crate) fn new(number: u64, index: u8, count: u8) -> Result<Self, PoolEmpty> {
        Ok(Self {
            registers: Registers::default(),
            processor: GuestCpu::new(number)?,
            float: Float::reset(),
            breakpoints: [0; 4],
            apic: LocalApic::new(index, count),
            event: EventLine::default(),
            recent: Recent::new(),
            count,
        })
    }

    /// The state in which it starts: a PVH guest at `entry` with what it is told at `argument`.
    pub fn reset(&mut self, domain: &X86Domain, index: u8, entry: u64, argument: u64) {
        self.registers = Registers::default();
        if argument == REAL_MODE {
            self.processor.reset(domain.root, domain.ports, Start::Real(entry));
        } else {
            self.registers.set(RBX, argument);
            self.processor.reset(domain.root, domain.ports, Start::Protected(entry));
        }
        self.float = Float::reset();
        self.breakpoints = [0; 4];
        self.apic = LocalApic::new(index, self.count);
        self.event = EventLine::default();
    }

    /// How many vCPUs its domain has.
    pub(crate) fn count(&self) -> u8 {
        self.count
    }

    /// When its timer wants the vCPU to run.
    pub fn timer_deadline(&self) -> Option<Nanos> {
        self.apic.deadline()
    }

    /// Its timer has an interrupt for it that it has not seen.
    pub(crate) fn is_ringing(&self, now: Nanos) -> bool {
        self.apic.deadline().is_some_and(|at| at <= now)
    }

    /// Puts it into the processor.
    pub fn load(&mut self) {
        self.processor.load();
        // SAFETY: the area is one, aligned, and came from FXSAVE or has a valid MXCSR.
        unsafe { asm!("fxrstor64 [{}]", in(reg) &raw const self.float, options(nostack, preserves_flags)) };
        let [a, b, c, d] = self.breakpoints;
        // SAFETY: addresses of breakpoints, which the hypervisor does not use and which are off while it runs.
        unsafe {
            asm!("mov dr0, {}", "mov dr1, {}", "mov dr2, {}", "mov dr3, {}", in(reg) a, in(reg) b, in(reg) c, in(reg) d,
                options(nomem, nostack, preserves_flags));
        }
        timer::set_guest(self.apic.deadline());
    }

    /// Takes it out.
    pub fn save(&mut self) {
        timer::set_guest(None);
        self.processor.save();
        // SAFETY: the area is one, and aligned.
        unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut self.float, options(nostack, preserves_flags)) };
        let (a, b, c, d): (u64, u64, u64, u64);
        // SAFETY: reads only.
        unsafe {
            asm!("mov {}, dr0", "mov {}, dr1", "mov {}, dr2", "mov {}, dr3", out(reg) a, out(reg) b, out(reg) c, out(reg) d,
                options(nomem, nostack, preserves_flags));
        }
        self.breakpoints = [a, b, c, d];
    }
}

/// What a CPU needs once before it runs guests: SSE state can be saved, and the float unit does not trap.
pub fn init_cpu() {
    const CR4_OSFXSR: u64 = 1 << 9 | 1 << 10;
    const CR0_EM_TS: u64 = 1 << 2 | 1 << 3;
    // SAFETY: allows FXSAVE to keep all that a guest can use, and makes no instruction of the hypervisor's behave otherwise.
    unsafe {
        asm!("mov {t}, cr4", "or {t}, {or}", "mov cr4, {t}", "mov {t}, cr0", "and {t}, {and}", "mov cr0, {t}",
            t = out(reg) _, or = in(reg) CR4_OSFXSR, and = in(reg) !CR0_EM_TS, options(nostack));
    }
    crate::guest_cpu::init_cpu();
}
