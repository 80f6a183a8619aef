//! The processor's virtual CPU interface, in the form that the machine's interrupt controller has.
//!
//! With a GICv3 it is system registers, with a GICv2 it is memory and its list registers have 32 bits. Everything else
//! here asks this file and knows one form: [`ListRegisters`] hold what a GICv3 has, and are translated on the way.
//! [`gich::get`] decides; what it reads changes once, at boot, so that the branch costs a GICv3 next to nothing.

use aarch64_cpu::registers::{Readable, Writeable};
use hyp_boot::guest_tree::{GUEST_GICD, GUEST_GICD_V2, GUEST_GICR};
use hyp_core::arch::VcpuMask;
use hyp_dev::gich::{self, Gich};
use hyp_dev::sysreg;

use crate::lock::Lock;
use crate::vgic::v3::Region;
use crate::vgic::{ListRegisters, Shown, Vgic, Width, v2, v3};
use crate::vtimer::{self, VIRTUAL_TIMER};

/// ICH_HCR_EL2.En, GICH_HCR.En.
const ON: u64 = 1;
/// ICH_LR<n>_EL2: pending.
const PENDING: u64 = 1 << 62;
/// GICH_LR<n>: pending.
const GICH_PENDING: u32 = 1 << 28;
/// EOIcount of ICH_HCR_EL2 and of GICH_HCR.
const EOI_COUNT_SHIFT: u32 = 27;

/// What of the interface a vCPU takes along: what its guest did to priority mask, enables and running priority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InterfaceState {
    /// ICH_VMCR_EL2, or GICH_VMCR, which is laid out otherwise.
    machine_control: u64,
    /// ICH_AP0R0_EL2 and ICH_AP1R0_EL2, or GICH_APR.
    active_priorities: [u64; 2],
    /// ICC_SRE_EL1, which a GICv2 does not have.
    system_registers: u64,
}

/// ICC_SRE_EL1 after reset: system registers in use, no bypass, as EL2 has it.
const SYSTEM_REGISTERS_ON: u64 = 7;

impl InterfaceState {
    /// After reset: everything masked, nothing active.
    pub(crate) const fn reset() -> Self {
        Self { machine_control: 0, active_priorities: [0; 2], system_registers: SYSTEM_REGISTERS_ON }
    }

    /// Puts it into the processor.
    #[inline]
    pub(crate) fn load(&self) {
        let [group0, group1] = self.active_priorities;
        if let Some(gich) = gich::get() {
            gich.machine_control.set(self.machine_control as u32);
            gich.active_priorities.set(group0 as u32);
            return;
        }
        sysreg::write_icc_sre_el1(self.system_registers);
        sysreg::write_ich_vmcr_el2(self.machine_control);
        sysreg::write_ich_ap0r0_el2(group0);
        sysreg::write_ich_ap1r0_el2(group1);
    }

    /// Takes it out.
    #[inline]
    pub(crate) fn save(&mut self) {
        *self = match gich::get() {
            Some(gich) => Self {
                machine_control: gich.machine_control.get().into(),
                active_priorities: [gich.active_priorities.get().into(), 0],
                system_registers: SYSTEM_REGISTERS_ON,
            },
            None => Self {
                machine_control: sysreg::read_ich_vmcr_el2(),
                active_priorities: [sysreg::read_ich_ap0r0_el2(), sysreg::read_ich_ap1r0_el2()],
                system_registers: sysreg::read_icc_sre_el1(),
            },
        };
    }
}

/// How many list registers this CPU has.
pub(crate) fn list_registers() -> usize {
    match gich::get() {
        // GICH_VTR.ListRegs: their number less one.
        Some(gich) => (gich.kind.get() & 0x3f) as usize + 1,
        None => sysreg::list_registers(),
    }
}

/// Folds the hardware's list registers back into `lists`.
#[inline]
pub(crate) fn read(lists: &mut ListRegisters) {
    if let Some(gich) = gich::get() {
        return read_memory(gich, lists);
    }
    for i in 0..lists.used() {
        lists.set(i, sysreg::read_ich_lr_el2(usize::from(i)));
    }
    if lists.control() != 0 {
        lists.set_eoi_count((sysreg::read_ich_hcr_el2() >> EOI_COUNT_SHIFT) as u8);
    }
}

#[inline(never)]
fn read_memory(gich: &Gich, lists: &mut ListRegisters) {
    for (i, register) in (0..lists.used()).zip(&gich.lists) {
        lists.set(i, v2::from_hardware(register.get()));
    }
    if lists.control() != 0 {
        lists.set_eoi_count((gich.control.get() >> EOI_COUNT_SHIFT) as u8);
    }
}

/// Writes what a flush has changed, and lets the guest see it.
#[inline]
pub(crate) fn write(lists: &ListRegisters) {
    if let Some(gich) = gich::get() {
        return write_memory(gich, lists);
    }
    for (i, value) in lists.to_write().iter().enumerate() {
        sysreg::write_ich_lr_el2(i, *value);
    }
    sysreg::write_ich_hcr_el2(ON | lists.control());
}

#[inline(never)]
fn write_memory(gich: &Gich, lists: &ListRegisters) {
    for (value, register) in lists.to_write().iter().zip(&gich.lists) {
        register.set(v2::to_hardware(*value));
    }
    gich.control.set((ON | lists.control()) as u32);
    // The guest's side of the interface is another device to the processor, which might reach it first.
    sysreg::dsb_sy();
}

/// Empties the first so many list registers.
#[inline(never)]
pub(crate) fn clear(count: u8) {
    if let Some(gich) = gich::get() {
        return gich.lists.iter().take(count.into()).for_each(|register| register.set(0));
    }
    (0..count).for_each(|i| sysreg::write_ich_lr_el2(i.into(), 0));
}

/// What a CPU needs once, before it runs guests: nobody's interrupts are in it.
pub(crate) fn init_cpu() {
    clear(list_registers() as u8);
    off();
}

/// Is there an interrupt left in the loaded vCPU's list registers, or a completion that is to be noticed?
#[inline(always)]
pub(crate) fn has_work(lists: &ListRegisters) -> bool {
    match (lists.used(), gich::get()) {
        (0, _) => false,
        (_, Some(_)) => true,
        (used, None) => !sysreg::read_ich_elrsr_el2() & (1u64.wrapping_shl(used.into())).wrapping_sub(1) != 0,
    }
}

/// Is one of the loaded vCPU's list registers pending?
#[inline(always)]
pub(crate) fn any_pending(lists: &ListRegisters) -> bool {
    has_work(lists) && is_one_pending(lists)
}

#[inline(never)]
fn is_one_pending(lists: &ListRegisters) -> bool {
    if let Some(gich) = gich::get() {
        return gich.lists.iter().take(lists.used().into()).any(|register| register.get() & GICH_PENDING != 0);
    }
    (0..lists.used()).any(|i| sysreg::read_ich_lr_el2(usize::from(i)) & PENDING != 0)
}

/// Nobody's interrupts are shown, and no maintenance interrupt comes.
#[inline]
pub(crate) fn off() {
    if let Some(gich) = gich::get() {
        return gich.control.set(0);
    }
    sysreg::write_ich_hcr_el2(0);
    sysreg::isb();
}

/// [`Vgic::show_again`] for a private interrupt. Returns whether that was all there was to do.
#[inline(always)]
pub(crate) fn show_again(vgic: &mut Vgic, vcpu: u8, lists: &mut ListRegisters, intid: u32) -> bool {
    if gich::get().is_some() {
        return false;
    }
    let shown = vgic.show_again(vcpu, lists, intid, |slot| sysreg::read_ich_lr_el2(usize::from(slot)));
    if let Some((slot, value)) = shown {
        sysreg::write_ich_lr_el2(usize::from(slot), value);
    }
    shown.is_some()
}

/// [`Vgic::show`] for each of some private interrupts (bit n: INTID n), where that can be done. `false`: the list registers
/// have to be made anew.
#[inline(always)]
pub(crate) fn show(vgic: &mut Vgic, vcpu: u8, lists: &mut ListRegisters, mut intids: u32) -> bool {
    if gich::get().is_some() {
        return false;
    }
    while intids != 0 {
        let intid = intids.trailing_zeros();
        intids &= intids.wrapping_sub(1);
        match vgic.show(vcpu, lists, intid, |slot| sysreg::read_ich_lr_el2(usize::from(slot))) {
            Shown::There => {}
            Shown::In(slot, value) => sysreg::write_ich_lr_el2(usize::from(slot), value),
            Shown::NoRoom => return false,
        }
    }
    true
}

/// Takes back a private interrupt that is not pending any more, if a list register says that it is. `false`: the list
/// registers have to be made anew.
#[inline(always)]
pub(crate) fn withdraw(vgic: &Vgic, lists: &ListRegisters, vcpu: u8, intid: u32) -> bool {
    if gich::get().is_some() {
        return false;
    }
    if let Some(slot) = vgic.slot_of(vcpu, lists, intid) {
        let value = sysreg::read_ich_lr_el2(usize::from(slot));
        if value & PENDING != 0 {
            sysreg::write_ich_lr_el2(usize::from(slot), value & !PENDING);
        }
    }
    true
}

/// [`Vgic::sync`], in the form that fits.
#[inline]
pub(crate) fn sync(vgic: &mut Vgic, vcpu: u8, lists: &mut ListRegisters) -> VcpuMask {
    if gich::get().is_some() { v2::sync(vgic, vcpu, lists) } else { vgic.sync(vcpu, lists) }
}

/// [`Vgic::flush`], in the form that fits.
#[inline]
pub(crate) fn flush(vgic: &mut Vgic, vcpu: u8, lists: &mut ListRegisters) {
    if gich::get().is_some() { v2::flush(vgic, vcpu, lists) } else { vgic.flush(vcpu, lists) }
}

/// [`Vgic::flush_one`] for the vCPU that comes onto this CPU, and the list registers written.
#[inline(always)]
pub(crate) fn flush_one(vgic: &mut Vgic, vcpu: u8, lists: &mut ListRegisters) -> bool {
    if gich::get().is_some() || !vgic.flush_one(vcpu, lists) {
        return false;
    }
    if let [value, ..] = lists.to_write() {
        sysreg::write_ich_lr0_el2(*value);
    }
    sysreg::write_ich_hcr_el2(ON);
    true
}

/// Which register of the virtual interrupt controller lies at a guest-physical address.
#[inline]
pub(crate) fn register(ipa: u64) -> Option<(Region, u32)> {
    if gich::get().is_none() {
        return register_v3(ipa);
    }
    let offset = ipa.wrapping_sub(GUEST_GICD_V2.start);
    (offset < GUEST_GICD_V2.size).then_some((Region::Distributor, offset as u32))
}

#[inline(always)]
const fn register_v3(ipa: u64) -> Option<(Region, u32)> {
    let offset = ipa.wrapping_sub(GUEST_GICR.start);
    if offset < GUEST_GICR.size {
        return Some((Region::Redistributors, offset as u32));
    }
    let offset = ipa.wrapping_sub(GUEST_GICD.start);
    if offset < GUEST_GICD.size { Some((Region::Distributor, offset as u32)) } else { None }
}

/// What a guest-physical address reads as, where that is a register of a virtual GICv3 and nothing is in the list
/// registers that it could show: most of what drivers read takes this way.
#[inline(always)]
pub(crate) fn quick_read(vgic: &Lock<Vgic>, lists: &ListRegisters, vcpu: u8, ipa: u64, width: Width) -> Option<u64> {
    if gich::get().is_some() || lists.used() != 0 {
        return None;
    }
    let (region, offset) = register_v3(ipa)?;
    if shows_timer(offset) {
        return None;
    }
    Some(v3::read(&vgic.lock(), vcpu, region, offset, width))
}

/// [`v3::read`], in the form that fits.
#[inline]
pub(crate) fn read_register(vgic: &Vgic, vcpu: u8, (region, offset): (Region, u32), width: Width) -> u64 {
    let value = match gich::get() {
        Some(_) => v2::read(vgic, vcpu, offset, width),
        None => v3::read(vgic, vcpu, region, offset, width),
    };
    if shows_timer(offset) && width == Width::Word { with_timer(vgic, vcpu, (region, offset), value) } else { value }
}

/// Could this be ISPENDR0 or ICPENDR0, in a GICv2's distributor or in a redistributor's second frame?
const fn shows_timer(offset: u32) -> bool {
    offset & 0xff7f == 0x200
}

/// What ISPENDR0 shows, with the timer's line as it is now: it may have risen and not been taken yet, or have fallen since
/// it was.
#[cold]
#[inline(never)]
fn with_timer(vgic: &Vgic, vcpu: u8, (region, offset): (Region, u32), value: u64) -> u64 {
    let own = match region {
        Region::Distributor => gich::get().is_some(),
        Region::Redistributors => offset & !0xffff == u32::from(vcpu) * v3::REDISTRIBUTOR_BYTES + 0x1_0000,
    };
    let timer = 1 << VIRTUAL_TIMER;
    match own {
        true if vtimer::is_line_up() => value | timer,
        true if vgic.physical(vcpu) & timer as u32 != 0 => value & !timer,
        _ => value,
    }
}

/// [`v3::write`], in the form that fits.
#[inline]
pub(crate) fn write_register(
    vgic: &mut Vgic,
    vcpu: u8,
    (region, offset): (Region, u32),
    width: Width,
    value: u64,
) -> VcpuMask {
    match gich::get() {
        Some(_) => v2::write(vgic, vcpu, offset, width, value),
        None => v3::write(vgic, vcpu, region, offset, width, value),
    }
}

/// [`v3::sgi_register`]; a GICv2 has no such registers.
#[inline]
pub(crate) fn sgi_register(iss: u32) -> Option<v3::SgiRegister> {
    let register = v3::sgi_register(iss)?;
    gich::get().is_none().then_some(register)
}
