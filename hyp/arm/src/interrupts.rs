//! Physical interrupts as EL2 takes them, and virtual ones on their way into list registers.
//!
//! List registers stay in the hardware over exits. They are read back and made anew only when the domain's interrupt
//! controller marked the vCPU *stale*; an exit that has nothing to do with interrupts touches nothing here.

use core::sync::atomic::Ordering;

use hyp_core::arch::{Exit, Interrupt, VcpuMask};
use hyp_dev::gic::{Acknowledged, Gic, Trigger};
use hyp_dev::sysreg;
use hyp_dev::timer::stop_alarm;
use hyp_log::Shown;
use spin::Once;

use crate::domain::ArmDomain;
use crate::ptimer::PHYSICAL_TIMER;
use crate::vcpu::ArmVcpu;
use crate::vgic::{ListRegisters, Vgic, v3};
use crate::vtimer::{self, VIRTUAL_TIMER};
use crate::{console, devices, keyboard, percpu, virtual_interface};

/// The SGI by which one CPU calls another.
pub(crate) const KICK: u32 = 1;
/// INTID of the event channels' interrupt (PPI 15).
pub(crate) const EVENT_CHANNEL: u32 = 31;
/// Priority of the serial port: behind everything else.
const KEYBOARD_PRIORITY: u8 = 0xf0;

/// The machine's interrupt controller, and the INTIDs of EL2's own interrupts.
pub(crate) struct Own {
    pub gic: Gic,
    pub timer: u32,
    pub maintenance: u32,
    /// The serial port's, where it has one.
    pub keyboard: Option<u32>,
}

static OWN: Once<Own> = Once::new();

/// The machine's interrupt controller, once it is known.
pub(crate) fn gic() -> Option<&'static Gic> {
    OWN.get().map(|own| &own.gic)
}

/// Notes the machine's interrupt controller and brings it to a known state.
pub(crate) fn init(own: Own) {
    own.gic.init();
    OWN.call_once(|| own);
}

/// Brings this CPU's part to a known state and enables what EL2 takes.
pub(crate) fn init_cpu() -> Result<(), hyp_dev::gic::GicError> {
    let Some(Own { gic, timer, maintenance, .. }) = OWN.get() else { return Ok(()) };
    // What a loader left switched on would interrupt at once.
    sysreg::write_cntv_ctl_el0(0);
    sysreg::write_cntp_ctl_el0(0);
    sysreg::write_cnthp_ctl_el2(0);
    sysreg::isb();
    gic.init_cpu()?;
    let private = gic.private_interrupts()?;
    private.set_active(!0, false);
    percpu::this().private_interrupts.call_once(|| private);
    [KICK, *timer, *maintenance, VIRTUAL_TIMER, PHYSICAL_TIMER]
        .into_iter()
        .try_for_each(|intid| gic.enable(intid, true))
}

/// Has the serial port's interrupt taken by this CPU; typed bytes are lost without it, and the log says so.
pub(crate) fn init_keyboard() {
    let Some(Own { gic, keyboard: Some(intid), .. }) = OWN.get() else { return };
    let intid = *intid;
    let affinity = percpu::this().affinity.load(Ordering::Relaxed);
    let enabled = gic
        .route(intid, affinity)
        .and_then(|()| gic.set_trigger(intid, Trigger::Level))
        .and_then(|()| gic.set_priority(intid, KEYBOARD_PRIORITY))
        .and_then(|()| gic.enable(intid, true));
    match enabled {
        Ok(()) => console::listen(true),
        Err(why) => hyp_log::warn!("nothing can be typed: {}", Shown(&why)),
    }
}

/// Makes another CPU leave its guest or its idle state.
pub(crate) fn kick(affinity: u64) {
    if let Some(own) = OWN.get() {
        // Fails only for an SGI number above 15.
        let _ = own.gic.send_sgi(affinity, KICK);
    }
}

/// Takes what is pending while no vCPU is loaded.
pub(crate) fn idle() -> Interrupt {
    let mut result = Interrupt::Other;
    while let Some((own, interrupt)) = acknowledge() {
        let what = own.take(interrupt, None);
        // A timer makes the core look at its inbox too, a kick does not make it look at its timers.
        if what == Interrupt::Timer || result == Interrupt::Other {
            result = what;
        }
    }
    result
}

fn acknowledge() -> Option<(&'static Own, Acknowledged)> {
    let own = OWN.get()?;
    own.gic.acknowledge().map(|interrupt| (own, interrupt))
}

impl Own {
    /// Deals with one of these interrupts. Returns what it means.
    #[inline(always)]
    fn take(&self, interrupt: Acknowledged, loaded: Option<(&ArmDomain, u8)>) -> Interrupt {
        let what = match interrupt.intid() {
            intid if intid == self.timer => {
                stop_alarm();
                Interrupt::Timer
            }
            KICK => Interrupt::Kick,
            _ => return self.take_rare(interrupt, loaded),
        };
        self.gic.end(interrupt);
        what
    }

    /// The same for all but the two by which CPUs wait and call each other. Only a guest's device's is not over then.
    #[inline(never)]
    fn take_rare(&self, interrupt: Acknowledged, loaded: Option<(&ArmDomain, u8)>) -> Interrupt {
        match interrupt.intid() {
            // Of a vCPU that left the CPU in this very moment, which knows that its time has come.
            VIRTUAL_TIMER => {}
            PHYSICAL_TIMER => {
                // Whoever runs looks at its timer now; its line stays up until it does.
                sysreg::write_cntp_ctl_el0(0);
                sysreg::isb();
            }
            intid if self.keyboard == Some(intid) => keyboard::poll(),
            intid if intid == self.maintenance => {}
            _ if devices::take(&self.gic, interrupt, loaded) => return Interrupt::Other,
            // Nobody drives the device that raised it; silence it for good.
            intid => _ = self.gic.enable(intid, false),
        }
        self.gic.end(interrupt);
        Interrupt::Other
    }
}

/// Takes an interrupt that came while a vCPU ran. `None`: it was the vCPU's own, or housekeeping.
pub(crate) fn take(domain: &ArmDomain, vcpu: &mut ArmVcpu, index: u8) -> Option<Exit> {
    let (own, interrupt) = acknowledge()?;
    let gic = &own.gic;
    if interrupt.intid() == VIRTUAL_TIMER {
        // It stays active until the guest deactivates it through its list register.
        gic.drop_priority(interrupt);
        vcpu.lists.watch();
        let mut vgic = domain.vgic.lock();
        if vgic.set_line(index, VIRTUAL_TIMER, true) != 0 {
            show(domain, &mut vgic, &mut vcpu.lists, index, VIRTUAL_TIMER);
        }
        return None;
    }
    let what = own.take(interrupt, Some((domain, index)));
    if what == Interrupt::Other {
        // A maintenance interrupt: the list registers want to be made anew.
        domain.mark_one_stale(index);
    }
    (what != Interrupt::Other).then_some(Exit::Interrupt(what))
}

/// Shows the loaded vCPU what has just become pending, a private interrupt: beside what its list registers hold already
/// if that is possible, else all of them are made anew.
#[inline(always)]
fn show(domain: &ArmDomain, vgic: &mut Vgic, lists: &mut ListRegisters, index: u8, intid: u32) {
    if domain.is_stale(index) || !virtual_interface::show(vgic, index, lists, 1 << intid) {
        domain.mark_one_stale(index);
    }
}

/// [`show`] for the event channels' interrupt.
#[inline(never)]
fn show_anew(domain: &ArmDomain, vgic: &mut Vgic, lists: &mut ListRegisters, index: u8) {
    show(domain, vgic, lists, index, EVENT_CHANNEL);
}

/// A vCPU, which is loaded, writes one of the registers that send SGIs. Returns the other vCPUs that have to look.
#[inline(always)]
pub(crate) fn send_sgi(
    domain: &ArmDomain,
    lists: &mut ListRegisters,
    index: u8,
    register: v3::SgiRegister,
    value: u64,
) -> VcpuMask {
    let mut vgic = domain.vgic.lock();
    let stale = v3::send_sgi(&mut vgic, index, register, value);
    let mine = stale & 1u32.wrapping_shl(index.into());
    if mine != 0 {
        show(domain, &mut vgic, lists, index, v3::sgi_number(value));
    }
    drop(vgic);
    if stale != mine {
        domain.mark_news(stale & !mine);
    }
    stale & !mine
}

/// Makes the list registers of a stale vCPU anew. Returns other vCPUs that have to look at theirs.
pub(crate) fn make_anew(domain: &ArmDomain, vcpu: &mut ArmVcpu, index: u8) -> VcpuMask {
    let anew = domain.take_marks(index);
    let lists = &mut vcpu.lists;
    let mut vgic = domain.vgic.lock();
    let news = vgic.news(index);
    if !anew && vgic.has_private_only(index) && virtual_interface::show(&mut vgic, index, lists, news) {
        return 0;
    }
    virtual_interface::read(lists);
    let others = virtual_interface::sync(&mut vgic, index, lists);
    if vgic.physical(index) & 1 << VIRTUAL_TIMER != 0 && !vtimer::is_line_up() {
        // The guest switched its timer off before it took the interrupt. It is stale already.
        let _ = vgic.set_line(index, VIRTUAL_TIMER, false);
    }
    virtual_interface::flush(&mut vgic, index, lists);
    devices::settle(&mut vgic);
    drop(vgic);
    if others != 0 {
        domain.mark_stale(others);
    }
    write_lists(lists);
    others
}

fn write_lists(lists: &ListRegisters) {
    virtual_interface::write(lists);
    if lists.deactivate() != 0 {
        set_physical(lists.deactivate(), false);
    }
}

/// Sets or clears the active state of this CPU's private interrupts in `intids`.
fn set_physical(intids: u32, active: bool) {
    if let Some(private) = percpu::this().private_interrupts.get() {
        private.set_active(intids, active);
    }
}

/// A vCPU comes in: its pending interrupts into list registers, and the physical interrupts they are tied to active.
pub(crate) fn load(domain: &ArmDomain, vcpu: &mut ArmVcpu, index: u8, timer_is_up: bool, event: Option<bool>) {
    // Before the look at the interrupt controller: what another CPU marks from here on is not lost.
    if domain.is_stale(index) {
        domain.take_marks(index);
    }
    let mut vgic = domain.vgic.lock();
    match event {
        Some(true) => vgic.raise_quiet(index, EVENT_CHANNEL),
        Some(false) => _ = vgic.lower_quiet(index, EVENT_CHANNEL),
        None => {}
    }
    if timer_is_up || !virtual_interface::flush_one(&mut vgic, index, &mut vcpu.lists) {
        load_all(&mut vgic, &mut vcpu.lists, index, timer_is_up);
    }
}

/// The same with more than one interrupt, or one that is tied to a physical one.
#[inline(never)]
fn load_all(vgic: &mut Vgic, lists: &mut ListRegisters, index: u8, timer_is_up: bool) {
    let listed = vgic.physical(index) & 1 << VIRTUAL_TIMER != 0;
    if timer_is_up && !listed {
        // As if the interrupt had been taken: without the exit that taking it would cost.
        let _ = vgic.set_line(index, VIRTUAL_TIMER, true);
    }
    virtual_interface::flush(vgic, index, lists);
    devices::settle(vgic);
    let physical = vgic.physical(index);
    if physical != 0 {
        set_physical(physical, true);
    }
    write_lists(lists);
}

/// A vCPU goes out: list registers back into the interrupt controller, tied physical interrupts free for the next.
/// Returns whether its timer's interrupt had been taken and is not ended.
pub(crate) fn save(domain: &ArmDomain, vcpu: &mut ArmVcpu, index: u8) -> bool {
    let lists = &mut vcpu.lists;
    let timer_was_taken = if lists.must_sync() || virtual_interface::has_work(lists) {
        save_all(domain, lists, index)
    } else {
        domain.vgic.lock().forget_listed(index, lists);
        false
    };
    virtual_interface::off();
    timer_was_taken
}

/// The same with something left in the list registers, or with physical interrupts.
#[inline(never)]
fn save_all(domain: &ArmDomain, lists: &mut ListRegisters, index: u8) -> bool {
    virtual_interface::read(lists);
    virtual_interface::clear(lists.used());
    let mut vgic = domain.vgic.lock();
    let others = virtual_interface::sync(&mut vgic, index, lists);
    lists.leave();
    devices::settle(&mut vgic);
    let physical = vgic.physical(index);
    drop(vgic);
    domain.mark_stale(others);
    if physical != 0 {
        set_physical(physical, false);
    }
    physical & 1 << VIRTUAL_TIMER != 0
}

/// Sets the level of the event channels' interrupt of the loaded vCPU; `true` raises it anew where it is up already.
pub(crate) fn set_event_line(domain: &ArmDomain, vcpu: &mut ArmVcpu, index: u8, level: bool) {
    let mut vgic = domain.vgic.lock();
    if level {
        vgic.raise_quiet(index, EVENT_CHANNEL);
        // Mostly the guest has taken and completed the last one.
        if domain.is_stale(index) || !virtual_interface::show_again(&mut vgic, index, &mut vcpu.lists, EVENT_CHANNEL) {
            show_anew(domain, &mut vgic, &mut vcpu.lists, index);
        }
    } else if vgic.lower_quiet(index, EVENT_CHANNEL)
        && !virtual_interface::withdraw(&vgic, &vcpu.lists, index, EVENT_CHANNEL)
    {
        domain.mark_one_stale(index);
    }
}

/// Takes the virtual timer's interrupt without the exit, if its line is up and nobody has taken it: before the core asks
/// whether the vCPU may sleep.
#[inline(never)]
pub(crate) fn take_timer(domain: &ArmDomain, lists: &mut ListRegisters, index: u8) {
    lists.watch();
    let mut vgic = domain.vgic.lock();
    if vgic.physical(index) & 1 << VIRTUAL_TIMER == 0 {
        let stale = vgic.set_line(index, VIRTUAL_TIMER, true);
        set_physical(1 << VIRTUAL_TIMER, true);
        domain.mark_stale(stale);
    }
}

/// Is there an interrupt that the loaded vCPU could take?
#[inline(always)]
pub(crate) fn any_deliverable(domain: &ArmDomain, vcpu: &ArmVcpu, index: u8) -> bool {
    // What could be shown and is not has left a mark, or found no room.
    let hidden = || domain.is_stale(index) || vcpu.lists.control() != 0;
    virtual_interface::any_pending(&vcpu.lists) || hidden() && has_deliverable(domain, index)
}

#[inline(never)]
fn has_deliverable(domain: &ArmDomain, index: u8) -> bool {
    domain.vgic.lock().has_deliverable(index)
}

/// Folds the list registers back so that the interrupt controller shows the truth, for an access by the guest.
/// Returns other vCPUs that have to look at theirs.
pub(crate) fn look(domain: &ArmDomain, vcpu: &mut ArmVcpu, index: u8) -> VcpuMask {
    if vcpu.lists.used() == 0 {
        return 0;
    }
    virtual_interface::read(&mut vcpu.lists);
    let others = virtual_interface::sync(&mut domain.vgic.lock(), index, &mut vcpu.lists);
    domain.mark_stale(others | 1u32.wrapping_shl(index.into()));
    others
}

/// The vCPU starts anew: no line is up but those that devices raise again.
pub(crate) fn reset(domain: &ArmDomain, index: u8) {
    let mut vgic = domain.vgic.lock();
    let stale = [EVENT_CHANNEL, VIRTUAL_TIMER, PHYSICAL_TIMER]
        .into_iter()
        .fold(0, |stale, intid| stale | vgic.set_line(index, intid, false));
    domain.mark_stale(stale);
}
