//! What a guest's node says about the time that its vCPUs get.
//!
//! A promise that is not kept is worse than none, so whatever could be meant in two ways is refused: a time without the
//! class that it belongs to, a deadline that no budget fits into.

use hyp_core::sched::{LONGEST_PERIOD, Promise, Reservation, SHORTEST_BUDGET};

use crate::BootError;
use crate::tree::{Spot, number};

/// The properties that only a reservation has.
const TIMES: [&str; 5] =
    ["makuhari,budget-ns", "makuhari,period-ns", "makuhari,deadline-ns", "makuhari,reclaim", "makuhari,hard"];

/// What the vCPUs of a guest are promised.
pub(super) fn read_promise<'a>(node: &Spot<'a>) -> Result<Promise, BootError<'a>> {
    let property = "makuhari,sched";
    let mut classes = node.strings(property).iter();
    if let (Some(_), Some(_)) = (classes.next(), classes.next()) {
        return Err(node.bad(property, "one class"));
    }
    let auto = node.value("makuhari,auto-reserve").is_some();
    let promise = match node.text(property)? {
        Some("reserve" | "credit") | None if auto => Promise::Auto,
        Some("pinned" | "sedf") if auto => {
            return Err(node.bad(property, "\"reserve\", or makuhari,auto-reserve left out"));
        }
        Some("reserve") => return Ok(Promise::Reserve(read_reservation(node)?)),
        Some("sedf") => return Ok(Promise::Sedf(read_reservation(node)?)),
        Some("pinned") => Promise::Pinned,
        Some("credit") | None => Promise::None,
        Some(word) => {
            let want = "\"pinned\", \"reserve\", \"credit\" or \"sedf\"";
            return Err(BootError::BadWord { path: node.path, property, word, want });
        }
    };
    if let Some(property) = TIMES.into_iter().find(|name| node.value(name).is_some()) {
        let want = "left out beside makuhari,auto-reserve";
        return Err(node.bad(property, if auto { want } else { "left out without makuhari,sched = \"reserve\"" }));
    }
    Ok(promise)
}

fn read_reservation<'a>(node: &Spot<'a>) -> Result<Reservation, BootError<'a>> {
    let [budget_name, period_name, deadline_name, reclaim, hard] = TIMES;
    let budget = needed(node, budget_name, "makuhari,budget-ns = <5000000>")?;
    let period = needed(node, period_name, "makuhari,period-ns = <16666667>")?;
    let deadline = time(node, deadline_name)?.unwrap_or(period);
    let bad = |property, value, want| BootError::BadNumber { path: node.path, property, value, want };
    if !(SHORTEST_BUDGET..=LONGEST_PERIOD).contains(&period) {
        return Err(bad(period_name, period, "from 10000 ns to 4000000000 ns"));
    }
    if !(SHORTEST_BUDGET..=period).contains(&deadline) {
        return Err(bad(deadline_name, deadline, "from 10000 ns to the period"));
    }
    let want = "from 10000 ns to the deadline or period";
    let mut reservation = Reservation::new(budget, period, deadline).ok_or(bad(budget_name, budget, want))?;
    reservation.reclaim = node.value(reclaim).is_some();
    reservation.hard = node.value(hard).is_some();
    Ok(reservation)
}

/// The wants in [`read_reservation`] say these numbers.
const _: () = assert!(SHORTEST_BUDGET == 10_000 && LONGEST_PERIOD == 4_000_000_000);

fn needed<'a>(node: &Spot<'a>, name: &'static str, example: &'static str) -> Result<u64, BootError<'a>> {
    time(node, name)?.ok_or(BootError::Missing { path: node.path, property: example })
}

/// A number of nanoseconds.
fn time<'a>(node: &Spot<'a>, name: &'static str) -> Result<Option<u64>, BootError<'a>> {
    let Some(value) = node.value(name) else { return Ok(None) };
    number(value).map(Some).ok_or(node.bad(name, "one or two 32-bit cells, nanoseconds"))
}
