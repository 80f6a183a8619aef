//! What requests to a disk and packets cost, from the side of the program that makes them. Under the emulator's deterministic
//! clock a nanosecond is an instruction of whoever ran: this program, its kernel, the hypervisor, the back end. Where somebody
//! has to wait for the world outside, instructions are counted instead. One event line an invocation.

mod disk;
mod net;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use linux_programs::arguments::Arguments;

const USAGE: &str =
    "io disk device=PATH [operation=read|write] [pattern=random|sequential] [block=4096] [depth=1] [requests=1000]
io send|receive|send-packets|receive-packets|echo address=A.B.C.D:PORT [requests=N] [bytes=SIZE]
each with name=NAME for the event line";

/// What was measured.
struct Measured {
    /// Requests that were timed.
    requests: u64,
    /// Bytes in all of them.
    bytes: u64,
    /// From the first one's start to the last one's end, ns that somebody was busy.
    ns: u64,
}

impl Measured {
    fn since(start: Instant, requests: u64, bytes: u64) -> Self {
        Self { requests, bytes, ns: start.elapsed().as_nanos() as u64 }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("io: {error:#}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let what = words.next().unwrap_or_default();
    let mut arguments = Arguments::new(words)?;
    let name = arguments.or("name", what.clone())?;
    let measured = match what.as_str() {
        "disk" => disk::run(arguments)?,
        "send" => net::send(arguments)?,
        "receive" => net::receive(arguments)?,
        "send-packets" => net::send_packets(arguments)?,
        "receive-packets" => net::receive_packets(arguments)?,
        "echo" => net::echo(arguments)?,
        _ => bail!("`{what}` is nothing that can be measured"),
    };
    let Measured { requests, bytes, ns } = measured;
    println!("@io name={name} requests={requests} bytes={bytes} ns={ns}");
    Ok(())
}
