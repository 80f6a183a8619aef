use super::Console;

type Small = Console<4096>;

fn console() -> Small {
    let mut console = Small::new();
    console.name(0, "player");
    console.name(1, "hog");
    console
}

fn output(console: &mut Small) -> String {
    let mut bytes = Vec::new();
    assert_eq!(console.drain(usize::MAX, |part| (bytes.extend(part), part.len()).1), 0);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn lines_of_two_guests_and_the_log_do_not_mix() {
    let mut console = console();
    assert_eq!(console.write_guest(0, b"one "), 4);
    assert_eq!(console.write_guest(1, b"loud\nagain"), 10);
    console.message(b"[hyp] message\n");
    assert_eq!(console.write_guest(0, b"line\n"), 5);
    assert_eq!(output(&mut console), "[hog] loud\n[hyp] message\n[player] one line\n");
    assert!(console.finish_line(1));
    assert!(console.finish_line(0), "nothing to finish is success");
    assert_eq!(output(&mut console), "[hog] again\n");
}

#[test]
fn control_characters_are_dropped_but_colours_and_umlauts_pass() {
    let mut console = console();
    let text = "a\0b\rc\x07\td\x1b[1m\u{fc}\x7f\n";
    assert_eq!(console.write_guest(0, text.as_bytes()), text.len());
    assert_eq!(output(&mut console), "[player] abc\td\x1b[1m\u{fc}\n");
}

#[test]
fn long_lines_break_and_their_newline_is_not_doubled() {
    let mut console = console();
    console.write_guest(0, &[b'x'; 256]);
    console.write_guest(0, b"\n");
    console.write_guest(0, &[b'y'; 257]);
    console.write_guest(0, b"\n\n");
    let (x, y) = ("x".repeat(256), "y".repeat(256));
    assert_eq!(output(&mut console), format!("[player] {x}\n[player] {y}\n[player] y\n[player] \n"));
}

#[test]
fn a_full_ring_refuses_guests_but_not_the_log() {
    let mut console = console();
    let line = [&[b'z'; 90][..], b"\n"].concat();
    let mut lines = 0;
    while console.write_guest(1, &line) == line.len() {
        lines += 1;
    }
    // The refused newline is offered again and again; nothing is lost or doubled.
    assert_eq!(console.write_guest(1, b"\n"), 0);
    assert_eq!(console.write_guest(0, b"\n"), 1, "room for a shorter line, until there is none");
    while console.write_guest(0, b"\n") == 1 {}
    console.message(b"[hyp] still here\n");
    let first = output(&mut console);
    assert_eq!(first.matches('z').count(), lines * 90);
    assert!(first.ends_with("[hyp] still here\n"));
    assert_eq!(console.write_guest(1, b"\n"), 1);
    assert_eq!(output(&mut console), format!("[hog] {}\n", "z".repeat(90)));
}

#[test]
fn lost_messages_are_counted_and_said() {
    let mut console = console();
    let big = [b'm'; 1000];
    for _ in 0..6 {
        console.message(&big);
    }
    assert_eq!(output(&mut console).len(), 4000);
    console.message(b"[hyp] next\n");
    assert_eq!(output(&mut console), "[hyp] warning: 2 messages lost, output ring full\n[hyp] next\n");
}

#[test]
fn a_slow_uart_gets_the_same_bytes() {
    let mut console = console();
    console.write_guest(0, b"slow but sure\n");
    let mut bytes: Vec<u8> = Vec::new();
    let mut room = 0;
    loop {
        let left = console.drain(8, |part| {
            let taken = part.len().min(room);
            room -= taken;
            bytes.extend(&part[..taken]);
            taken
        });
        if left == 0 {
            break;
        }
        room = 3;
    }
    assert_eq!(bytes, b"[player] slow but sure\n");
}

#[test]
fn frames_stay_whole_between_lines() {
    let mut console = console();
    console.write_guest(0, b"half a ");
    console.message(&[0, 1, b'\n', 3, 0]);
    console.write_guest(0, b"line\n");
    console.message(&[0, 4, 0]);
    let text = output(&mut console);
    let parts: Vec<&str> = text.split('\0').collect();
    assert_eq!(parts, ["", "\u{1}\n\u{3}", "[player] half a line\n", "\u{4}", ""]);
}

#[test]
fn a_domain_that_cannot_exist_does_no_harm() {
    let mut console = console();
    assert_eq!(console.write_guest(8, b"who?\n"), 5);
    assert!(console.finish_line(usize::MAX));
    console.name(9, "nobody");
    assert_eq!(output(&mut console), "");
}
