//! A scenario that is wrong must be refused with file, line and fix.

use std::path::Path;

use super::Scenario;

const GOOD: &str = r#"
about = "a player"
limit_ns = 1
[machine]
cpus = 2
[[guest]]
name = "player"
program = "player"
memory_mib = 64
"#;

fn error(text: &str) -> String {
    format!("{:#}", Scenario::parse(text, Path::new("x/y.toml"), String::new()).unwrap_err())
}

#[test]
fn a_good_one_is_read() {
    let scenario = Scenario::parse(GOOD, Path::new("x/y.toml"), String::new()).unwrap();
    assert_eq!((scenario.name().as_str(), scenario.machine.memory_mib), ("y", 1024));
    assert_eq!(scenario.resolve(Path::new("z")), Path::new("x/z"));
}

#[test]
fn a_guest_may_be_promised_time() {
    let promise = "memory_mib = 64\nsched = \"reserve\"\nbudget_ns = 5_000_000\nperiod_ns = 16_666_667\nreclaim = true";
    let text =
        GOOD.replace("memory_mib = 64", promise).replace("[machine]", "[hypervisor]\nscheduler = \"stock\"\n[machine]");
    let scenario = Scenario::parse(&text, Path::new("x/y.toml"), String::new()).unwrap();
    let guest = &scenario.guests[0];
    assert_eq!((guest.budget_ns, guest.period_ns, guest.deadline_ns), (Some(5_000_000), Some(16_666_667), None));
    assert!(guest.reclaim && !guest.hard && !guest.auto_reserve);
    assert_eq!(guest.sched.map(super::Class::word), Some("reserve"));
    assert_eq!(scenario.hypervisor.scheduler.map(super::Scheduler::word), Some("stock"));
    let text = error(&GOOD.replace("memory_mib = 64", "memory_mib = 64\nsched = \"reserv\""));
    assert!(text.ends_with("(did you mean `reserve`?)"), "{text}");
}

#[test]
fn a_typo_names_place_and_word() {
    let text = error(&GOOD.replace("memory_mib", "memroy_mib"));
    assert!(text.starts_with("x/y.toml:9: unknown field `memroy_mib`"), "{text}");
    assert!(text.ends_with("(did you mean `memory_mib`?)"), "{text}");
    let text = error(&GOOD.replace("\"player\"\nmem", "\"plyer\"\nmem"));
    assert!(text.starts_with("x/y.toml:8: unknown variant `plyer`"), "{text}");
    assert!(text.ends_with("(did you mean `player`?)"), "{text}");
}

#[test]
fn nonsense_is_refused() {
    for (from, to, expected) in [
        ("cpus = 2", "cpus = 9", "x/y.toml:5: cpus = 9 is not between 1 and 8"),
        ("cpus = 2", "gic = 4", "gic = 4 is not supported"),
        ("cpus = 2", "cpu = \"ryzen\"", "cpu = \"ryzen\" is not one of board qemu-virt"),
        ("cpus = 2", "board = \"x86\"\ncpu = \"cortex-a57\"", "cpu = \"cortex-a57\" is not one of board x86"),
        (
            "[machine]",
            "[hypervisor]\nnone = true\n[machine]",
            "x/y.toml:5: a machine without a hypervisor is one of x86",
        ),
        ("program = \"player\"", "", "needs `program`"),
        ("program = \"player\"", "program = \"hog\"\nimage = \"i\"", "take one away"),
        ("memory_mib = 64", "memory_mib = 0", "needs memory"),
        ("memory_mib = 64", "memory_mib = 64\naffinity = [2]", "affinity names CPU 2"),
        ("memory_mib = 64", "memory_mib = 64\npeers = [\"playr\"]", "did you mean `player`?"),
        ("memory_mib = 64", "memory_mib = 64\nallow = [\"consol\"]", "did you mean `console`?"),
        ("memory_mib = 64", "memory_mib = 64\n[[expect]]\nevent = \"fualt\"", "did you mean `fault`?"),
        ("memory_mib = 64", "memory_mib = 64\n[[expect]]\n", "exactly one of `event` and `text`"),
        ("name = \"player\"", "name = \"hyp\"", "is not `hyp`"),
        ("memory_mib = 64", "memory_mib = 64\nstatic_memory = [{ address = 0, size_mib = 32 }]", "has 32 MiB, but"),
        ("memory_mib = 64", "memory_mib = 64\nchannel = [{ port = 0, to = \"p\", remote_port = 1 }]", "between 1 and"),
        ("memory_mib = 64", "memory_mib = 64\nchannel = [{ port = 1, to = \"p\", remote_port = 1 }]", "no guest of"),
        (
            "memory_mib = 64",
            "memory_mib = 64\nchannel = [{ port = 1, to = \"player\", remote_port = 2 }]",
            "does not lead back",
        ),
        ("limit_ns = 1", "", "missing field `limit_ns`"),
    ] {
        let text = error(&GOOD.replace(from, to));
        assert!(text.contains(expected), "{text}");
    }
}
