//! Xen's console: its own lines begin with `(XEN)`, those of guests with their number, or with nothing when the guest has
//! the keyboard.

use super::Line;
use crate::events::Source;

/// Takes a line apart. `guests` are the names of the domains from number 1 on.
pub(super) fn split(line: &str, guests: &[String]) -> Line {
    let rest = line.strip_prefix("(XEN) ").unwrap_or(line);
    // An emulated serial port, or a hypercall.
    let port = rest.strip_prefix("DOM").and_then(|rest| rest.split_once(':'));
    let numbered = port.or_else(|| rest.strip_prefix("(d").and_then(|rest| rest.split_once(')')));
    let named = numbered.and_then(|(number, text)| {
        let name = guests.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
        Some(Line { source: Some(Source::Guest(name.clone())), text: text.strip_prefix(' ').unwrap_or(text).into() })
    });
    named.unwrap_or_else(|| {
        let own = line.starts_with("(XEN)");
        // The first guest has the keyboard.
        let source = if own { Some(Source::Hypervisor) } else { guests.first().cloned().map(Source::Guest) };
        Line { source, text: if own { rest.into() } else { line.into() } }
    })
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn speakers_are_told_by_their_numbers() {
        let guests = ["ping".to_owned(), "pong".to_owned()];
        let said = |line: &str| {
            let line = split(line, &guests);
            (line.source.map_or_else(String::new, |source| source.to_string()), line.text)
        };
        let expect = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(said("(XEN) Brought up 1 CPUs"), expect("hyp", "Brought up 1 CPUs"));
        assert_eq!(said("DOM2: [    0.0] x"), expect("pong", "[    0.0] x"));
        assert_eq!(said("(XEN) DOM1: y"), expect("ping", "y"));
        assert_eq!(said("(XEN) (d2) @done"), expect("pong", "@done"));
        assert_eq!(said("(XEN) (d7) z"), expect("hyp", "(d7) z"));
        assert_eq!(said("plain"), expect("ping", "plain"));
    }
}
