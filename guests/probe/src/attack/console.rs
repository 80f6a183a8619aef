//! A console whose indices cannot be true, and one that prints without an end.

use hyp_pvio::console;
use rt::window::Window;
use rt::{Machine, hypercall, memory, timer};
use xen_abi::io::console::{XENCONS_IN_CONS, XENCONS_IN_PROD, XENCONS_OUT_CONS, XENCONS_OUT_PROD, XENCONS_OUT_SIZE};
use xen_abi::io_domain::{CONSOLE_PORT, console_page};

use super::wire::Wire;
use crate::check::Checks;
use rt::front::Store;
use rt::front::{Trouble, wait};

/// All of it.
///
/// # Errors
/// The I/O domain does not answer as it has to, so that nothing more can be tried.
pub(super) fn run(checks: &mut Checks, machine: &'static Machine, store: &mut Store) -> Result<(), Trouble> {
    let page = Window::outside_of_ram(machine, console_page(memory::SHARED_BASE, 0) as usize, 4096);
    let page = page.ok_or_else(|| Trouble::Device("no page".into()))?;
    print(page, b"console as it should be\n")?;
    let ahead = page.load(XENCONS_OUT_CONS).wrapping_add(XENCONS_OUT_SIZE as u32 + 1);
    for (index, value) in [(XENCONS_OUT_PROD, ahead), (XENCONS_IN_CONS, page.load(XENCONS_IN_PROD).wrapping_add(1))] {
        page.store(index, value);
        notify();
        timer::wait_until(timer::now() + 1_000_000);
        let before = page.load(XENCONS_OUT_CONS);
        // A page that cannot be true is left alone: nothing is taken from it any more.
        let taken = print_blindly(page, b"never seen\n");
        checks.same("console-left-alone", (taken, page.load(XENCONS_OUT_CONS)), (false, before));
        page.store(XENCONS_OUT_PROD, before);
        page.store(XENCONS_IN_CONS, page.load(XENCONS_IN_PROD));
        Wire(store.memory).reconnect()?;
        *store = Store::anew(store.memory);
        print(page, b"console once more\n")?;
    }
    Ok(())
}

fn notify() {
    // It is the hypervisor's and cannot be closed.
    let _ = hypercall::send(CONSOLE_PORT);
}

/// Prints, and waits until it is taken.
fn print(page: Window, text: &[u8]) -> Result<(), Trouble> {
    let written = console::front(page).writer.write(text);
    notify();
    let end = page.load(XENCONS_OUT_PROD);
    wait(|| Ok((page.load(XENCONS_OUT_CONS) == end).then_some(())))?;
    match written {
        Ok(length) if length == text.len() => Ok(()),
        other => Err(Trouble::Device(alloc::format!("{other:?}"))),
    }
}

/// Whether somebody takes more, whatever is printed.
fn print_blindly(page: Window, text: &[u8]) -> bool {
    let before = page.load(XENCONS_OUT_CONS);
    // It may have no room, by what the indices say.
    let _ = console::front(page).writer.write(text);
    (0..20).any(|_| {
        notify();
        timer::wait_until(timer::now() + 100_000);
        page.load(XENCONS_OUT_CONS) != before
    })
}

/// Fills the page, whatever is in it, and says so.
pub(super) fn flood(machine: &'static Machine) {
    if let Some(page) = Window::outside_of_ram(machine, console_page(memory::SHARED_BASE, 0) as usize, 4096) {
        // As much as there is room for.
        let _ = console::front(page).writer.write(&[b'.'; 64]);
        notify();
    }
}
