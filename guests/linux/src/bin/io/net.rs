//! Streams, single packets, and questions with answers, with a [`counterpart`] on the emulator's host. While its answers are
//! under way the machine is idle, and virtual time goes on; so what is counted is instructions, which the counterpart knows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use linux_programs::arguments::Arguments;
use linux_programs::counterpart::{self, ANSWERED, BURST, CLOCK, COUNTED, ECHO, SINK, SOURCE, WINDOW};

use super::Measured;

/// A packet that has not come by then is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many instructions the machine has executed.
struct Clock {
    connection: TcpStream,
    /// What reading it costs.
    own: u64,
}

impl Clock {
    fn connect(address: SocketAddr) -> Result<Self> {
        let mut clock = Self { connection: connect(address, CLOCK)?, own: 0 };
        // Twice before it counts, so that all is as it will be.
        let (_, _, start) = (clock.read()?, clock.read()?, clock.read()?);
        clock.own = clock.read()? - start;
        Ok(clock)
    }

    fn read(&mut self) -> Result<u64> {
        self.connection.write_all(&[CLOCK])?;
        counterpart::number(&mut self.connection)
            .context("the counterpart does not know how many instructions there were")
    }
}

/// Does `requests` of what is measured, a tenth of them before it counts.
fn measure(clock: &mut Clock, requests: u64, bytes: u64, mut work: impl FnMut(u64) -> Result<()>) -> Result<Measured> {
    ensure!(requests > 0 && bytes > 0, "nothing is to be done");
    work(requests.div_ceil(10))?;
    let start = clock.read()?;
    work(requests)?;
    let ns = (clock.read()? - start).saturating_sub(clock.own);
    Ok(Measured { requests, bytes: requests * bytes, ns })
}

fn connect(address: SocketAddr, purpose: u8) -> Result<TcpStream> {
    let mut connection = TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
    connection.set_nodelay(true)?;
    connection.write_all(&[purpose])?;
    Ok(connection)
}

/// What each command is told: where the counterpart is, how often, and how many bytes each time.
struct Plan {
    address: SocketAddr,
    requests: u64,
    bytes: usize,
}

impl Plan {
    fn read(mut arguments: Arguments, requests: u64, bytes: usize) -> Result<Self> {
        let text = arguments.text("address")?;
        let address = text.parse().with_context(|| format!("`{text}` is no address with a port"))?;
        let plan =
            Self { address, requests: arguments.or("requests", requests)?, bytes: arguments.or("bytes", bytes)? };
        arguments.finish()?;
        Ok(plan)
    }

    fn packets(&self) -> Result<UdpSocket> {
        let packets = UdpSocket::bind(SocketAddr::from(([0; 4], 0)))?;
        packets.connect(self.address)?;
        packets.set_read_timeout(Some(PATIENCE))?;
        Ok(packets)
    }
}

/// Sends `requests` times `bytes` in one connection, until the other end says that all has come.
pub(super) fn send(arguments: Arguments) -> Result<Measured> {
    let Plan { address, requests, bytes } = Plan::read(arguments, 256, 1 << 16)?;
    let buffer = vec![0x5a; bytes];
    let mut connection = connect(address, SINK)?;
    measure(&mut Clock::connect(address)?, requests, bytes as u64, |requests| {
        connection.write_all(&(requests * bytes as u64).to_le_bytes())?;
        (0..requests).try_for_each(|_| connection.write_all(&buffer))?;
        Ok(connection.read_exact(&mut [0])?)
    })
}

/// Receives as much in one connection.
pub(super) fn receive(arguments: Arguments) -> Result<Measured> {
    let Plan { address, requests, bytes } = Plan::read(arguments, 256, 1 << 16)?;
    let mut buffer = vec![0; bytes];
    let mut connection = connect(address, SOURCE)?;
    measure(&mut Clock::connect(address)?, requests, bytes as u64, |requests| {
        connection.write_all(&(requests * bytes as u64).to_le_bytes())?;
        (0..requests).try_for_each(|_| Ok(connection.read_exact(&mut buffer)?))
    })
}

/// Sends single packets; after each few it asks how many came.
pub(super) fn send_packets(arguments: Arguments) -> Result<Measured> {
    let plan = Plan::read(arguments, 100 * WINDOW, 64)?;
    let packets = plan.packets()?;
    let mut buffer = vec![COUNTED; plan.bytes.max(8)];
    measure(&mut Clock::connect(plan.address)?, plan.requests, plan.bytes as u64, |requests| {
        for number in 1..=requests {
            let asks = number.is_multiple_of(WINDOW) || number == requests;
            buffer[0] = if asks { ANSWERED } else { COUNTED };
            packets.send(&buffer[..plan.bytes])?;
            if asks {
                let bytes = packets.recv(&mut buffer).context("packets were not answered")?;
                let came = counterpart::number(&mut &buffer[..bytes])?;
                let sent = (number - 1) % WINDOW + 1;
                ensure!(came == sent, "{sent} packets were sent, {came} came");
            }
        }
        Ok(())
    })
}

/// Receives single packets, a few for each that asks for them.
pub(super) fn receive_packets(arguments: Arguments) -> Result<Measured> {
    let plan = Plan::read(arguments, 100 * WINDOW, 64)?;
    let packets = plan.packets()?;
    let mut buffer = vec![BURST; plan.bytes];
    measure(&mut Clock::connect(plan.address)?, plan.requests, plan.bytes as u64, |requests| {
        for _ in 0..requests.div_ceil(WINDOW) {
            packets.send(&buffer)?;
            (0..WINDOW).try_for_each(|_| packets.recv(&mut buffer).map(drop)).context("a packet did not come")?;
        }
        Ok(())
    })
}

/// One question at a time, each answered.
pub(super) fn echo(arguments: Arguments) -> Result<Measured> {
    let Plan { address, requests, bytes } = Plan::read(arguments, 200, 1)?;
    let mut buffer = vec![0x5a; bytes];
    let mut connection = connect(address, ECHO)?;
    measure(&mut Clock::connect(address)?, requests, bytes as u64, |requests| {
        for _ in 0..requests {
            connection.write_all(&buffer)?;
            connection.read_exact(&mut buffer)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use anyhow::Result;
    use linux_programs::arguments::Arguments;
    use linux_programs::counterpart::Counterpart;

    use super::Measured;

    type Kind = fn(Arguments) -> Result<Measured>;

    /// A clock that goes on by a million each time somebody looks, and by itself never.
    fn counterpart() -> Counterpart {
        let looks = AtomicU64::new(0);
        Counterpart::start(Arc::new(move || Some(1_000_000 * looks.fetch_add(1, Ordering::Relaxed)))).unwrap()
    }

    #[test]
    fn each_kind_is_measured_without_what_the_clock_costs() {
        let other = counterpart();
        let kinds: [(Kind, _, _); 5] = [
            (super::send, 3, 100_000),
            (super::receive, 3, 100_000),
            (super::send_packets, 70, 64),
            (super::receive_packets, 64, 64),
            (super::echo, 11, 1),
        ];
        for (kind, requests, bytes) in kinds {
            let words =
                [format!("address={}", other.address()), format!("requests={requests}"), format!("bytes={bytes}")];
            let Measured { requests: done, bytes: moved, ns } = kind(Arguments::new(words).unwrap()).unwrap();
            assert_eq!((done, moved, ns), (requests, requests * bytes, 0));
        }
    }

    #[test]
    fn a_counterpart_that_does_not_count_is_an_error() {
        let other = Counterpart::start(Arc::new(|| None)).unwrap();
        let words = [format!("address={}", other.address())];
        assert!(super::echo(Arguments::new(words).unwrap()).is_err());
    }
}
