//! The parts together, on a pretended UART. The log is one per program, so these tests take turns.

use std::sync::{Mutex, MutexGuard};

use crate::{CONSOLE, Hooks, emergency, event, finish_line, flush, info, init, name_domain, uart, warn, write_guest};

static TURN: Mutex<()> = Mutex::new(());
static SENT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

const HOOKS: Hooks = Hooks { put, cpu: || 0, now_ns: || 0, halt: || std::process::abort() };

fn put(byte: u8) -> bool {
    SENT.lock().unwrap().push(byte);
    true
}

fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    init(HOOKS);
    name_domain(0, "player");
    name_domain(1, "hog");
    flush();
    SENT.lock().unwrap().clear();
    turn
}

fn sent() -> String {
    String::from_utf8(std::mem::take(&mut *SENT.lock().unwrap())).unwrap()
}

#[test]
fn messages_have_their_level() {
    let _turn = turn();
    info!("{} CPUs", 4);
    warn!("property {} unknown: {:#x}", "x,y", 16u32);
    event!("@boot cpus={}", 4);
    assert_eq!(sent(), "[hyp] 4 CPUs\n[hyp] warning: property x,y unknown: 0x10\n[hyp] @boot cpus=4\n");
}

#[test]
fn an_ended_domain_leaves_its_last_words() {
    let _turn = turn();
    assert_eq!(write_guest(0, b"Goodb"), 5);
    finish_line(0);
    finish_line(0);
    assert_eq!(sent(), "[player] Goodb\n");
}

#[test]
fn an_emergency_speaks_past_a_held_lock() {
    let _turn = turn();
    let console = CONSOLE.lock();
    emergency!("EL2 fault\nsyndrome {:#x}", 0x25);
    drop(console);
    assert_eq!(sent(), "[hyp] EL2 fault\n[hyp] syndrome 0x25\n");
    info!("and life goes on");
    assert_eq!(sent(), "[hyp] and life goes on\n");
}

#[test]
fn an_emergency_closes_what_is_open() {
    let _turn = turn();
    uart::put(&HOOKS, b"\0\x05x");
    emergency!("one");
    uart::put(&HOOKS, b"half a line");
    emergency!("two\n");
    assert_eq!(sent(), "\0\u{5}x\0[hyp] one\nhalf a line\n[hyp] two\n");
}

#[test]
fn four_writers_at_once_keep_their_lines() {
    let _turn = turn();
    std::thread::scope(|scope| {
        for writer in 0..4u32 {
            scope.spawn(move || {
                for number in 0..50 {
                    info!("writer {} number {} end", writer, number);
                }
            });
        }
    });
    flush();
    let text = sent();
    for line in text.lines() {
        assert!(line.starts_with("[hyp] w") && line.ends_with("end") | line.ends_with("full"), "{line}");
        assert_eq!(line.matches("[hyp]").count(), 1, "{line}");
    }
    assert!(text.contains("number 0 end"));
}
