//! What a front end writes into xenstore for its network card.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

use hyp_pvio::network::{Connection, Offer, Ports, Queue};
use hyp_pvio::nodes::NodeError;

const OFFER: Offer = Offer { queues: 2 };

fn read(nodes: &[(&str, &str)]) -> Result<Connection, NodeError> {
    Connection::read(&OFFER, &mut |name| {
        nodes.iter().find(|(node, _)| *node == name).map(|(_, value)| value.as_bytes().to_vec())
    })
}

/// What the least of front ends says.
const LEAST: [(&str, &str); 4] =
    [("request-rx-copy", "1"), ("tx-ring-ref", "8"), ("rx-ring-ref", "9"), ("event-channel", "3")];

#[test]
fn the_least_of_front_ends_takes_whole_packets_only() {
    let queues = vec![Queue { transmit: 8, receive: 9, ports: Ports::One(3) }];
    let connection = Connection {
        queues,
        scatter: false,
        large_ipv4: false,
        large_ipv6: false,
        blank_ipv4: true,
        blank_ipv6: false,
    };
    assert_eq!(read(&LEAST), Ok(connection.clone()));
    let alone = [&LEAST[..], &[("feature-gso-tcpv4", "1"), ("feature-no-csum-offload", "1")]].concat();
    assert_eq!(read(&alone), Ok(Connection { blank_ipv4: false, ..connection }), "no large packets in one piece");
}

#[test]
fn two_queues_with_two_channels_each() {
    let nodes = [
        ("request-rx-copy", "1"),
        ("feature-sg", "1"),
        ("feature-gso-tcpv4", "1"),
        ("feature-gso-tcpv6", "1"),
        ("feature-ipv6-csum-offload", "1"),
        ("multi-queue-num-queues", "2"),
        ("queue-0/tx-ring-ref", "1"),
        ("queue-0/rx-ring-ref", "2"),
        ("queue-0/event-channel-tx", "3"),
        ("queue-0/event-channel-rx", "4"),
        ("queue-1/tx-ring-ref", "5"),
        ("queue-1/rx-ring-ref", "6"),
        ("queue-1/event-channel", "7"),
    ];
    let queues = vec![
        Queue { transmit: 1, receive: 2, ports: Ports::Two { transmit: 3, receive: 4 } },
        Queue { transmit: 5, receive: 6, ports: Ports::One(7) },
    ];
    let all =
        Connection { queues, scatter: true, large_ipv4: true, large_ipv6: true, blank_ipv4: true, blank_ipv6: true };
    assert_eq!(read(&nodes), Ok(all));
}

#[test]
fn what_cannot_be_is_named() {
    for (node, value) in [
        ("request-rx-copy", "0"),
        ("multi-queue-num-queues", "3"),
        ("tx-ring-ref", "x"),
        ("rx-ring-ref", "-1"),
        ("event-channel-tx", ""),
        ("feature-sg", "yes"),
    ] {
        let nodes = [&[(node, value)][..], &LEAST].concat();
        assert_eq!(read(&nodes), Err(NodeError { node: node.into(), value: Some(value.into()) }));
    }
    for (missing, (node, _)) in LEAST.iter().enumerate() {
        let nodes: Vec<_> = LEAST.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, node)| *node).collect();
        assert_eq!(read(&nodes), Err(NodeError { node: (*node).into(), value: None }));
    }
    let split = [&LEAST[..], &[("event-channel-tx", "4")]].concat();
    assert_eq!(read(&split).unwrap_err().node, "event-channel-rx");
}

#[test]
fn a_back_end_takes_copies_and_gives_no_pages_away() {
    let nodes = OFFER.features();
    for node in [("feature-rx-copy", "1"), ("feature-rx-flip", "0"), ("multi-queue-max-queues", "2")] {
        assert!(nodes.iter().any(|(name, value)| (*name, value.as_str()) == node), "{node:?}");
    }
}
