//! Commands that are typed: what they mean, and what is said of those that mean nothing.
#![allow(clippy::panic, reason = "a test fails by a panic")]

use hyp_pvio::command::{Command, HELP, LONGEST, Line, Named, Wanted};
use hyp_pvio::description::{Disk, Nic};
use proptest::prelude::*;

fn parse(line: &str) -> Result<Option<Command>, String> {
    Command::parse(line)
}

#[test]
fn devices_come_and_go_by_their_descriptions() {
    let attach = |device| Ok(Some(Command::Attach { guest: "linux".into(), device }));
    let detach = |device, force| Ok(Some(Command::Detach { guest: "linux".into(), device, force }));
    let disk = Disk::parse("xvdb=disk1:2,ro").unwrap_or_else(|why| panic!("{why}"));
    let nic = Nic::parse("mac=00:16:3e:00:00:02,rate=5").unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(parse("attach linux disk xvdb=disk1:2,ro"), attach(Wanted::Disk(disk)));
    assert_eq!(parse("  attach  linux nic mac=00:16:3E:00:00:02,rate=5 "), attach(Wanted::Nic(nic)));
    let plain = Nic { address: None, rate: None, uplink: true };
    assert_eq!(parse("attach linux nic"), attach(Wanted::Nic(plain)));
    assert_eq!(parse("detach linux xvdb"), detach(Named::Disk(51728), false));
    assert_eq!(parse("detach linux 00:16:3E:00:00:02 force"), detach(Named::Nic("00:16:3e:00:00:02".into()), true));
    assert_eq!(parse("list"), Ok(Some(Command::List)));
    assert_eq!(parse("crash"), Ok(Some(Command::Crash)));
    assert_eq!(parse("help"), Ok(Some(Command::Help)));
    assert_eq!(parse(" \t"), Ok(None));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (line, why) in [
        ("atach linux", "\"atach\" is no command; see `help`"),
        ("attach", "attach: the guest is missing; see `help`"),
        ("attach linux", "attach: `disk` or `nic` is missing; see `help`"),
        ("attach linux tape x", "attach linux: \"tape\" cannot be attached; want `disk` or `nic`"),
        ("attach linux disk", "attach: the disk is missing; see `help`"),
        ("attach linux disk xvdb", "attach linux: \"xvdb\": no `=`; want \"xvda=NAME[:PARTITION][,ro]\""),
        ("attach linux disk xvdb=d ro", "attach: \"ro\" is one word too many; see `help`"),
        ("detach linux", "detach: the device is missing; see `help`"),
        ("detach linux sda", "detach linux: \"sda\" is no disk such as xvdb and no address such as 00:16:3e:00:00:02"),
        ("detach linux xvdb now", "detach linux: \"now\" is not `force`"),
        ("list all", "list: \"all\" is one word too many; see `help`"),
    ] {
        assert_eq!(parse(line), Err(why.into()));
    }
}

#[test]
fn help_has_every_command() {
    for verb in ["attach GUEST disk", "attach GUEST nic", "detach", "list", "crash", "help"] {
        assert!(HELP.lines().any(|line| line.starts_with(verb)), "{verb}");
    }
}

/// The lines that come of what is typed.
fn typed(bytes: impl IntoIterator<Item = u8>) -> Vec<Result<String, String>> {
    let mut line = Line::default();
    bytes.into_iter().filter_map(|byte| line.take(byte)).collect()
}

#[test]
fn lines_can_be_corrected_and_have_an_end() {
    assert_eq!(typed(*b"lisr\x7ft\x08t\rhelp\n"), [Ok("list".into()), Ok("help".into())]);
    assert_eq!(typed(*b"\x7f\x7fa\x1b\xff\n"), [Ok("a??".into())]);
    let long = typed(std::iter::repeat_n(b'x', LONGEST + 1).chain(*b"\nlist\n"));
    assert_eq!(long, [Err(format!("a line of more than {LONGEST} bytes")), Ok("list".into())]);
    assert_eq!(typed(std::iter::repeat_n(b'x', LONGEST).chain(*b"\n")), [Ok("x".repeat(LONGEST))]);
}

proptest! {
    #[test]
    fn nothing_that_is_typed_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for line in typed(bytes).into_iter().flatten() {
            let _ = parse(&line);
        }
    }
}
