//! What the machine says to tools. Figures are only as honest as their source, so every line that starts with `@` is
//! parsed strictly into a typed event, from the one speaker who may say it; what does not parse becomes a
//! [`Problem`] that fails the run, and is never dropped.

mod fields;

use std::collections::BTreeMap;
use std::fmt;

use fields::Fields;

/// Who printed a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The hypervisor: `[hyp]` or a log frame.
    Hypervisor,
    /// The guest of this name.
    Guest(String),
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hypervisor => out.write_str("hyp"),
            Self::Guest(name) => out.write_str(name),
        }
    }
}

/// A video frame as the player saw it; times are nanoseconds of the guest's virtual counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Number of the frame, from 0.
    pub(crate) n: u64,
    /// Release of the frame.
    pub(crate) due_ns: u64,
    /// When the picture was decoded.
    pub(crate) ready_ns: u64,
    /// Ready after the next release.
    pub(crate) late: bool,
    /// More than one period late.
    pub(crate) dropped: bool,
    /// CRC-32 of the decoded picture.
    pub(crate) crc: u32,
}

/// A sound period as the player saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audio {
    /// Number of the period, from 0.
    pub(crate) n: u64,
    /// Release of the period, ns.
    pub(crate) due_ns: u64,
    /// When its samples were decoded, ns.
    pub(crate) ready_ns: u64,
    /// Ready after the next release.
    pub(crate) late: bool,
    /// CRC-32 of the samples.
    pub(crate) crc: u32,
}

/// What one virtual CPU used until the machine's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Name of the domain.
    pub(crate) domain: String,
    /// Number of the vCPU in its domain.
    pub(crate) vcpu: u32,
    /// Time on a physical CPU, ns.
    pub(crate) cpu_ns: u64,
    /// Exits to the hypervisor by reason.
    pub(crate) exits: BTreeMap<String, u64>,
}

/// One context switch: from `time_ns` on, `vcpu` runs (none: the CPU is idle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    /// Time since power-on, ns.
    pub(crate) time_ns: u64,
    /// Global number of the vCPU.
    pub(crate) vcpu: Option<u8>,
}

/// An event with its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the event lines")]
pub(crate) enum Event {
    Boot { cpus: u32, image_bytes: u64, ram_bytes: u64, entered_ns: u64 },
    FirstGuest { ns: u64 },
    Domain { id: u32, name: String, state: String, reason: Option<String> },
    Fault { domain: String, vcpu: u32, what: String },
    Vcpu { id: u8, domain: String, vcpu: u32 },
    Usage(Usage),
    Elapsed { ns: u64 },
    Stretch { cause: String, number: u64, ns: u64 },
    Trace { cpu: u32, first: u64, switches: Vec<Switch> },
    End,
    Frame(Frame),
    Audio(Audio),
    Wake { ns: Vec<u64> },
    Summary { frames: u64, late: u64, dropped: u64, audio: u64, audio_late: u64 },
    Check { name: String, pass: bool, detail: Option<String> },
    Checks { passed: u64, failed: u64 },
    Hog { loops: u64 },
    Ran { at_ns: u64, ran_ns: u64, clock_ns: u64 },
    Micro { name: String, insns: u64 },
    Done,
    Linux { state: String, counter: Option<u64> },
    Verify { writes: u64, reads: u64, acknowledged_lost: u64, corrupt: u64, errors: u64 },
    Io { name: String, requests: u64, bytes: u64, ns: u64 },
    Clock { offset_ns: u64 },
    LeftOut { pictures: u64, periods: u64 },
    Shown { updates: u64, ns: u64 },
    Forgotten { updates: u64 },
    Ahead { crc: u32 },
    Played { bytes: u64, period: u64, gaps: u64 },
}

/// An event as it was said: kind and fields, for the scenarios' expectations, and its meaning.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// Who said it.
    pub(crate) source: Source,
    /// The word after `@`.
    pub(crate) kind: String,
    /// The `key=value` pairs in their order.
    pub(crate) fields: Vec<(String, String)>,
    /// What it means.
    pub(crate) event: Event,
}

/// A line that no tool may ignore: malformed, unknown, or said by someone who has no right to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem(pub String);

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

const HYPERVISOR_KINDS: [&str; 10] =
    ["boot", "first_guest", "domain", "fault", "vcpu", "usage", "elapsed", "stretch", "trace", "end"];
const GUEST_KINDS: [&str; 19] = [
    "frame",
    "audio",
    "wake",
    "summary",
    "check",
    "checks",
    "hog",
    "ran",
    "micro",
    "done",
    "linux",
    "verify",
    "io",
    "clock",
    "left_out",
    "shown",
    "forgotten",
    "ahead",
    "played",
];

/// What our scripts in a stock guest say of it: that its first program runs, that it waits for a disk or has it, has an address,
/// is ready, asks for a name, has a shell for who gave it, is done with a command, or that something failed.
const LINUX_STATES: &[&str] = &["init", "waiting", "root", "network", "ready", "login", "shell", "done", "failed"];

/// Whether tools know this kind of event.
pub(crate) fn is_known(kind: &str) -> bool {
    HYPERVISOR_KINDS.contains(&kind) || GUEST_KINDS.contains(&kind)
}

/// All kinds, for suggestions.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    HYPERVISOR_KINDS.into_iter().chain(GUEST_KINDS)
}

/// Reads one line; `None` if it is plain text.
///
/// # Errors
/// A [`Problem`] that quotes the line and says what is wrong with it.
pub(crate) fn parse(source: &Source, line: &str) -> Option<Result<Said, Problem>> {
    let body = line.strip_prefix('@')?;
    let problem = |what: String| Problem(format!("[{source}] {what}: `{}`", shorten(line)));
    let mut words = body.split_ascii_whitespace();
    let kind = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    let allowed = match source {
        Source::Hypervisor => HYPERVISOR_KINDS.contains(&kind),
        Source::Guest(_) => GUEST_KINDS.contains(&kind),
    };
    if !allowed {
        let what = if is_known(kind) { "this event is not its to say" } else { "unknown event" };
        return Some(Err(problem(what.into())));
    }
    let mut fields = Fields::new(&rest);
    let event = meaning(kind, &mut fields).and_then(|event| fields.finish().map(|()| event));
    Some(match event {
        Ok(event) => Ok(Said { source: source.clone(), kind: kind.into(), fields: fields.into_pairs(), event }),
        Err(what) => Err(problem(what)),
    })
}

/// Long lines (traces) are cut in messages.
fn shorten(line: &str) -> String {
    const SHOWN: usize = 160;
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line.into(),
    }
}

fn meaning(kind: &str, fields: &mut Fields) -> Result<Event, String> {
    match kind {
        kind if GUEST_KINDS.contains(&kind) => of_guest(kind, fields),
        _ => of_hypervisor(kind, fields),
    }
}

fn of_hypervisor(kind: &str, fields: &mut Fields) -> Result<Event, String> {
    Ok(match kind {
        "boot" => Event::Boot {
            cpus: fields.number("cpus")?,
            image_bytes: fields.number("image_bytes")?,
            ram_bytes: fields.number("ram_bytes")?,
            entered_ns: fields.number("entered_ns")?,
        },
        "first_guest" => Event::FirstGuest { ns: fields.number("ns")? },
        "domain" => Event::Domain {
            id: fields.number("id")?,
            name: fields.text("name")?,
            state: fields.word("state", &["created", "running", "paused", "shutdown", "crashed", "restarted"])?,
            reason: fields.optional("reason"),
        },
        "fault" => {
            fields.ignore(&["pc", "address", "ipa", "syndrome"]);
            Event::Fault { domain: fields.text("domain")?, vcpu: fields.number("vcpu")?, what: fields.text("what")? }
        }
        "vcpu" => {
            Event::Vcpu { id: fields.number("id")?, domain: fields.text("domain")?, vcpu: fields.number("vcpu")? }
        }
        "usage" => Event::Usage(Usage {
            domain: fields.text("domain")?,
            vcpu: fields.number("vcpu")?,
            cpu_ns: fields.number("cpu_ns")?,
            exits: fields.remaining_numbers()?,
        }),
        "elapsed" => Event::Elapsed { ns: fields.number("ns")? },
        "stretch" => Event::Stretch {
            cause: fields.word("cause", &["hypercall", "exception", "interrupt", "idle", "unpack"])?,
            number: fields.number("number")?,
            ns: fields.number("ns")?,
        },
        "trace" => {
            let (cpu, first) = (fields.number("cpu")?, fields.number("first")?);
            Event::Trace {
                cpu,
                first,
                switches: fields.words()?.iter().map(|word| switch(word)).collect::<Result<_, _>>()?,
            }
        }
        "end" => Event::End,
        other => return Err(format!("no meaning for `@{other}`")),
    })
}

fn of_guest(kind: &str, fields: &mut Fields) -> Result<Event, String> {
    Ok(match kind {
        "frame" => Event::Frame(Frame {
            n: fields.number("n")?,
            due_ns: fields.number("due_ns")?,
            ready_ns: fields.number("ready_ns")?,
            late: fields.flag("late")?,
            dropped: fields.flag("dropped")?,
            crc: fields.hex32("crc")?,
        }),
        "audio" => Event::Audio(Audio {
            n: fields.number("n")?,
            due_ns: fields.number("due_ns")?,
            ready_ns: fields.number("ready_ns")?,
            late: fields.flag("late")?,
            crc: fields.hex32("crc")?,
        }),
        "wake" => Event::Wake { ns: fields.list("ns")? },
        "summary" => Event::Summary {
            frames: fields.number("frames")?,
            late: fields.number("late")?,
            dropped: fields.number("dropped")?,
            audio: fields.number("audio")?,
            audio_late: fields.number("audio_late")?,
        },
        "check" => Event::Check {
            name: fields.text("name")?,
            pass: fields.word("result", &["pass", "fail"])? == "pass",
            detail: fields.optional("detail"),
        },
        "checks" => Event::Checks { passed: fields.number("passed")?, failed: fields.number("failed")? },
        "hog" => Event::Hog { loops: fields.number("loops")? },
        "ran" => Event::Ran {
            at_ns: fields.number("at_ns")?,
            ran_ns: fields.number("ran_ns")?,
            clock_ns: fields.number("clock_ns")?,
        },
        "micro" => Event::Micro { name: fields.text("name")?, insns: fields.number("insns")? },
        "done" => Event::Done,
        "linux" => {
            fields.ignore(&["device", "address", "what"]);
            Event::Linux {
                state: fields.word("state", LINUX_STATES)?,
                counter: fields.optional("counter").map(|text| text.parse()).transpose().map_err(|_| "bad counter")?,
            }
        }
        "verify" => Event::Verify {
            writes: fields.number("writes")?,
            reads: fields.number("reads")?,
            acknowledged_lost: fields.number("acknowledged_lost")?,
            corrupt: fields.number("corrupt")?,
            errors: fields.number("errors")?,
        },
        "io" => Event::Io {
            name: fields.text("name")?,
            requests: fields.number("requests")?,
            bytes: fields.number("bytes")?,
            ns: fields.number("ns")?,
        },
        "clock" => Event::Clock { offset_ns: fields.number("offset_ns")? },
        "left_out" => {
            let mut number =
                |name| fields.optional(name).map_or(Ok(0), |text| text.parse().map_err(|_| format!("bad {name}")));
            Event::LeftOut { pictures: number("pictures")?, periods: number("periods")? }
        }
        "ahead" => Event::Ahead { crc: fields.hex32("crc")? },
        "shown" | "forgotten" | "played" => of_device(kind, fields)?,
        other => return Err(format!("no meaning for `@{other}`")),
    })
}

/// What the I/O domain says of a guest's device. Which guest's is of no interest: there is one player.
fn of_device(kind: &str, fields: &mut Fields) -> Result<Event, String> {
    fields.ignore(&["domain"]);
    let mut number = |name| fields.number(name);
    Ok(match kind {
        "shown" => Event::Shown { updates: number("updates")?, ns: number("ns")? },
        "played" => Event::Played { bytes: number("bytes")?, period: number("period")?, gaps: number("gaps")? },
        _ => Event::Forgotten { updates: number("updates")? },
    })
}

/// A trace record: 16 hex digits, `time_ns << 8 | vcpu`, 0xff for idle.
fn switch(word: &str) -> Result<Switch, String> {
    if word.len() != 16 {
        return Err(format!("trace record `{word}` does not have 16 digits"));
    }
    let raw = u64::from_str_radix(word, 16).map_err(|_| format!("trace record `{word}` is not hexadecimal"))?;
    let vcpu = u8::try_from(raw & 0xff).ok().filter(|&vcpu| vcpu != 0xff);
    Ok(Switch { time_ns: raw >> 8, vcpu })
}

#[cfg(test)]
mod tests {
    use super::{Event, Problem, Source, Switch, parse};

    fn hyp(line: &str) -> Result<Event, Problem> {
        parse(&Source::Hypervisor, line).unwrap().map(|said| said.event)
    }

    fn guest(line: &str) -> Result<Event, Problem> {
        parse(&Source::Guest("player".into()), line).unwrap().map(|said| said.event)
    }

    #[test]
    fn plain_text_is_no_event() {
        assert!(parse(&Source::Hypervisor, "hello @boot").is_none());
    }

    #[test]
    fn events_have_their_meaning() {
        assert_eq!(
            hyp("@boot cpus=2 image_bytes=10 ram_bytes=20 entered_ns=30").unwrap(),
            Event::Boot { cpus: 2, image_bytes: 10, ram_bytes: 20, entered_ns: 30 }
        );
        let Event::Usage(usage) = hyp("@usage domain=hog vcpu=0 cpu_ns=7 hypercall=1 idle=2").unwrap() else {
            panic!()
        };
        assert_eq!((usage.exits["hypercall"], usage.exits["idle"]), (1, 2));
        assert_eq!(guest("@wake ns=1,2,3").unwrap(), Event::Wake { ns: vec![1, 2, 3] });
        let Event::Frame(frame) = guest("@frame n=1 due_ns=2 ready_ns=3 late=0 dropped=0 crc=0badcafe").unwrap() else {
            panic!()
        };
        assert_eq!(frame.crc, 0x0bad_cafe);
    }

    #[test]
    fn trace_records_are_split() {
        assert_eq!(
            hyp("@trace cpu=0 first=8 0000000000000501 00000000000006ff").unwrap(),
            Event::Trace {
                cpu: 0,
                first: 8,
                switches: vec![Switch { time_ns: 5, vcpu: Some(1) }, Switch { time_ns: 6, vcpu: None }]
            }
        );
    }

    #[test]
    fn nothing_malformed_passes() {
        for line in [
            "@",
            "@bot cpus=1",
            "@boot cpus=1 image_bytes=10 ram_bytes=20",
            "@boot cpus=x image_bytes=10 ram_bytes=20 entered_ns=1",
            "@elapsed ns=1 ns=2",
            "@elapsed ns=1 more=2",
            "@elapsed ns=-1",
            "@elapsed 1",
            "@domain id=0 name=a state=sleeping",
            "@usage domain=hog vcpu=0 cpu_ns=7 hypercall=x",
            "@trace cpu=0 first=0 05ff",
            "@frame n=1 due_ns=2 ready_ns=3 late=0 dropped=0 crc=0badcafe",
        ] {
            assert!(hyp(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_guest_cannot_speak_for_the_hypervisor() {
        let problem = guest("@end").unwrap_err();
        assert_eq!(problem.0, "[player] this event is not its to say: `@end`");
        assert!(guest("@frame n=1 due_ns=2 ready_ns=3 late=2 dropped=0 crc=0badcafe").is_err());
    }
}
