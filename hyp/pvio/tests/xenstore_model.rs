//! Xenstore against the model: what everybody is answered, what is in the tree, what a transaction may not miss, and
//! who is told of what.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod model;

use std::collections::BTreeMap;

use hyp_pvio::xenstore::{Event, Quota, Server};
use model::{Answer, Nodes, Operation, ask, below, dump, may, run};
use proptest::prelude::*;
use xen_abi::io::xs_wire::{XS_TRANSACTION_END, XS_TRANSACTION_START, XS_UNWATCH, XS_WATCH};

#[derive(Clone, Debug)]
enum Step {
    /// In the guest's transaction of this number, if it has as many.
    Operate(u16, usize, Operation),
    Start(u16),
    End(u16, usize, bool),
    Watch(u16, String),
    Unwatch(u16, String),
}

fn path() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "/", "/a", "/a/b", "/a/b/c", "/a-b", "/a/b/c/d", "/g1", "/g1/a", "/g1/a/b", "/g2", "/g2/x",
    ])
    .prop_map(str::to_owned)
}

fn entries() -> impl Strategy<Value = Vec<(char, u16)>> {
    prop::collection::vec((prop::sample::select(vec!['n', 'r', 'w', 'b']), 0_u16..3), 1..4)
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        2 => path().prop_map(Operation::Read),
        2 => path().prop_map(Operation::Directory),
        1 => path().prop_map(Operation::Permissions),
        4 => (path(), prop::collection::vec(any::<u8>(), 0..4)).prop_map(|(path, value)| Operation::Write(path, value)),
        2 => path().prop_map(Operation::Make),
        2 => path().prop_map(Operation::Remove),
        2 => (path(), entries()).prop_map(|(path, entries)| Operation::Set(path, entries)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let guest = || 0_u16..3;
    prop_oneof![
        10 => (guest(), 0_usize..4, operation()).prop_map(|(guest, at, operation)| Step::Operate(guest, at, operation)),
        2 => guest().prop_map(Step::Start),
        2 => (guest(), 0_usize..3, any::<bool>()).prop_map(|(guest, at, commit)| Step::End(guest, at, commit)),
        2 => (guest(), path()).prop_map(|(guest, path)| Step::Watch(guest, path)),
        1 => (guest(), path()).prop_map(|(guest, path)| Step::Unwatch(guest, path)),
    ]
}

/// A transaction that goes on: its number, what was asked and answered, and when it began.
struct Open {
    number: u32,
    log: Vec<(Operation, Answer)>,
    /// How much of the history there was.
    began: usize,
}

struct Machine {
    server: Server,
    nodes: Nodes,
    /// Every path that was written outside of transactions or by a commit; the root too when its children changed.
    history: Vec<String>,
    open: BTreeMap<u16, Vec<Open>>,
    watches: BTreeMap<u16, Vec<String>>,
}

impl Machine {
    fn new() -> Self {
        let mut server = Server::new(0, Quota::default());
        server.introduce(1);
        server.introduce(2);
        let mut machine = Self {
            nodes: dump(&mut server),
            history: Vec::new(),
            server,
            open: BTreeMap::from([(0, vec![]), (1, vec![]), (2, vec![])]),
            watches: BTreeMap::from([(0, vec![]), (1, vec![]), (2, vec![])]),
        };
        for (path, entry) in [("/g1", ('r', 1)), ("/g2", ('n', 2)), ("/a", ('b', 0))] {
            machine.operate(0, 9, &Operation::Make(path.into()));
            machine.operate(0, 9, &Operation::Set(path.into(), vec![entry]));
        }
        machine
    }

    fn operate(&mut self, guest: u16, at: usize, operation: &Operation) {
        let (kind, payload) = operation.message();
        let open = self.open.get_mut(&guest).unwrap().get_mut(at);
        let number = open.as_ref().map_or(0, |open| open.number);
        let answer = ask(&mut self.server, guest, kind, number, &payload);
        match open {
            Some(open) => open.log.push((operation.clone(), answer)),
            None => {
                let expected = self.model(guest, operation);
                assert_eq!(answer, expected, "{guest}: {operation:?}");
            }
        }
    }

    /// Does it in the model.
    fn model(&mut self, guest: u16, operation: &Operation) -> Answer {
        let tops = |nodes: &Nodes| nodes.keys().filter(|path| path.matches('/').count() == 1).count();
        let before = tops(&self.nodes);
        let answer = run(&mut self.nodes, guest, operation);
        if answer.is_ok() && operation.writes() {
            self.history.push(operation.path().to_owned());
        }
        if tops(&self.nodes) != before {
            self.history.push("/".to_owned());
        }
        answer
    }

    /// What is committed is as if it happened now; what is not was disturbed by somebody.
    fn end(&mut self, guest: u16, at: usize, commit: bool) {
        if at >= self.open[&guest].len() {
            let answer = ask(&mut self.server, guest, XS_TRANSACTION_END, 12345, b"T\0");
            return assert_eq!(answer, Err("ENOENT".into()));
        }
        let Open { number, log, began } = self.open.get_mut(&guest).unwrap().remove(at);
        let answer = ask(&mut self.server, guest, XS_TRANSACTION_END, number, if commit { b"T\0" } else { b"F\0" });
        match answer {
            Ok(_) if commit => {
                for (operation, answer) in log {
                    assert_eq!(self.model(guest, &operation), answer, "{guest}: {operation:?}");
                }
            }
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, "EAGAIN");
                assert!(commit && concerns(&log, &self.history[began..]), "nobody disturbed {log:?}");
            }
        }
    }

    fn watch(&mut self, guest: u16, path: &str, add: bool) {
        let kind = if add { XS_WATCH } else { XS_UNWATCH };
        let answer = ask(&mut self.server, guest, kind, 0, format!("{path}\0{path}\0").as_bytes());
        let watches = self.watches.get_mut(&guest).unwrap();
        let at = watches.iter().position(|other| other == path);
        match (add, at) {
            (true, None) => {
                watches.push(path.to_owned());
                let first = Event { path: path.to_owned(), token: path.into() };
                assert_eq!((answer, self.server.next_event(guest)), (Ok(b"OK\0".to_vec()), Some(first)));
            }
            (true, Some(_)) => assert_eq!(answer, Err("EEXIST".into())),
            (false, None) => assert_eq!(answer, Err("ENOENT".into())),
            (false, Some(at)) => drop(watches.remove(at)),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Operate(guest, at, operation) => self.operate(*guest, *at, operation),
            Step::Start(guest) if self.open[guest].len() < 3 => {
                let answer = ask(&mut self.server, *guest, XS_TRANSACTION_START, 0, b"\0").unwrap();
                let number = String::from_utf8(answer).unwrap().trim_end_matches('\0').parse().unwrap();
                let open = Open { number, log: Vec::new(), began: self.history.len() };
                self.open.get_mut(guest).unwrap().push(open);
            }
            Step::Start(_) => {}
            Step::End(guest, at, commit) => self.end(*guest, *at, *commit),
            Step::Watch(guest, path) => self.watch(*guest, path, true),
            Step::Unwatch(guest, path) => self.watch(*guest, path, false),
        }
    }

    /// All that was told of the step that brought `before` to what is now.
    fn check_events(&mut self, before: &Nodes) {
        for guest in 0..3 {
            let events: Vec<Event> = std::iter::from_fn(|| self.server.next_event(guest)).collect();
            let reads = |nodes: &Nodes, path: &str| nodes.get(path).is_some_and(|(_, list)| may(list, guest, false));
            let saw = |path: &str| reads(before, path) || reads(&self.nodes, path);
            for Event { path, token } in &events {
                let watch = String::from_utf8(token.clone()).unwrap();
                assert!(self.watches[&guest].contains(&watch) && below(path, &watch), "{guest}: {path} for {watch}");
                assert!(saw(path), "{guest} is told of {path}, which it cannot read");
            }
            for watch in &self.watches[&guest] {
                for path in changed(before, &self.nodes).filter(|path| below(path, watch) && saw(path)) {
                    let top = path == "/" || self.nodes.contains_key(&path[..path.rfind('/').unwrap().max(1)]);
                    let due = top || self.nodes.contains_key(path) || path == watch;
                    let told = events.iter().any(|event| below(path, &event.path) && event.token == watch.as_bytes());
                    assert!(told || !due, "{guest} is not told of {path} for {watch}");
                }
            }
        }
    }
}

fn changed<'a>(before: &'a Nodes, after: &'a Nodes) -> impl Iterator<Item = &'a String> {
    before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path))
}

/// Whether what others changed since may concern what a transaction asked for: both are about the root or a node just
/// below it, or are below the same one.
fn concerns(log: &[(Operation, Answer)], others: &[String]) -> bool {
    let top = |path: &str| path.split('/').nth(1).filter(|_| path.matches('/').count() > 1).map(str::to_owned);
    log.iter().any(|(operation, _)| {
        let mine = top(operation.path());
        others.iter().any(|other| {
            mine.is_none()
                || top(other).is_none()
                || mine == top(other)
                || other == &format!("/{}", mine.clone().unwrap_or_default())
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn everybody_sees_what_the_model_says(steps in prop::collection::vec(step(), 1..120)) {
        let mut machine = Machine::new();
        for step in steps {
            let before = machine.nodes.clone();
            machine.step(&step);
            machine.check_events(&before);
        }
        let dumped = dump(&mut machine.server);
        prop_assert_eq!(dumped, machine.nodes);
    }
}
