//! A scenario that is wrong must be refused with file, line and fix.

use std::path::Path;

use super::{Disk, Image, Scenario};

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

const DEVICES: &str = r#"
about = "a disk"
limit_ns = 1
[[guest]]
name = "iod"
program = "probe"
memory_mib = 16
io_domain = true
[[guest]]
name = "linux"
program = "probe"
memory_mib = 64
[[guest.disk]]
name = "xvda"
image = "ext4:files"
size_mib = 32
[[guest.disk]]
name = "xvdb"
serial = "both"
image = "empty"
size_mib = 16
[[guest.disk]]
name = "xvdc"
serial = "both"
partition = 2
read_only = true
"#;

#[test]
fn disks_have_an_image_once_and_somebody_who_serves_them() {
    let scenario = Scenario::parse(DEVICES, Path::new("x/y.toml"), String::new()).unwrap();
    let disks = &scenario.guests[1].disks;
    assert_eq!(disks[0].image, Some(Image::Ext4(Some("files".into()))));
    assert_eq!(disks.iter().map(Disk::serial).collect::<Vec<_>>(), ["xvda", "both", "both"]);
    assert_eq!(scenario.io_domain().unwrap().name, "iod");
}

#[test]
fn nonsense_about_disks_is_refused() {
    for (from, to, expected) in [
        ("io_domain = true\n", "", "x/y.toml:9: guest `linux`: it has devices, but no guest serves them: give one"),
        ("name = \"linux\"", "name = \"linux\"\nio_domain = true", "an I/O domain serves devices of others"),
        (
            "limit_ns = 1",
            "limit_ns = 1\nmachine = { board = \"x86\", cpu = \"ryzen\" }",
            "Bochs, which emulates this CPU, has no such devices",
        ),
        ("ext4:files", "ext4:", "x/y.toml:15: image `ext4:` is none of `empty`, `ext4`"),
        ("ext4:files", "files", "take size_mib away"),
        ("\"ext4:files\"\nsize_mib = 32", "\"ext4\"", "disk `xvda`: it needs size_mib"),
        ("\"empty\"\nsize_mib = 16", "\"empty\"\nsize_mib = 0", "disk `xvdb`: it needs size_mib"),
        ("read_only = true", "size_mib = 2", "disk `xvdc`: size_mib without image"),
        ("read_only = true", "image = \"file\"", "2 images have the serial `both`"),
        ("serial = \"both\"\npartition", "serial = \"botk\"\npartition", "`botk` has an image (did you mean `both`?)"),
        ("\"empty\"\nsize_mib = 16", "\"gpt\"", "disk `xvdb`: partitions go with image = \"gpt\""),
        ("size_mib = 16", "size_mib = 16\npartitions = [{ image = \"empty\", size_mib = 1 }]", "partitions go with"),
        (
            "\"empty\"\nsize_mib = 16",
            "\"gpt\"\nsize_mib = 16\npartitions = [{ image = \"empty\", size_mib = 1 }]",
            "its partitions say how large",
        ),
        ("\"empty\"\nsize_mib = 16", "\"gpt\"\npartitions = [{ image = \"empty\" }]", "disk `xvdb`: it needs size_mib"),
        ("\"empty\"\nsize_mib = 16", "\"gpt\"\npartitions = [{ image = \"gpt\" }]", "a partition has no partitions"),
        ("partition = 2", "partition = 0", "the first one is 1"),
        ("name = \"xvdc\"", "name = \"xvda\"", "two disks have the name `xvda`"),
        ("name = \"xvdc\"", "name = \"xvd,c\"", "has letters and digits"),
        ("serial = \"both\"\nimage", "serial = \"bo,th\"\nimage", "serial `bo,th` is not of"),
        ("read_only = true", "readonly = true", "x/y.toml:26: unknown field `readonly`, expected"),
    ] {
        assert!(DEVICES.contains(from), "{from}");
        let text = error(&DEVICES.replace(from, to));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn other_devices_are_read_and_nonsense_about_them_is_refused() {
    const MORE: &str = r#"
[[guest.nic]]
mac = "00:16:3e:00:00:02"
rate = 1000
[[guest]]
name = "other"
program = "probe"
memory_mib = 64
display = "800x600"
keyboard = true
sound = true
[[guest.nic]]
mac = "00:16:3e:00:00:03"
[[http]]
name = "big"
bytes = 10
[[key]]
after = "ready"
send = ["shift-a", "ret"]
[[picture]]
after = "shown"
name = "screen"
[[after]]
fsck = { disk = "xvda" }
[[after]]
file = { disk = "both", partition = 2, path = "/f", sha256 = "${sha256:big}", said_by = "other" }
[[after]]
sound = { path = "s.wav" }
[[after]]
picture = { name = "screen", at = [1, 2], colour = "ff0000" }
"#;
    let text = DEVICES.replace("limit_ns = 1", "limit_ns = 1\nmachine.network = \"user\"") + MORE;
    let scenario = Scenario::parse(&text, Path::new("x/y.toml"), String::new()).unwrap();
    assert_eq!((scenario.after.len(), scenario.guests[1].nics[0].mac.to_string().as_str()), (4, "00:16:3e:00:00:02"));
    for (from, to, expected) in [
        ("00:16:3e:00:00:02", "01:16:3e:00:00:02", "x/y.toml:30: mac `01:16:3e:00:00:02` is the address of a group"),
        ("00:16:3e:00:00:02", "00:16:3e:00:02", "is no address such as"),
        ("00:16:3e:00:00:02", "00:16:3e:00:00:02:03", "is no address such as"),
        ("00:16:3e:00:00:02", "00:16:3e:00:00:03", "2 network cards have this address"),
        ("rate = 1000", "rate = 0", "rate = 0 lets nothing through"),
        ("\"user\"", "\"usr\"", "x/y.toml:4: unknown variant `usr`, expected one of `hub`, `user`, `paced`"),
        ("network = \"user\"", "network = \"hub\"", "guests reach the host only with machine.network = \"user\""),
        ("800x600", "800", "display `800` is no size such as 800x600"),
        ("800x600", "800x6000", "is no size such as"),
        ("name = \"big\"", "name = \"b/g\"", "x/y.toml:41: http: name `b/g` is not of letters"),
        ("${sha256:big}", "${sha256:bog}", "no [[http]] has the name `bog` (did you mean `big`?)"),
        ("keyboard = true\n", "", "x/y.toml:43: [[key]]: no guest has a keyboard"),
        ("shift-a", "shift--a", "`shift--a` is no name of a key"),
        ("display = \"800x600\"\n", "", "no guest has a display"),
        ("name = \"screen\"\n", "name = \"scr/een\"\n", "[[picture]]: name `scr/een` is not of"),
        ("fsck = { disk = \"xvda\"", "fsck = { disk = \"xvdb\"", "x/y.toml:50: [[after]]: no disk of serial `xvdb`"),
        ("fsck = {", "fscl = {", "x/y.toml:51: unknown variant `fscl`"),
        ("partition = 2, path", "partition = 0, path", "x/y.toml:52: [[after]]: partition = 0"),
        ("path = \"/f\"", "path = \"f\"", "file: `f` is no full path"),
        (", sha256 = \"${sha256:big}\", said_by = \"other\"", "", "it asks nothing"),
        ("said_by = \"other\"", "said_by = \"othr\"", "which is no guest (did you mean `other`?)"),
        ("sound = true\n", "", "x/y.toml:53: [[after]]: sound: no guest has sound"),
        ("name = \"screen\", at", "name = \"scren\", at", "no [[picture]] `scren` (did you mean `screen`?)"),
        ("ff0000", "red", "colour `red` is no such as ff0000"),
        (", colour = \"ff0000\"", "", "`at` without a colour"),
    ] {
        assert!(text.contains(from), "{from}");
        let text = error(&text.replace(from, to));
        assert!(text.contains(expected), "{text}");
    }
    let many = "[[guest.disk]]\nname = \"xvdNUMBER\"\nimage = \"empty\"\nsize_mib = 1\n";
    let many: String = (0..33).map(|number| many.replace("NUMBER", &number.to_string())).collect();
    assert!(error(&(DEVICES.to_owned() + &many)).contains("would have 35 devices, and has room for 32"));
}

#[test]
fn the_readmes_example_is_a_scenario() {
    let readme = std::fs::read_to_string(crate::paths::root().join("README.md")).unwrap();
    let example = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let text = format!("about = \"\"\nlimit_ns = 1\n{example}");
    let scenario = Scenario::parse(&text, Path::new("README.md"), String::new()).unwrap();
    assert_eq!((scenario.guests.len(), scenario.after.len()), (2, 4));
}
