//! The loop: who wants something, and what comes of it.

mod devices;
mod operator;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use rt::window::Window;
use rt::{Machine, cpu, events, hypercall, interrupts, timer, virtio};
use xen_abi::io_domain;

use crate::console::Consoles;
use crate::device::{DISK, Device};
use crate::hardware::Hardware;
use crate::pace::Pace;
use crate::plan::{self, Plan};
use crate::store::{Served, Store};

/// Where guests' pages are.
#[cfg(target_arch = "aarch64")]
const BASE: u64 = io_domain::SHARED_BASE_ARM;
#[cfg(target_arch = "x86_64")]
const BASE: u64 = io_domain::SHARED_BASE_X86;

/// The memory that outlives us.
fn kept(plan: &Plan, machine: &'static Machine) -> Result<Window, String> {
    let (start, size) =
        plan.kept.ok_or("this guest has no shared memory with xen,shm-id = \"iod\", to keep xenstore in")?;
    let window = Window::outside_of_ram(machine, start as usize, size as usize);
    window.ok_or_else(|| format!("the shared memory at {start:#x} is inside of our RAM"))
}

/// Everything.
pub(crate) struct Iod {
    own: u16,
    store: Store,
    consoles: Consoles,
    hardware: Hardware,
    /// The guests that are served, and their names.
    guests: Vec<(u16, String)>,
    devices: Vec<Device>,
    /// Most disks and network cards that all guests may have.
    most: usize,
    /// Devices that are being taken away, and since when.
    leaving: Vec<devices::Leaving>,
    pace: Pace,
}

impl Iod {
    /// Finds the devices, and makes the nodes of those that guests are to have.
    ///
    /// # Errors
    /// Why nobody can be served.
    pub(crate) fn start(machine: &'static Machine) -> Result<Self, String> {
        // First of all, so that no device writes for a life of ours that is over.
        let found = virtio::find(machine);
        let tree = machine
            .initrd
            .ok_or("there is no RAM disk with the loader's tree: is this guest's node without makuhari,io-domain?")?;
        let plan = Plan::read(tree)?;
        virtio::init(plan.memory.map_or(0, |host| host.wrapping_sub(machine.ram_start() as u64)));
        let hardware = Hardware::new(found, plan.screen());
        events::connect().map_err(|error| format!("no events: {error:?}"))?;
        let planned: usize = plan.guests.iter().map(|guest| guest.disks.len() + guest.nics.len()).sum();
        let most = planned + devices::MORE;
        let mut iod = Self {
            own: plan.own,
            store: Store::open(plan.own, kept(&plan, machine)?, plan.guests.len(), most),
            consoles: Consoles::default(),
            hardware,
            guests: Vec::new(),
            devices: Vec::new(),
            most,
            leaving: Vec::new(),
            pace: Pace::default(),
        };
        for guest in &plan.guests {
            if guest.enhanced && guest.domain != plan.own {
                iod.add(machine, guest)?;
            }
        }
        rt::console::listen(machine);
        Ok(iod)
    }

    /// A guest that is to be served.
    fn add(&mut self, machine: &'static Machine, guest: &plan::Guest) -> Result<(), String> {
        let plan::Guest { domain, name, .. } = guest;
        let page = |at: u64| {
            let window = Window::outside_of_ram(machine, at as usize, 4096);
            window.ok_or_else(|| format!("{at:#x}, where {name} has its pages, is inside of our RAM"))
        };
        let (console, store) = (io_domain::console_port(*domain), io_domain::store_port(*domain));
        self.consoles.add(*domain, name, page(io_domain::console_page(BASE, *domain))?, console);
        let anew = self.store.add(*domain, page(io_domain::store_page(BASE, *domain))?, store);
        self.guests.push((*domain, name.clone()));
        self.equip(guest).map_err(|why| format!("{name}: {why}"))?;
        if anew {
            self.store.introduce(*domain, name);
            self.begin_devices(*domain);
        } else {
            self.resume_leaving(*domain);
        }
        // What the guest has connected already, in a life of ours that is over, is connected again by the first event.
        self.store.watch_devices(*domain);
        let Self { store: tree, hardware, devices, .. } = self;
        devices.iter_mut().filter(|device| device.identity.domain == *domain).for_each(|it| it.look(tree, hardware));
        for port in [store, console] {
            hypercall::unmask(port).map_err(|error| format!("{name}: port {port}: {error:?}"))?;
            // It may have waited for an answer of that life.
            let _ = hypercall::send(port);
        }
        Ok(())
    }

    /// Serves for ever.
    pub(crate) fn run(&mut self) -> ! {
        loop {
            let Self { consoles, store, .. } = self;
            events::take_raised(|port| {
                consoles.event(port);
                store.event(port);
            });
            let mut again = self.read_keyboard();
            again |= self.consoles.serve();
            if self.store.begin_round() {
                self.serve_stores();
                // That a device is connected is kept before anything is done for it: the next life has to resume it then.
                self.store.commit();
            }
            again |= self.complete();
            again |= self.hardware.bridge.poll();
            self.hardware.sound.poll();
            self.hardware.screen.poll();
            self.hardware.keyboards.poll(self.consoles.focus());
            again |= self.serve_devices();
            self.part();
            self.hardware.disks.notify();
            self.hardware.bridge.notify();
            self.hardware.sound.notify();
            if !again && !self.store.has_more() {
                self.pace.learn(core::mem::take(&mut self.hardware.begun));
                self.sleep();
            }
        }
    }

    /// A guest has begun anew: so do its devices.
    fn begin(&mut self, domain: u16) {
        self.consoles.begin(domain);
        for device in self.devices.iter_mut().filter(|device| device.identity.domain == domain) {
            device.forget(&mut self.hardware);
        }
        self.begin_devices(domain);
    }

    /// Answers everybody's questions, and looks at what changed.
    fn serve_stores(&mut self) {
        for domain in self.store.domains() {
            if self.store.serve(domain) == Served::Anew {
                self.begin(domain);
            }
        }
        while let Some(event) = self.store.next_event() {
            let Self { store, hardware, devices, .. } = self;
            let front = event.path.strip_suffix("/state").unwrap_or(&event.path);
            for device in devices.iter_mut().filter(|device| device.front() == front) {
                device.look(store, hardware);
            }
            let asking = devices.iter_mut().find(|device| event.path.strip_prefix(device.front()) == Some("/report"));
            asking.into_iter().for_each(|device| device.look_for_question(store));
        }
    }

    /// Takes what devices have done.
    fn complete(&mut self) -> bool {
        let mut any = false;
        while let Some((operation, done)) = self.hardware.disks.complete() {
            any = true;
            let key = (operation.cookie >> 32) as u32;
            let mut disks = self.devices.iter_mut().filter(|device| device.identity.kind == DISK);
            if let Some(device) = disks.find(|device| device.identity.key() == key) {
                device.complete(&mut self.hardware, operation, done);
            }
        }
        any
    }

    fn serve_devices(&mut self) -> bool {
        let Self { store, hardware, devices, .. } = self;
        devices.iter_mut().fold(false, |again, device| device.serve(store, hardware) | again)
    }

    /// Until somebody wants something.
    fn sleep(&mut self) {
        let times = self.consoles.show_begun().into_iter().chain(self.end_of_patience()).map(timer::to_ticks);
        if let Some(when) = times.chain(self.hardware.bridge.end_of_patience()).min() {
            timer::set(when);
        }
        cpu::mask_interrupts();
        if !events::any_raised() && !interrupts::any() {
            cpu::wait_for_interrupt();
        }
        cpu::unmask_interrupts();
        // What a device has done is told at once.
        if events::any_raised() && !interrupts::any() {
            self.pace.woken();
        }
    }
}
