//! `cargo xtask bench`: what operations and boots cost, beside what they cost on the peer and what they shall cost.

mod dmesg;
mod io;
mod media;
mod micro;
mod page;
mod schedule;
mod x86;

use anyhow::Result;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// What a guest's operations cost, in instructions.
    #[command(
        after_help = "Writes target/reports/bench-micro.json and target/reports/bench-micro.html. The status is 0 \
        whether goals are reached or not; SPECIFICATION.md and `cargo xtask size` hold the figures."
    )]
    Micro(micro::Args),
    /// What requests to a stock guest's disk cost, in instructions of all levels.
    #[command(after_help = "Writes target/reports/bench-io.json, and each machine's log to target/bench/io.")]
    Io(io::Args),
    /// How late a media player is, and how late guests wake up, under each scheduler beside each load.
    #[command(
        after_help = "Writes target/reports/bench-media.json and target/reports/bench-media.html (bench-media-x86 on a PC), and each \
        cell's machine and log to target/bench/media. Status 0: every cell has figures, and every promise is kept."
    )]
    Media(media::Args),
    /// Whether the scheduler keeps its promises, in a simulator.
    #[command(
        after_help = "Writes target/reports/bench-schedule.json and target/reports/bench-schedule.html. Status 0: whoever is \
        admitted is never late, weights hold within 1 %, and hiding from the tick brings less than that."
    )]
    Schedule,
    /// What Debian's kernel says on our hypervisor and on Xen 4.17, line by line.
    #[command(
        after_help = "Writes target/reports/dmesg-diff.txt. Status 0: hyp/docs/dmesg.md explains every difference."
    )]
    Dmesg,
}

/// Runs the command.
///
/// # Errors
/// A build that fails, a machine that does not end well, or a figure that nobody printed.
pub(crate) fn main(args: Args) -> Result<()> {
    match args.what {
        What::Micro(args) => micro::main(&args),
        What::Io(args) => io::main(&args),
        What::Media(args) => media::main(&args),
        What::Schedule => schedule::main(),
        What::Dmesg => dmesg::main(),
    }
}
