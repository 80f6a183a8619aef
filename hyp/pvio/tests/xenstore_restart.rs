//! A xenstore server that ends at any store: its guests see each answer and each event once, as if there were but one
//! life.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod model;
mod support;

use std::collections::{BTreeMap, VecDeque};

use hyp_pvio::xenstore::{Access, Answer, Client, Event, Keeper, Manager, Page, Quota, client_page};
use model::{Nodes, Operation, run};
use proptest::prelude::*;
use support::{Life, Memory, Mortal};
use xen_abi::errno::Errno;
use xen_abi::io::xs_wire::{
    XENSTORE_CONNECTION, XENSTORE_RECONNECT, XS_TRANSACTION_END, XS_TRANSACTION_START, XS_WATCH,
};

/// What a guest asked for.
#[derive(Clone, Debug)]
enum Asked {
    Operation(Operation),
    Watch,
    Start,
    /// In the transaction that goes on.
    Within(Operation),
    Commit,
}

/// A transaction that a guest has begun.
struct Open {
    number: u32,
    log: Vec<Operation>,
}

struct Guest<'a> {
    number: u16,
    client: Client,
    page: Page<&'a Memory>,
    asked: VecDeque<Asked>,
    open: Option<Open>,
    /// Which life it was when the last transaction was asked for.
    life: usize,
    /// No more is asked until a transaction has begun or ended.
    waits: bool,
    /// Paths below `w` that were written, and those that it was told of.
    written: Vec<String>,
    told: Vec<String>,
    next: u32,
}

fn home(guest: u16) -> String {
    format!("/local/domain/{guest}")
}

impl<'a> Guest<'a> {
    fn new(number: u16, memory: &'a Memory) -> Self {
        let (client, page) = (Client::default(), client_page(memory));
        let (asked, written, told) = (VecDeque::new(), vec![], vec![]);
        let mut guest = Self { number, client, page, asked, open: None, life: 0, waits: false, written, told, next: 0 };
        guest.ask(Asked::Watch);
        guest
    }

    fn ask(&mut self, asked: Asked) {
        let number = self.open.as_ref().map_or(0, |open| open.number);
        let (transaction, (kind, payload)) = match &asked {
            Asked::Watch => (0, (XS_WATCH, b"w\0token\0".to_vec())),
            Asked::Start => (0, (XS_TRANSACTION_START, b"\0".to_vec())),
            Asked::Commit => (number, (XS_TRANSACTION_END, b"T\0".to_vec())),
            Asked::Operation(operation) => (0, operation.message()),
            Asked::Within(operation) => (number, operation.message()),
        };
        if self.client.ask(kind, transaction, &payload).is_ok() {
            self.waits = matches!(asked, Asked::Start | Asked::Commit);
            self.asked.push_back(asked);
        }
    }

    /// Asks for something, by these numbers.
    fn ask_some(&mut self, what: u8, which: u8, length: u16, life: usize) {
        let path = format!("{}/n{}", home(self.number), which % 4);
        let value = vec![which; usize::from(length)];
        match (what, self.open.is_some()) {
            _ if self.waits => {}
            (0, true) => self.ask(Asked::Commit),
            (_, true) => self.ask(Asked::Within(Operation::Write(path, value))),
            (0, false) => {
                self.life = life;
                self.ask(Asked::Start);
            }
            (1, false) => self.ask(Asked::Operation(Operation::Read(path))),
            (2, false) => self.ask(Asked::Operation(Operation::Remove(path))),
            (3, false) => self.ask(Asked::Operation(Operation::Write(path, value))),
            (_, false) => {
                self.next += 1;
                let path = format!("{}/w/{}", home(self.number), self.next);
                self.ask(Asked::Operation(Operation::Write(path, vec![])));
            }
        }
    }

    /// Takes all answers and events, and checks them.
    fn take(&mut self, nodes: &mut Nodes, life: usize) {
        while let Some(answer) = self.client.poll(&mut self.page, &mut false).unwrap() {
            match answer {
                Answer::Reply(_, result) => self.check(nodes, life, result),
                Answer::Event(Event { path, token }) => {
                    assert_eq!(token, b"token");
                    self.told.extend(path.strip_prefix("w/").map(str::to_owned));
                }
            }
        }
    }

    fn check(&mut self, nodes: &mut Nodes, life: usize, result: Result<Vec<u8>, Errno>) {
        let asked = self.asked.pop_front().unwrap();
        let ok = Ok(b"OK\0".to_vec());
        match asked {
            Asked::Operation(operation) => {
                let expected = run(nodes, self.number, &operation);
                assert_eq!(result.map_err(|errno| format!("{errno:?}")), expected, "{operation:?}");
                let name = operation.path().rsplit_once("/w/").map(|(_, name)| name.to_owned());
                self.written.extend(name);
            }
            Asked::Watch => assert_eq!(result, ok),
            Asked::Within(operation) => {
                assert_eq!(result, ok);
                self.open.as_mut().unwrap().log.push(operation);
            }
            Asked::Start => {
                let number = String::from_utf8(result.unwrap()).unwrap().trim_end_matches('\0').parse().unwrap();
                (self.open, self.waits) = (Some(Open { number, log: vec![] }), false);
            }
            Asked::Commit => {
                let open = self.open.take().unwrap();
                self.waits = false;
                if result == ok {
                    open.log.iter().for_each(|operation| drop(run(nodes, self.number, operation)));
                } else {
                    assert_eq!(result, Err(Errno::EAGAIN));
                    assert!(self.life != life, "nobody disturbed {:?}", open.log);
                }
            }
        }
    }
}

type Kept<'a> = Keeper<Mortal<'a>, Mortal<'a>>;

/// Guests that asked for empty pages, and what a server that begins does.
fn begin<'a>(region: &'a Memory, pages: &'a [Memory; 2], life: &'a Life) -> Kept<'a> {
    let (mut keeper, _) = Keeper::open(Mortal { memory: region, life }, 0, Quota::default());
    for (guest, memory) in (1..).zip(pages) {
        if keeper.attach(guest, Mortal { memory, life }) {
            let home = home(guest);
            keeper.manager().make(&home).unwrap();
            keeper.manager().set_permissions(&home, guest, Access::NONE, &[]).unwrap();
        }
    }
    keeper.commit(&mut |_| ()).unwrap();
    keeper
}

/// All values, as the manager sees them.
fn values(manager: &mut Manager<'_>) -> BTreeMap<String, Vec<u8>> {
    let (mut values, mut rest) = (BTreeMap::new(), vec!["/".to_owned()]);
    while let Some(path) = rest.pop() {
        let names = manager.directory(&path).unwrap();
        rest.extend(names.into_iter().map(|name| format!("{}/{name}", path.trim_end_matches('/'))));
        values.insert(path.clone(), manager.read(&path).unwrap());
    }
    values
}

fn page() -> Memory {
    let memory = Memory::new(4096);
    memory.poke(XENSTORE_CONNECTION, XENSTORE_RECONNECT);
    memory
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn guests_see_but_one_life(
        steps in prop::collection::vec((0_u8..9, 0_u8..6, any::<u8>(), 0_u16..1500), 1..250),
        lengths in prop::collection::vec(prop_oneof![1 => 0_u32..9, 2 => 0_u32..900, 1 => 0_u32..9000], 0..25),
        size in 10_000_usize..40_000,
    ) {
        let (region, pages) = (Memory::new(2 * size), [page(), page()]);
        let lives: Vec<Life> = lengths.into_iter().chain([u32::MAX]).map(Life::new).collect();
        let mut life = 0;
        let mut keeper = begin(&region, &pages, &lives[life]);
        // A guest asks nothing before its page says that it is connected.
        while lives[life].is_over() {
            life += 1;
            keeper = begin(&region, &pages, &lives[life]);
        }
        let mut guests: [Guest<'_>; 2] = std::array::from_fn(|at| Guest::new(at as u16 + 1, &pages[at]));
        let private = |owner| (vec![], vec![('n', owner)]);
        let above = ["/", "/local", "/local/domain"].map(|path| (path.to_owned(), private(0)));
        let mut nodes: Nodes = above.into_iter().chain([1, 2].map(|guest| (home(guest), private(guest)))).collect();
        let all = (0..1500_u16).map(|at| (5 + at as u8 % 4, 0, (at / 4) as u8, 0));
        for (step, what, which, length) in steps.into_iter().chain(all) {
            let at = usize::from(which) % 2;
            match step {
                0..5 => guests[at].ask_some(what, which, length, life),
                5 => guests[at].take(&mut nodes, life),
                6 | 7 => _ = keeper.serve(at as u16 + 1, u32::from(which % 8)).unwrap(),
                _ => keeper.commit(&mut |_| ()).unwrap(),
            }
            while lives[life].is_over() {
                life += 1;
                keeper = begin(&region, &pages, &lives[life]);
            }
        }
        for guest in &guests {
            prop_assert!(guest.asked.is_empty(), "{:?} is not answered", guest.asked);
            prop_assert_eq!(&guest.told, &guest.written);
        }
        let kept = values(&mut keeper.manager());
        prop_assert_eq!(&kept, &nodes.into_iter().map(|(path, (value, _))| (path, value)).collect::<BTreeMap<_, _>>());
        let again = values(&mut begin(&region, &pages, &lives[life]).manager());
        prop_assert_eq!(kept, again);
    }
}
