//! The side that lies: true to xenstore's protocol where the lie is about something else.

use alloc::format;
use alloc::vec::Vec;

use hyp_pvio::xenbus::State;
use hyp_pvio::xenstore::{Access, Page, Quota, Server, reset, server_page, wants_reset};
use rt::foreign::Mapping;
use rt::window::Window;
use rt::{Machine, events, hypercall, memory, timer};
use xen_abi::io::ring::REQ_PROD;
use xen_abi::io::xs_wire::{Sockmsg, XENSTORE_REQ, XENSTORE_REQ_PROD};
use xen_abi::io_domain::{store_page, store_port};
use zerocopy::{FromZeros, IntoBytes};

use super::{Lie, TRIALS};
use crate::check::Checks;
use crate::devices::disk::XVDA;
use rt::front::Trouble;

const SELF: u16 = 1;
const GUEST: u16 = 2;
/// Between two looks, ns.
const NAP: u64 = 100_000;

/// Tells all lies, one after the other, each until the guest begins anew.
pub(crate) fn run(checks: &mut Checks, machine: &'static Machine) {
    checks.same("events", events::connect(), Ok(()));
    let page = Window::outside_of_ram(machine, store_page(memory::SHARED_BASE, GUEST) as usize, 4096);
    let Some(page) = page else { return checks.that("page", false, "none") };
    for (name, lie, _) in TRIALS {
        while !wants_reset(page) {
            nap();
        }
        reset(page);
        notify();
        let result = match lie {
            Lie::Store(lie) => about_store(page, lie),
            _ => about_device(page, lie),
        };
        checks.that(name, result.is_ok(), format_args!("{result:?}"));
    }
    // The last reset is the guest's sign that all is told.
    while !wants_reset(page) {
        nap();
    }
    reset(page);
    notify();
}

fn nap() {
    timer::wait_until(timer::now() + NAP);
}

fn notify() {
    // It is the hypervisor's and cannot be closed.
    let _ = hypercall::send(store_port(GUEST));
}

fn about_store(page: Window, lie: fn(Window, Sockmsg)) -> Result<(), Trouble> {
    while (page.load(XENSTORE_REQ_PROD) as usize) < size_of::<Sockmsg>() {
        nap();
    }
    let mut asked = Sockmsg::new_zeroed();
    page.read(XENSTORE_REQ, asked.as_mut_bytes());
    lie(page, asked);
    notify();
    Ok(())
}

/// A device's rings, when they are mapped.
struct Rings {
    mapped: Vec<Mapping>,
    port: u32,
}

impl Rings {
    fn get(&self, at: usize) -> Option<Window> {
        self.mapped.get(at).map(|mapping| mapping.window())
    }
}

fn about_device(page: Window, lie: Lie) -> Result<(), Trouble> {
    let mut server = Server::new(SELF, Quota::default());
    server.introduce(GUEST);
    let mut end = server_page(page);
    let (kind, number) = if matches!(lie, Lie::Card(_)) { ("vif", 0) } else { ("vbd", XVDA) };
    let (front, back) =
        (format!("/local/domain/{GUEST}/device/{kind}/{number}"), format!("/local/domain/{SELF}/backend/{kind}"));
    publish(&mut server, &front, &back)?;
    let mut rings = None;
    let mut told = false;
    while !wants_reset(page) {
        serve(&mut server, &mut end)?;
        let state = server.manager().read(&format!("{front}/state")).unwrap_or_default();
        let ready = matches!(State::parse(&state), State::Initialised | State::Connected);
        match (lie, &rings) {
            (Lie::State(state), _) if ready => write(&mut server, &format!("{back}/state"), state)?,
            (Lie::State(_), _) => {}
            (_, None) if ready => {
                rings = Some(connect(&mut server, &front)?);
                let sectors = if let Lie::Disk(_, sectors) = lie { sectors } else { "" };
                write(&mut server, &format!("{back}/sectors"), sectors)?;
                write(&mut server, &format!("{back}/state"), "4")?;
            }
            (_, Some(rings)) if !told => told = tell(lie, rings),
            _ => {}
        }
        nap();
    }
    if let Some(rings) = rings {
        // It was bound by us.
        hypercall::close(rings.port).map_err(Trouble::Refused)?;
    }
    Ok(())
}

/// Lies as soon as there is a request; whether it was.
fn tell(lie: Lie, rings: &Rings) -> bool {
    let Some(first) = rings.get(0).filter(|ring| ring.load(REQ_PROD) > 0) else { return false };
    match (lie, rings.get(1)) {
        (Lie::Disk(lie, _), _) => lie(first),
        (Lie::Card(lie), Some(second)) => lie(first, second),
        _ => {}
    }
    // It was bound by us.
    let _ = hypercall::send(rings.port);
    true
}

fn serve(server: &mut Server, end: &mut Page<Window>) -> Result<(), Trouble> {
    if server.serve(GUEST, end, 16).map_err(Trouble::Store)?.notify {
        notify();
    }
    Ok(())
}

fn write(server: &mut Server, path: &str, value: &str) -> Result<(), Trouble> {
    server.manager().write(path, value.as_bytes()).map_err(Trouble::Refused)
}

/// The nodes of a device, the back end's in the state of one that waits.
fn publish(server: &mut Server, front: &str, back: &str) -> Result<(), Trouble> {
    for (path, owner, reader) in [(front, GUEST, SELF), (back, SELF, GUEST)] {
        server.manager().make(path).map_err(Trouble::Refused)?;
        let permitted = server.manager().set_permissions(path, owner, Access::NONE, &[(reader, Access::READ)]);
        permitted.map_err(Trouble::Refused)?;
    }
    for (name, value) in [("backend", back), ("backend-id", "1"), ("state", "1")] {
        write(server, &format!("{front}/{name}"), value)?;
    }
    write(server, &format!("{back}/state"), "2")
}

/// Maps the front end's rings, and binds its port.
fn connect(server: &mut Server, front: &str) -> Result<Rings, Trouble> {
    let mut number = |name: &str| {
        let value = server.manager().read(&format!("{front}/{name}")).ok()?;
        core::str::from_utf8(&value).ok()?.parse::<u32>().ok()
    };
    let grants = ["ring-ref", "tx-ring-ref", "rx-ring-ref"].into_iter().filter_map(&mut number).collect::<Vec<_>>();
    let port = number("event-channel").ok_or(Trouble::Silence)?;
    let mapped = grants.into_iter().map(|grant| Mapping::new(GUEST, &[grant], false)).collect::<Result<Vec<_>, _>>();
    let mapped = mapped.map_err(|error| Trouble::Device(format!("{error}")))?;
    let port = hypercall::bind_interdomain(GUEST, port).map_err(Trouble::Refused)?;
    Ok(Rings { mapped, port })
}
