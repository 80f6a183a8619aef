//! The devices of a guest that tests them: a disk and a card, with the front halves of the protocols of `hyp_pvio`, which nobody
//! else runs in a guest but the player. So the I/O domain is tested with them, and they are tested with I/O domains that lie.

pub(crate) mod card;
pub(crate) mod disk;

use alloc::format;

use hyp_pvio::xenbus::State;
use rt::front::{Ends, Store, Trouble};

use crate::check::Checks;

/// The back end says that this was wrong, and waits for a front end that begins anew.
///
/// # Errors
/// As of [`Ends::close`], or it goes on.
pub(crate) fn is_over(
    ends: &Ends,
    checks: &mut Checks,
    store: &mut Store,
    port: u32,
    (name, error): (&str, &str),
) -> Result<(), Trouble> {
    store.wait_for(&ends.back, State::Closing)?;
    let told = store.read(&format!("{}/error", ends.back))?;
    checks.that(name, told.contains(error), format_args!("{told}"));
    ends.close(store, port)
}
