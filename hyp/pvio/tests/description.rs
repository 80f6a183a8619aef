//! Descriptions of devices are read as they are written, and what is wrong with others is said.
#![allow(clippy::panic, reason = "a test fails by a panic")]

use hyp_pvio::description::{Disk, Nic, address, disk_number};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_disk_is_read_as_it_is_written(
        letter in 0_u32..16, part in 0_u32..16, device in "[a-z0-9._-]{1,20}", partition in prop::option::of(1_u32..),
        read_only in any::<bool>(),
    ) {
        let letter_name = char::from(b'a' + letter as u8);
        let name = if part == 0 { format!("xvd{letter_name}") } else { format!("xvd{letter_name}{part}") };
        let disk = Disk { name, number: 51712 + letter * 16 + part, device, partition, read_only };
        prop_assert_eq!(Disk::parse(&disk.to_string()), Ok(disk));
    }

    #[test]
    fn a_card_is_read_as_it_is_written(
        bytes in prop::option::of(any::<[u8; 6]>()), rate in prop::option::of(1_u64..), uplink in any::<bool>(),
    ) {
        let text = |bytes: [u8; 6]| {
            let texts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            texts.join(":")
        };
        let address = bytes.map(|[first, rest @ ..]| {
            let [a, b, c, d, e] = rest;
            text([first & !1, a, b, c, d, e])
        });
        let nic = Nic { address, rate, uplink };
        prop_assert_eq!(Nic::parse(&nic.to_string()), Ok(nic.clone()));
        let capitals = nic.address.iter().fold(nic.to_string(), |text, small| text.replace(small, &small.to_uppercase()));
        prop_assert_eq!(Nic::parse(&capitals), Ok(nic));
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,40}", start in prop::sample::select(vec!["", "xvda=", "mac=", "xvdé=d:"])) {
        let text = format!("{start}{text}");
        let (_, _, _, _) = (Disk::parse(&text), Nic::parse(&text), address(&text), disk_number(&text));
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (text, why) in [
        ("xvda", "no `=`"),
        ("sda=disk", "the name is not xvda to xvdp"),
        ("xvdq=disk", "the name is not xvda to xvdp"),
        ("xvda16=disk", "the name is not xvda to xvdp"),
        ("xvda01=disk", "the name is not xvda to xvdp"),
        ("xvda=", "no name of a device"),
        ("xvda=disk:0", "the partition is no number from 1 on"),
        ("xvda=disk:x", "the partition is no number from 1 on"),
        ("xvda=disk,rw", "unknown option `rw`"),
    ] {
        let error = Disk::parse(text).err().unwrap_or_else(|| panic!("{text} is taken"));
        assert!(error.starts_with(&format!("{text:?}: {why}")), "{error}");
        assert!(error.ends_with("; want \"xvda=NAME[:PARTITION][,ro]\""), "{error}");
    }
    for (text, why) in [
        ("mac=00:16:3e:00:00", "no address of one card"),
        ("mac=01:16:3e:00:00:01", "no address of one card"),
        ("mac=+0:16:3e:00:00:01", "no address of one card"),
        ("rate=0", "the rate is no number of bytes a second"),
        ("rate=fast", "the rate is no number of bytes a second"),
        ("uplink=maybe", "unknown option `uplink=maybe`"),
        ("speed=1", "unknown option `speed=1`"),
    ] {
        let error = Nic::parse(text).err().unwrap_or_else(|| panic!("{text} is taken"));
        assert!(error.starts_with(&format!("{text:?}: {why}; want \"[mac=")), "{error}");
    }
}
