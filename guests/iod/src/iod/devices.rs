//! Which devices there are: those that guests have from the start, those that they are given while they run, and those that
//! are taken from them.
//!
//! Taking one away takes time, as its guest is asked and may have it in use, and we may end meanwhile. The back end's node
//! `online` says that it is going; what is noted of it ([`given`]) goes with its nodes. Its sectors or its port are free when
//! nothing is under way for it any more.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use hyp_pvio::command::{Named, Wanted};
use hyp_pvio::description::{Disk, Nic};
use rt::timer;

use super::Iod;
use crate::device::{DISK, Device, Identity, Label, NIC, Nodes, disk, display, keyboard, nic, sound};
use crate::given;
use crate::hardware::partitions;
use crate::plan;

/// Disks and network cards, of all guests together, that may be attached beside those of the tree: what is kept of each takes
/// room.
pub(super) const MORE: usize = 8;

/// How long a guest is waited for before it is said that it has not let go, in ns.
const PATIENCE: u64 = 5_000_000_000;
/// How long one is served on from which a device is taken by force, in ns: its driver, which finds the nodes gone, waits for
/// answers to what it has asked.
const LAST_ANSWERS: u64 = 1_000_000_000;

/// A device that is being taken away.
pub(super) struct Leaving {
    identity: Identity,
    /// When it is said that the guest does not let go, in ns; none when that was said.
    patience: Option<u64>,
    /// It is taken by force, and disconnected at this time, in ns.
    cut: Option<u64>,
}

impl Iod {
    /// Makes all devices of a guest, without their nodes.
    pub(super) fn equip(&mut self, guest: &plan::Guest) -> Result<(), String> {
        let (own, domain) = (self.own, guest.domain);
        let (disks, nics) = given::of(&mut self.store, own, guest);
        for wanted in &disks {
            let device = self.disk(domain, wanted)?;
            self.devices.push(device);
        }
        for (number, wanted) in &nics {
            let device = self.nic(domain, *number, wanted)?;
            self.devices.push(device);
        }
        if guest.sound {
            self.sound(domain, &guest.name);
        }
        if let Some(size) = guest.display {
            self.display(domain, &guest.name, size);
        }
        if guest.keyboard {
            self.keyboard(domain);
        }
        Ok(())
    }

    fn disk(&mut self, domain: u16, wanted: &Disk) -> Result<Device, String> {
        let Disk { name, device, number, partition, read_only } = wanted;
        let identity = Identity { domain, kind: DISK, number: *number };
        self.is_new(&identity, name)?;
        let physical = self.hardware.disks.find(device).ok_or_else(|| format!("no disk calls itself `{device}`"))?;
        let disk = self.hardware.disks.get(physical).ok_or("no such disk")?;
        let sectors = match partition {
            None => 0..disk.sectors(),
            Some(partition) => {
                partitions::find(disk, *partition).map_err(|why| format!("{name}: disk `{device}`: {why}"))?
            }
        };
        if !disk.give(sectors.clone(), *read_only) {
            return Err(format!("{name}: of disk `{device}`, some is another's too, and one of them may write it"));
        }
        let driver = disk::Disk::new(domain, identity.key(), (physical, disk), &sectors, *read_only);
        let given = Vec::from([("virtual-device", format!("{number}")), ("device-type", "disk".into())]);
        let text = wanted.to_string();
        let what = format!("disk {}", text.split_once('=').map_or("", |(_, what)| what));
        Ok(Device::new(self.own, identity, Label { name: name.clone(), what }, given, Box::new(driver)))
    }

    fn nic(&mut self, domain: u16, number: u32, wanted: &Nic) -> Result<Device, String> {
        let wanted = given::addressed(wanted, domain, number);
        let identity = Identity { domain, kind: NIC, number };
        let address = wanted.address.clone().unwrap_or_default();
        self.is_new(&identity, &address)?;
        if let Some(other) = self.devices.iter().find(|device| device.label.name == address) {
            return Err(format!("{address}: {} has a card with this address", self.name(other.identity.domain)));
        }
        let port = self.hardware.bridge.add_guest(wanted.uplink);
        let driver = nic::Nic::new(domain, port, wanted.rate);
        let given = Vec::from([("handle", format!("{number}")), ("mac", address.clone()), ("mtu", "1500".into())]);
        let options = Nic { address: None, ..wanted }.to_string();
        let what = format!("network card {options}").trim_end().to_string();
        Ok(Device::new(self.own, identity, Label { name: address, what }, given, Box::new(driver)))
    }

    fn sound(&mut self, domain: u16, name: &str) {
        let Some((output, limits)) = self.hardware.sound.take_output() else {
            return rt::println!("{name}: no sound card has a stream left that plays: it runs without sound");
        };
        let driver = sound::Sound::new(domain, output, limits);
        let given = driver.card().nodes();
        let label = Label { name: "sound".into(), what: "sound card".into() };
        let identity = Identity { domain, kind: "vsnd", number: 0 };
        self.devices.push(Device::new(self.own, identity, label, given, Box::new(driver)));
    }

    fn display(&mut self, domain: u16, name: &str, size: (u32, u32)) {
        if !self.hardware.screen.is_there() {
            return rt::println!("{name}: the machine has no display: it runs without");
        }
        let identity = Identity { domain, kind: "vfb", number: 0 };
        let label = Label { name: "display".into(), what: format!("{}x{}", size.0, size.1) };
        let driver = Box::new(display::Display::new(domain, size));
        self.devices.push(Device::new(self.own, identity, label, Nodes::new(), driver));
    }

    fn keyboard(&mut self, domain: u16) {
        let driver = keyboard::Keyboard::new(domain, self.hardware.keyboards.add_guest(domain));
        let identity = Identity { domain, kind: "vkbd", number: 0 };
        let label = Label { name: "keyboard".into(), what: "keyboard".into() };
        self.devices.push(Device::new(self.own, identity, label, Nodes::new(), Box::new(driver)));
    }

    /// Whether a guest has no such device yet.
    fn is_new(&self, identity: &Identity, name: &str) -> Result<(), String> {
        match self.devices.iter().find(|device| device.identity == *identity) {
            None => Ok(()),
            Some(device) if device.leaves() => {
                Err(format!("{name}: it is being taken from the guest, which has not let go"))
            }
            Some(_) => Err(format!("{name}: the guest has it already")),
        }
    }

    /// Makes the nodes of a guest's devices anew, but for those that are being taken away: they are gone.
    pub(super) fn begin_devices(&mut self, domain: u16) {
        self.resume_leaving(domain);
        let Self { own, store, hardware, devices, .. } = self;
        for device in devices.iter_mut().filter(|device| device.identity.domain == domain) {
            if device.leaves() {
                device.forget(hardware);
            } else {
                device.publish(*own, store, hardware);
            }
        }
        self.part();
    }

    /// Finds those devices of a guest that were being taken away when a life of ours ended.
    pub(super) fn resume_leaving(&mut self, domain: u16) {
        let Self { store, devices, leaving, .. } = self;
        let of_guest = devices.iter_mut().filter(|device| device.identity.domain == domain && !device.leaves());
        for device in of_guest.filter_map(|device| device.resume_leaving(store).then_some(&*device)) {
            leaving.push(Leaving::new(&device.identity));
        }
    }

    /// Gives a guest a device while it runs. Returns what it is called.
    pub(super) fn attach(&mut self, domain: u16, wanted: &Wanted) -> Result<String, String> {
        let count = self.devices.iter().filter(|device| [DISK, NIC].contains(&device.identity.kind)).count();
        if count >= self.most {
            return Err(format!("there is no room for more than {} disks and network cards", self.most));
        }
        let (mut device, text) = match wanted {
            Wanted::Disk(wanted) => (self.disk(domain, wanted)?, wanted.to_string()),
            Wanted::Nic(wanted) => {
                let number = self.free_number(domain);
                let text = given::addressed(wanted, domain, number).to_string();
                (self.nic(domain, number, wanted)?, text)
            }
        };
        let Self { own, store, hardware, .. } = self;
        given::note(store, *own, &device.identity, &text);
        device.publish(*own, store, hardware);
        let name = device.label.name.clone();
        self.devices.push(device);
        Ok(name)
    }

    /// The first number that no network card of a guest has.
    fn free_number(&self, domain: u16) -> u32 {
        let is_free = |number: &u32| {
            let identity = Identity { domain, kind: NIC, number: *number };
            self.devices.iter().all(|device| device.identity != identity)
        };
        (0..).find(is_free).unwrap_or(0)
    }

    /// Begins to take a device from a guest, or, by `force`, takes it. Returns what it is called.
    pub(super) fn detach(&mut self, domain: u16, named: &Named, force: bool) -> Result<String, String> {
        let is_named = |device: &&mut Device| match named {
            Named::Disk(number) => device.identity.kind == DISK && device.identity.number == *number,
            Named::Nic(address) => device.identity.kind == NIC && device.label.name == *address,
        };
        let Self { own, store, devices, leaving, .. } = self;
        let mut of_guest = devices.iter_mut().filter(|device| device.identity.domain == domain);
        let device = of_guest.find(is_named).ok_or("the guest has no such device; see `list`")?;
        let name = device.label.name.clone();
        if device.leaves() && !force {
            return Err(format!("{name}: the guest was asked already, and has not let go; `force` takes it"));
        }
        if !device.leaves() {
            device.leave(store);
            leaving.push(Leaving::new(&device.identity));
        }
        if force && let Some(leaving) = leaving.iter_mut().find(|leaving| leaving.identity == device.identity) {
            device.withdraw(store);
            given::strike(store, *own, &leaving.identity);
            leaving.cut.get_or_insert(timer::now() + LAST_ANSWERS);
        }
        Ok(name)
    }

    /// Lets those go that are being taken away and that nobody uses any more.
    pub(super) fn part(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        for mut leaving in core::mem::take(&mut self.leaving) {
            let Some(at) = self.devices.iter().position(|device| device.identity == leaving.identity) else { continue };
            let Self { own, store, hardware, devices, .. } = self;
            let device = &mut devices[at];
            if leaving.is_over(|times| &mut times.cut) {
                device.cut(hardware);
            }
            if device.is_gone() {
                device.withdraw(store);
                given::strike(store, *own, &leaving.identity);
                if device.give_back(hardware) {
                    let Device { identity, label, .. } = devices.remove(at);
                    rt::println!("{} has let go of {}", self.name(identity.domain), label.name);
                    continue;
                }
            } else if leaving.is_over(|times| &mut times.patience) {
                let (identity, name) = (&leaving.identity, &self.devices[at].label.name);
                let guest = self.name(identity.domain);
                rt::println!("{guest} has not let go of {name}, which may be in use; `force` takes it");
            }
            self.leaving.push(leaving);
        }
    }

    /// When [`part`](Self::part) is to be called again at the latest, in ns.
    pub(super) fn end_of_patience(&self) -> Option<u64> {
        self.leaving.iter().flat_map(|leaving| [leaving.patience, leaving.cut]).flatten().min()
    }
}

impl Leaving {
    fn new(identity: &Identity) -> Self {
        Self { identity: identity.clone(), patience: Some(timer::now() + PATIENCE), cut: None }
    }

    /// Whether one of its times has come, for the first time.
    fn is_over(&mut self, time: impl Fn(&mut Self) -> &mut Option<u64>) -> bool {
        time(self).take_if(|end| *end <= timer::now()).is_some()
    }
}
