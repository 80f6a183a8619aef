//! Shares against what each guest is entitled to: all have the same weight, so that who wants less than an equal part gets
//! what it wants, and what is left is divided equally among the others. A reservation comes first.

/// A guest that competes for the CPUs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wish {
    pub(super) guest: String,
    /// The part of one CPU that it would use if it were alone; 1 if it never sleeps.
    pub(super) demand: f64,
    /// It has its demand before others get anything.
    pub(super) reserved: bool,
    /// What it got; `None` if it does not tell.
    pub(super) got: Option<f64>,
}

/// What a guest got and should have got, as parts of one CPU.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct Share {
    pub(super) guest: String,
    pub(super) entitled: f64,
    pub(super) got: Option<f64>,
}

/// Divides `cpus` CPUs.
pub(super) fn shares(cpus: u32, wishes: &[Wish]) -> Vec<Share> {
    let mut room = f64::from(cpus);
    let mut entitled = vec![0.0; wishes.len()];
    let mut open: Vec<usize> = Vec::new();
    for (number, wish) in wishes.iter().enumerate() {
        if wish.reserved {
            entitled[number] = wish.demand;
            room -= wish.demand;
        } else {
            open.push(number);
        }
    }
    // Smallest demand first: an equal part of what is left is more than it wants, or else it is for all others too.
    open.sort_by(|a, b| wishes[*a].demand.total_cmp(&wishes[*b].demand));
    let mut left = open.len();
    for number in open {
        let part = (room / left as f64).clamp(0.0, 1.0);
        entitled[number] = wishes[number].demand.min(part);
        room -= entitled[number];
        left -= 1;
    }
    let share = |(wish, entitled): (&Wish, f64)| Share { guest: wish.guest.clone(), entitled, got: wish.got };
    wishes.iter().zip(entitled).map(share).collect()
}

/// The largest part of its entitlement that a guest did not get; more than that is no error. Guests that want next to
/// nothing do not count, as what they get is what they want.
pub(super) fn error(shares: &[Share]) -> Option<f64> {
    let missing = |share: &Share| Some(((share.entitled - share.got?) / share.entitled).max(0.0));
    shares.iter().filter(|share| share.entitled > 0.05).filter_map(missing).max_by(f64::total_cmp)
}

/// What a guest has run between two times, from what it told now and then: (time, ran) in order, both ns. Between two
/// telling it is taken to have run evenly.
pub(super) fn ran_between(told: &[(u64, u64)], from: u64, to: u64) -> Option<f64> {
    let at = |time: u64| {
        let after = told.iter().position(|(at, _)| *at >= time)?;
        let (end, ran) = told[after];
        let Some((start, before)) = after.checked_sub(1).map(|before| told[before]) else {
            return (end == time).then_some(ran as f64);
        };
        let part = (time - start) as f64 / (end - start).max(1) as f64;
        Some(before as f64 + part * (ran as f64 - before as f64))
    };
    (to > from).then_some(())?;
    Some((at(to)? - at(from)?) / (to - from) as f64)
}

#[cfg(test)]
mod tests {
    use super::{Wish, error, ran_between, shares};

    fn wish(guest: &str, demand: f64, reserved: bool, got: f64) -> Wish {
        Wish { guest: guest.into(), demand, reserved, got: Some(got) }
    }

    fn entitled(cpus: u32, wishes: &[Wish]) -> Vec<f64> {
        shares(cpus, wishes).iter().map(|share| (share.entitled * 1e3).round() / 1e3).collect()
    }

    #[test]
    fn small_demands_are_met_and_the_rest_is_equal() {
        let three = [wish("hog-1", 1.0, false, 0.3), wish("player", 0.1, false, 0.1), wish("hog-2", 1.0, false, 0.45)];
        assert_eq!(entitled(1, &three), [0.45, 0.1, 0.45]);
        assert!((error(&shares(1, &three)).unwrap() - 1.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn who_wants_more_than_an_equal_part_gets_that_part_unless_it_is_reserved() {
        let four = |reserved| {
            let hogs = ["hog-1", "hog-2", "hog-3"].map(|name| wish(name, 1.0, false, 0.24));
            [vec![wish("player", 0.28, reserved, 0.28)], hogs.to_vec()].concat()
        };
        assert_eq!(entitled(1, &four(false)), [0.25; 4]);
        assert_eq!(entitled(1, &four(true)), [0.28, 0.24, 0.24, 0.24]);
        assert_eq!(error(&shares(1, &four(true))), Some(0.0));
        // A guest with one vCPU cannot have more than one CPU.
        assert_eq!(entitled(2, &[wish("player", 0.28, false, 0.28), wish("hog", 1.0, false, 1.0)]), [0.28, 1.0]);
    }

    #[test]
    fn what_ran_is_read_between_two_lines() {
        let told = [(100, 10), (200, 60), (300, 60)];
        assert_eq!(ran_between(&told, 100, 300), Some(0.25));
        assert_eq!(ran_between(&told, 150, 250), Some(0.25));
        assert_eq!(ran_between(&told, 50, 250), None, "nothing is known before the first line");
        assert_eq!(ran_between(&told, 100, 301), None, "nor after the last");
        assert_eq!(ran_between(&told, 200, 200), None);
    }
}
