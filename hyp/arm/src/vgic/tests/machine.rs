//! The processor's side: list registers as Arm IHI 0069 (chapter 6) has them, and a hypervisor
//! that keeps the promises the module's text asks of it.

use super::std::vec;
use super::std::vec::Vec;

use super::super::v3::{self, Region, SgiRegister};
use super::super::{ListRegisters, PhysicalChange, Shown, VcpuMask, Vgic, Width, v2};

/// One virtual CPU interface.
#[derive(Clone, Debug)]
struct Interface {
    lists: ListRegisters,
    /// ICH_LR<n>_EL2.
    registers: Vec<u64>,
    /// ICH_HCR_EL2.EOIcount.
    eoi_count: u8,
    control: u64,
    /// What the guest has acknowledged and not completed.
    running: Vec<Running>,
    /// Active physical interrupts.
    physical: u32,
}

/// Which controller, and so which interface, the guest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V2,
    V3,
}

/// An interrupt that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) intid: u32,
    pub(super) priority: u8,
    /// GICv2, SGIs: the vCPU that sent it.
    pub(super) sender: u8,
}

/// A domain's controller and its vCPUs, all of them on CPUs.
pub(super) struct Machine {
    pub(super) vgic: Vgic,
    /// Times that a guest was left for the sake of its list registers.
    pub(super) exits: u32,
    /// Physical SPIs that are enabled.
    pub(super) forwarded: Vec<u32>,
    /// Physical SPIs that are active.
    pub(super) shared: Vec<u32>,
    /// Those that the hypervisor has let go, since this was emptied last.
    pub(super) released: Vec<u32>,
    version: Version,
    interfaces: Vec<Interface>,
}

const STATE: u64 = 3 << 62;
const PENDING: u64 = 1 << 62;
const ACTIVE: u64 = 2 << 62;

impl Version {
    /// The sender in a list register.
    fn sender(self, value: u64) -> u8 {
        if self == Self::V2 && (value as u32) < 16 { (value >> 32 & 7) as u8 } else { 0 }
    }
}

impl Machine {
    pub(super) fn new(vcpus: u8, lists: u8) -> Self {
        Self::of(Version::V3, vcpus, lists)
    }

    pub(super) fn of(version: Version, vcpus: u8, lists: u8) -> Self {
        let interface = Interface {
            lists: ListRegisters::new(lists),
            registers: vec![0xdead; lists.into()],
            eoi_count: 0,
            control: 0,
            running: Vec::new(),
            physical: 0,
        };
        let vgic = if version == Version::V2 { v2::new(vcpus) } else { Vgic::new(vcpus) };
        let (forwarded, shared, released) = (Vec::new(), Vec::new(), Vec::new());
        let interfaces = vec![interface; vcpus.into()];
        let mut machine = Self { vgic, exits: 0, forwarded, shared, released, version, interfaces };
        (0..vcpus).for_each(|vcpu| machine.refresh(vcpu));
        machine
    }

    pub(super) fn lists(&self, vcpu: u8) -> &ListRegisters {
        &self.interfaces[usize::from(vcpu)].lists
    }

    pub(super) fn physical(&self, vcpu: u8) -> u32 {
        self.interfaces[usize::from(vcpu)].physical
    }

    /// What this vCPU has acknowledged and not completed, oldest first.
    pub(super) fn running(&self, vcpu: u8) -> &[Running] {
        &self.interfaces[usize::from(vcpu)].running
    }

    /// Leave the guest: bring its list registers back.
    pub(super) fn sync(&mut self, vcpu: u8) -> VcpuMask {
        let interface = &mut self.interfaces[usize::from(vcpu)];
        for index in 0..interface.lists.used() {
            interface.lists.set(index, interface.registers[usize::from(index)]);
        }
        if interface.control != 0 {
            interface.lists.set_eoi_count(interface.eoi_count);
        }
        let others = match self.version {
            Version::V2 => v2::sync(&mut self.vgic, vcpu, &mut interface.lists),
            Version::V3 => self.vgic.sync(vcpu, &mut interface.lists),
        };
        assert_eq!(interface.physical, self.vgic.physical(vcpu), "vCPU {vcpu}: physical active state");
        others
    }

    /// Enter it again.
    fn flush(&mut self, vcpu: u8) {
        let interface = &mut self.interfaces[usize::from(vcpu)];
        match self.version {
            Version::V2 => v2::flush(&mut self.vgic, vcpu, &mut interface.lists),
            Version::V3 => self.vgic.flush(vcpu, &mut interface.lists),
        }
        self.write_lists(vcpu);
    }

    fn write_lists(&mut self, vcpu: u8) {
        let interface = &mut self.interfaces[usize::from(vcpu)];
        for (register, value) in interface.registers.iter_mut().zip(interface.lists.to_write()) {
            *register = *value;
            if self.version == Version::V2 {
                assert_eq!(v2::from_hardware(v2::to_hardware(*value)), *value, "nothing is lost in GICH_LR");
            }
        }
        interface.control = interface.lists.control();
        interface.eoi_count = 0;
        interface.physical &= !interface.lists.deactivate();
        assert_eq!(interface.physical, self.vgic.physical(vcpu), "vCPU {vcpu}: physical active state, loaded");
        assert!(!self.maintenance(vcpu), "vCPU {vcpu}: would leave at once for ever");
    }

    /// Both, and the same for every vCPU that this concerns.
    pub(super) fn refresh(&mut self, vcpu: u8) {
        self.exits += 1;
        let others = self.sync(vcpu);
        self.flush(vcpu);
        self.settle();
        self.refresh_all(others);
    }

    /// Does to the physical SPIs what the controller asks for.
    pub(super) fn settle(&mut self) {
        while let Some((intid, change)) = self.vgic.next_physical() {
            match change {
                PhysicalChange::Enable { .. } => {
                    assert!(!self.forwarded.contains(&intid), "enabled already");
                    self.forwarded.push(intid);
                }
                PhysicalChange::Disable => {
                    assert!(self.forwarded.contains(&intid), "disabled already");
                    self.forwarded.retain(|other| *other != intid);
                }
                PhysicalChange::Deactivate => {
                    self.let_go(intid);
                    self.released.push(intid);
                }
            }
        }
    }

    fn let_go(&mut self, intid: u32) {
        assert!(self.shared.contains(&intid), "deactivates physical {intid}, which is not active");
        self.shared.retain(|other| *other != intid);
    }

    /// A CPU takes a physical SPI.
    pub(super) fn take_shared(&mut self, intid: u32) {
        assert!(self.forwarded.contains(&intid) && !self.shared.contains(&intid), "it cannot come");
        self.shared.push(intid);
        let mask = self.vgic.take_shared(intid);
        self.settle();
        self.refresh_all(mask);
    }

    pub(super) fn refresh_all(&mut self, mask: VcpuMask) {
        (0..self.vgic.vcpus()).filter(|vcpu| mask >> vcpu & 1 != 0).for_each(|vcpu| self.refresh(vcpu));
    }

    /// Another vCPU takes the CPU for a while and leaves its list registers there, empty.
    pub(super) fn switch(&mut self, vcpu: u8) {
        let Interface { lists, registers, .. } = &mut self.interfaces[usize::from(vcpu)];
        let watched = |value: u64| value >> 61 & 1 == 0 && value >> 41 & 1 != 0;
        let used = &registers[..usize::from(lists.used())];
        let known = self.version == Version::V3 || lists.used() == 0;
        let empty = known && used.iter().all(|value| value & STATE == 0 && !watched(*value));
        let others = if empty && !lists.must_sync() {
            self.vgic.forget_listed(vcpu, lists);
            0
        } else {
            self.sync(vcpu)
        };
        let interface = &mut self.interfaces[usize::from(vcpu)];
        assert_eq!(interface.lists.used(), 0);
        assert_eq!(interface.physical, self.vgic.physical(vcpu), "vCPU {vcpu}: physical active state");
        interface.registers.fill(0xdead);
        interface.lists.leave();
        if self.version == Version::V3 && self.vgic.flush_one(vcpu, &mut interface.lists) {
            assert_eq!(self.vgic.physical(vcpu), 0, "vCPU {vcpu}: nobody looks at physical interrupts then");
            self.write_lists(vcpu);
        } else {
            self.flush(vcpu);
        }
        self.settle();
        self.refresh_all(others);
    }

    /// Is the maintenance interrupt asserted?
    fn maintenance(&self, vcpu: u8) -> bool {
        let interface = &self.interfaces[usize::from(vcpu)];
        let done =
            interface.registers.iter().any(|value| value & STATE == 0 && value >> 61 & 1 == 0 && value >> 41 & 1 != 0);
        let unlisted = interface.control & 4 != 0 && interface.eoi_count != 0;
        let none = interface.control & 8 != 0 && interface.registers.iter().all(|value| value & STATE != PENDING);
        assert_eq!(interface.control & !12, 0);
        done || unlisted || none
    }

    /// The guest reads ICC_IAR1_EL1 or GICC_IAR: the most urgent pending interrupt that beats what is running.
    pub(super) fn acknowledge(&mut self, vcpu: u8) -> Option<u32> {
        let interface = &mut self.interfaces[usize::from(vcpu)];
        let priority = |value: u64| (value >> 48) as u8;
        let running = interface.running.iter().map(|entry| u16::from(entry.priority)).min().unwrap_or(0x100);
        let best = interface.registers.iter_mut().filter(|value| **value & STATE == PENDING);
        let best = best.min_by_key(|value| priority(**value)).filter(|value| u16::from(priority(**value)) < running)?;
        *best ^= STATE;
        let entry = Running { intid: *best as u32, priority: priority(*best), sender: self.version.sender(*best) };
        interface.running.push(entry);
        if self.maintenance(vcpu) {
            self.refresh(vcpu);
        }
        Some(entry.intid)
    }

    /// The guest writes ICC_EOIR1_EL1 or GICC_EOIR with what it acknowledged last, `EOImode` 0.
    pub(super) fn complete(&mut self, vcpu: u8) -> Option<u32> {
        let done = self.interfaces[usize::from(vcpu)].running.pop()?;
        self.deactivate_from(vcpu, done.intid, done.sender);
        Some(done.intid)
    }

    /// The same in `EOImode` 1: it stays active.
    pub(super) fn drop_priority(&mut self, vcpu: u8) -> Option<u32> {
        Some(self.interfaces[usize::from(vcpu)].running.pop()?.intid)
    }

    /// The guest writes ICC_DIR_EL1.
    pub(super) fn deactivate(&mut self, vcpu: u8, intid: u32) {
        self.deactivate_from(vcpu, intid, 0);
    }

    /// The same, or GICC_DIR, which names an SGI's sender too.
    fn deactivate_from(&mut self, vcpu: u8, intid: u32, sender: u8) {
        let interface = &mut self.interfaces[usize::from(vcpu)];
        let named = |value: u64| value as u32 == intid && self.version.sender(value) == sender;
        let listed = interface.registers.iter_mut().find(|value| named(**value) && **value & ACTIVE != 0);
        match listed {
            Some(value) => {
                *value &= !ACTIVE;
                let physical = (*value >> 32 & 0x3ff) as u32;
                if *value >> 61 & 1 != 0 && physical >= 32 {
                    self.let_go(physical);
                } else if *value >> 61 & 1 != 0 {
                    let bit = 1 << physical;
                    assert_ne!(interface.physical & bit, 0, "completes a physical interrupt that is not active");
                    interface.physical &= !bit;
                }
            }
            None => interface.eoi_count += 1,
        }
        if self.maintenance(vcpu) {
            self.refresh(vcpu);
        }
    }

    /// The CPU takes a physical private interrupt for the vCPU on it.
    pub(super) fn take_physical(&mut self, vcpu: u8, intid: u32) {
        let Interface { lists, physical, .. } = &mut self.interfaces[usize::from(vcpu)];
        assert_eq!(*physical >> intid & 1, 0, "active interrupts are silent");
        *physical |= 1 << intid;
        lists.watch();
        self.set_line(vcpu, intid, true);
    }

    pub(super) fn set_line(&mut self, vcpu: u8, intid: u32, level: bool) -> VcpuMask {
        if (intid, level) == (31, false) {
            return self.lower(vcpu, intid);
        }
        let mask = self.vgic.set_line(vcpu, intid, level);
        match (intid, level) {
            (27, true) => self.show_all(mask, intid),
            _ => self.refresh_all(mask),
        }
        mask
    }

    fn lower(&mut self, vcpu: u8, intid: u32) -> VcpuMask {
        if !self.vgic.lower_quiet(vcpu, intid) {
            return 0;
        }
        match self.version {
            Version::V2 => self.refresh(vcpu),
            Version::V3 => self.withdraw(vcpu, intid),
        }
        1 << vcpu
    }

    /// Takes a quiet interrupt whose line fell out of the list registers, and nothing else.
    fn withdraw(&mut self, vcpu: u8, intid: u32) {
        let interface = &mut self.interfaces[usize::from(vcpu)];
        if let Some(slot) = self.vgic.slot_of(vcpu, &interface.lists, intid) {
            interface.registers[usize::from(slot)] &= !PENDING;
        }
        if self.maintenance(vcpu) {
            self.refresh(vcpu);
        }
    }

    pub(super) fn pulse(&mut self, vcpu: u8, intid: u32) -> VcpuMask {
        let mask = self.vgic.pulse(vcpu, intid);
        self.show_all(mask, intid);
        mask
    }

    pub(super) fn send_sgi(&mut self, from: u8, register: SgiRegister, value: u64) -> VcpuMask {
        let mask = v3::send_sgi(&mut self.vgic, from, register, value);
        self.show_all(mask, v3::sgi_number(value));
        mask
    }

    /// Shows a private interrupt to each of these vCPUs, alone where that can be done; a shared one with all others.
    fn show_all(&mut self, mask: VcpuMask, intid: u32) {
        for vcpu in (0..self.vgic.vcpus()).filter(|vcpu| mask >> vcpu & 1 != 0) {
            let Interface { lists, registers, .. } = &mut self.interfaces[usize::from(vcpu)];
            let shown = match intid {
                0..32 if self.version == Version::V3 => {
                    let read = |slot| registers[usize::from(slot)];
                    match self.vgic.show_again(vcpu, lists, intid, read) {
                        Some((slot, value)) => Shown::In(slot, value),
                        None => self.vgic.show(vcpu, lists, intid, read),
                    }
                }
                _ => Shown::NoRoom,
            };
            match shown {
                Shown::There => {}
                Shown::In(slot, value) => registers[usize::from(slot)] = value,
                Shown::NoRoom => self.refresh(vcpu),
            }
        }
    }

    /// A guest's store. Where a GICv3's is emulated, the vCPU's own list registers may stay in the hardware; a GICv2's
    /// senders of SGIs have to come back. Only who is told is returned.
    pub(super) fn write(&mut self, vcpu: u8, region: Region, offset: u32, width: Width, value: u64) -> VcpuMask {
        let mask = match self.version {
            Version::V2 => {
                let others = self.sync(vcpu);
                others | 1 << vcpu | v2::write(&mut self.vgic, vcpu, offset, width, value)
            }
            Version::V3 => v3::write(&mut self.vgic, vcpu, region, offset, width, value),
        };
        self.settle();
        self.refresh_all(mask);
        mask
    }

    /// A guest's load. All vCPUs are brought up to date first, so that the answer has no age.
    pub(super) fn read(&mut self, vcpu: u8, region: Region, offset: u32, width: Width) -> u64 {
        (0..self.vgic.vcpus()).for_each(|vcpu| self.refresh(vcpu));
        match self.version {
            Version::V2 => {
                // What a GICv2's list registers hold of senders is known once it is back.
                let others = (0..self.vgic.vcpus()).fold(0, |others, vcpu| others | self.sync(vcpu));
                let value = v2::read(&self.vgic, vcpu, offset, width);
                self.refresh_all(others | ((1 << self.vgic.vcpus()) - 1));
                value
            }
            Version::V3 => v3::read(&self.vgic, vcpu, region, offset, width),
        }
    }
}
