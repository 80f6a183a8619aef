//! Every command a person types. The project has one door, `cargo xtask`, so that a fresh machine, a developer's
//! machine and the continuous integration do the same things in the same order; this file is the list of commands, and
//! each module is one of them or what they share.

#![allow(unreachable_pub, reason = "a program exports nothing; `pub` says what a module offers the others")]

mod after;
mod bench;
mod board;
mod bochs;
mod build;
mod clip;
mod compose;
mod console;
mod cpio;
mod devices;
mod disk;
mod doc;
mod events;
mod http;
mod image;
mod kernel;
mod lint;
mod packages;
mod paths;
mod peer;
mod process;
mod progress;
mod qemu;
mod report;
mod run;
mod scenario;
mod setup;
mod size;
mod sources;
mod testing;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Makuhari's tools: `cargo xtask run` builds everything, runs the media machine in QEMU and prints its report.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring this machine to working order: toolchain targets, QEMU 10, Bochs, dtc, ffmpeg, ext4's tools.
    Setup(setup::Args),
    /// Build the hypervisor's image, the guests and their media.
    Build(build::Args),
    /// Run a scenario in QEMU and report how late each frame was.
    Run(run::Args),
    /// Run the tests: on the host, and in QEMU.
    Test(testing::Args),
    /// Measure what operations cost, beside the peer's figures and the goals.
    Bench(bench::Args),
    /// Say where the bytes are, and hold them against the limits of SPECIFICATION.md.
    Size(size::Args),
    /// Check format, clippy for every target, dependencies, lengths, unsafe code and text.
    Lint(lint::Args),
    /// Build the documentation of all crates; a warning is an error.
    Doc(doc::Args),
}

fn main() -> ExitCode {
    let result = match Line::parse().command {
        Command::Setup(args) => setup::main(args),
        Command::Build(args) => build::main(args),
        Command::Run(args) => run::main(args),
        Command::Test(args) => testing::main(args),
        Command::Bench(args) => bench::main(args),
        Command::Size(args) => size::main(args),
        Command::Lint(args) => lint::main(args),
        Command::Doc(args) => doc::main(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
