//! The hypervisor's own options, in the words of Xen's command line.
//!
//! Options of which we know that nothing is lost without them are passed over in silence, so that a command line made
//! for Xen boots without a page of warnings. All others that have no effect here are named.

use hyp_core::sched::Scheduler;

/// How log messages leave the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// As text.
    Plain,
    /// As defmt frames.
    Defmt,
}

/// The hypervisor's own options, from `/chosen/xen,xen-bootargs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `log=plain` or `log=defmt`.
    pub log: Option<LogFormat>,
    /// `xsm=dummy`: any two guests may share events and grants. Otherwise, as with `xsm=silo`, only those that
    /// `makuhari,peers` joins.
    pub all_peers: bool,
    /// `measure=stretches`: say at the end how long the hypervisor ran in one go at most.
    pub stretches: bool,
    /// `sched=client`, the usual one, also as `sched=credit`; where they are built, `sched=stock` or `sched=sedf`.
    pub scheduler: Scheduler,
}

/// What an option does here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Log(LogFormat),
    AllPeers(bool),
    Stretches,
    Scheduler(Scheduler),
    /// What it asks for is so already, or concerns only what is not here: a control domain, Xen's heap and its own log.
    Nothing,
    /// It names a scheduler or a policy that we do not have, and we use another.
    NotAvailable,
    /// It names a scheduler that another build has, and we use another.
    NotBuilt,
    Unknown,
}

fn effect(word: &str) -> Effect {
    const NOTHING: [&str; 8] = [
        "bootscrub",
        "sync_console",
        "loglvl",
        "guest_loglvl",
        "noreboot",
        "dtuart",
        "console_timestamps",
        "conswitch",
    ];
    match word {
        "log=plain" => Effect::Log(LogFormat::Plain),
        "log=defmt" => Effect::Log(LogFormat::Defmt),
        "measure=stretches" => Effect::Stretches,
        "xsm=dummy" => Effect::AllPeers(true),
        "xsm=silo" => Effect::AllPeers(false),
        "sched=credit" | "sched=client" => Effect::Scheduler(Scheduler::Client),
        "sched=stock" if Scheduler::Stock.is_built() => Effect::Scheduler(Scheduler::Stock),
        "sched=sedf" if Scheduler::Sedf.is_built() => Effect::Scheduler(Scheduler::Sedf),
        "sched=stock" | "sched=sedf" => Effect::NotBuilt,
        "console=dtuart" => Effect::Nothing,
        _ => match word.split_once('=').map_or(word, |(name, _)| name) {
            "sched" | "xsm" => Effect::NotAvailable,
            name if name.starts_with("dom0") || NOTHING.contains(&name) => Effect::Nothing,
            _ => Effect::Unknown,
        },
    }
}

impl Options {
    /// Reads the words. Of several that say the same, the last counts. Returns whether there are some to warn of.
    pub(super) fn read(words: &str) -> (Self, bool) {
        let (mut options, mut warn) = (Self::default(), false);
        for word in words.split_ascii_whitespace() {
            match effect(word) {
                Effect::Log(log) => options.log = Some(log),
                Effect::AllPeers(all) => options.all_peers = all,
                Effect::Stretches => options.stretches = true,
                Effect::Scheduler(scheduler) => options.scheduler = scheduler,
                Effect::Nothing => {}
                Effect::NotAvailable | Effect::NotBuilt | Effect::Unknown => warn = true,
            }
        }
        (options, warn)
    }
}

const NOT_BUILT: &str = " (not in this build, default used; `cargo xtask build --comparison` makes one that has it)";

/// The words that have no effect, and what there is to say of them.
pub(super) fn without_effect(words: &str) -> impl Iterator<Item = (&str, &'static str)> {
    words.split_ascii_whitespace().filter_map(|word| match effect(word) {
        Effect::NotAvailable => Some((word, " (not available, default used)")),
        Effect::NotBuilt => Some((word, NOT_BUILT)),
        Effect::Unknown => Some((word, "")),
        _ => None,
    })
}
