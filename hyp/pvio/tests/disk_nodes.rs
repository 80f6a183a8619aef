//! What a front end writes into xenstore for its disk, and the grants that stay mapped.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::collections::HashMap;

use hyp_pvio::block::{Connection, Disk, Offer, Queue};
use hyp_pvio::nodes::NodeError;

const OFFER: Offer = Offer { queues: 4, ring_page_order: 2, persistent: true };

fn read(nodes: &[(&str, &str)]) -> Result<Connection, NodeError> {
    Connection::read(&OFFER, &mut |name| {
        nodes.iter().find(|(node, _)| *node == name).map(|(_, value)| value.as_bytes().to_vec())
    })
}

#[test]
fn a_front_end_of_one_page_says_little() {
    let nodes = [("ring-ref", "8"), ("event-channel", "3"), ("protocol", "arm-abi")];
    let queues = vec![Queue { ring: vec![8], port: 3 }];
    assert_eq!(read(&nodes), Ok(Connection { queues, persistent: false }));
}

#[test]
fn queues_and_pages_are_numbered() {
    let names = |queue: usize| [0, 1].map(|page| format!("queue-{queue}/ring-ref{page}"));
    let texts: Vec<(String, String)> = (0..3)
        .flat_map(|queue| {
            let [first, second] = names(queue);
            let port = (format!("queue-{queue}/event-channel"), format!("{}", 50 + queue));
            [(first, format!("{}", queue * 2)), (second, format!("{}", queue * 2 + 1)), port]
        })
        .chain([
            ("multi-queue-num-queues".into(), "3".into()),
            ("ring-page-order".into(), "1".into()),
            ("feature-persistent".into(), "1".into()),
        ])
        .collect();
    let nodes: Vec<_> = texts.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let queues = (0..3).map(|queue| Queue { ring: vec![queue * 2, queue * 2 + 1], port: 50 + queue }).collect();
    assert_eq!(read(&nodes), Ok(Connection { queues, persistent: true }));
}

#[test]
fn what_cannot_be_is_named() {
    let good = [("ring-ref", "8"), ("event-channel", "3")];
    for (node, value) in [
        ("protocol", "x86_32-abi"),
        ("ring-page-order", "3"),
        ("ring-page-order", "-1"),
        ("multi-queue-num-queues", "0"),
        ("multi-queue-num-queues", "5"),
        ("ring-ref", ""),
        ("ring-ref", "4294967296"),
        ("event-channel", "3 "),
        ("feature-persistent", "yes"),
    ] {
        let nodes = [&[(node, value)][..], &good].concat();
        assert_eq!(read(&nodes), Err(NodeError { node: node.into(), value: Some(value.into()) }));
    }
    let error = read(&good[..1]).unwrap_err();
    assert_eq!(error.to_string(), "the front end has no event-channel");
    let long = "9".repeat(90);
    let error = read(&[("ring-ref", &long)]).unwrap_err();
    assert_eq!(error.value.map(|value| value.len()), Some(40));
}

#[test]
fn a_back_end_says_what_its_disk_can_do() {
    let disk = Disk { sectors: 7, read_only: true, flush: true, barrier: false, discard: false, indirect: 32 };
    let nodes: HashMap<_, _> = disk.features(&OFFER).into_iter().chain(disk.properties()).collect();
    for (name, value) in [
        ("feature-flush-cache", "1"),
        ("feature-barrier", "0"),
        ("feature-max-indirect-segments", "32"),
        ("multi-queue-max-queues", "4"),
        ("sectors", "7"),
        ("info", "4"),
        ("sector-size", "512"),
    ] {
        assert_eq!(nodes[name], value, "{name}");
    }
}
