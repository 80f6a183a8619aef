//! The other end of what is measured of networks. It serves on the host of the emulator, so that what it does costs the
//! measured machine nothing, and it tells that machine how many instructions have been executed.
//!
//! Each connection begins with a letter that says what it is for, a single packet too. Numbers are of 8 bytes, the lowest first.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};

/// A connection in which each byte is answered by the number of instructions until then.
pub const CLOCK: u8 = b'C';
/// A connection that takes: a number, then so many bytes, answered by one byte; as often as one likes.
pub const SINK: u8 = b'S';
/// A connection that gives: a number, answered by so many bytes; as often as one likes.
pub const SOURCE: u8 = b'G';
/// A connection in which everything comes back.
pub const ECHO: u8 = b'E';
/// A single packet that is counted.
pub const COUNTED: u8 = b'D';
/// A single packet that is counted, and answered by how many were since the last such answer.
pub const ANSWERED: u8 = b'A';
/// A single packet that is answered by [`WINDOW`] packets of its own size.
pub const BURST: u8 = b'B';
/// Packets under way at a time: fewer than any queue has room for, so that none is lost.
pub const WINDOW: u64 = 32;

/// How many instructions the machine has executed; nothing if it does not say.
pub type Clock = dyn Fn() -> Option<u64> + Send + Sync;

/// A running counterpart; dropping it ends it.
pub struct Counterpart {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Counterpart {
    /// Starts to serve at a port of this host's own, the same for connections and single packets.
    ///
    /// # Errors
    /// There is no such port.
    pub fn start(clock: Arc<Clock>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for connections")?;
        let address = listener.local_addr()?;
        let packets = UdpSocket::bind(address).with_context(|| format!("no packets at {address}"))?;
        let ending = Arc::new(AtomicBool::new(false));
        let (seen, also_seen) = (ending.clone(), ending.clone());
        let connections = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                let clock = clock.clone();
                // One that fails is the machine's business, which says so.
                std::thread::spawn(move || connection.map(|connection| answer(connection, &*clock)));
            }
        });
        let single = std::thread::spawn(move || answer_packets(&packets, &also_seen));
        Ok(Self { address, ending, threads: vec![connections, single] })
    }

    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Counterpart {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        // Each waits for somebody.
        drop(TcpStream::connect(self.address));
        let waker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        if waker.and_then(|socket| socket.send_to(&[COUNTED], self.address)).is_ok() {
            self.threads.drain(..).for_each(|thread| _ = thread.join());
        }
    }
}

fn answer(mut connection: TcpStream, clock: &Clock) -> Result<()> {
    connection.set_nodelay(true)?;
    let mut purpose = [0];
    connection.read_exact(&mut purpose)?;
    let mut buffer = vec![0x5a; 1 << 16];
    loop {
        match purpose {
            [CLOCK] => {
                connection.read_exact(&mut [0])?;
                let count = clock().context("nobody counts instructions")?;
                connection.write_all(&count.to_le_bytes())?;
            }
            [SINK] => {
                let mut left = number(&mut connection)?;
                while left > 0 {
                    let most = left.min(buffer.len() as u64) as usize;
                    left -= match connection.read(&mut buffer[..most])? {
                        0 => bail!("it ends {left} bytes too early"),
                        some => some as u64,
                    };
                }
                connection.write_all(&[SINK])?;
            }
            [SOURCE] => {
                let mut left = number(&mut connection)?;
                while left > 0 {
                    let some = left.min(buffer.len() as u64);
                    connection.write_all(&buffer[..some as usize])?;
                    left -= some;
                }
            }
            [ECHO] => match connection.read(&mut buffer)? {
                0 => return Ok(()),
                some => connection.write_all(&buffer[..some])?,
            },
            [other] => bail!("it begins with {other:#04x}"),
        }
    }
}

/// Reads a number.
///
/// # Errors
/// The connection ends before.
pub fn number(connection: &mut impl Read) -> Result<u64> {
    let mut bytes = [0; 8];
    connection.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn answer_packets(packets: &UdpSocket, ending: &AtomicBool) {
    let mut buffer = [0; 2048];
    let mut counted = 0_u64;
    while let Ok((bytes, from)) = packets.recv_from(&mut buffer) {
        if ending.load(Ordering::Relaxed) {
            return;
        }
        counted += u64::from(matches!(buffer[0], COUNTED | ANSWERED));
        // One that cannot be sent is lost, as in any network, and missed by who counts them.
        match buffer[0] {
            ANSWERED => _ = packets.send_to(&std::mem::take(&mut counted).to_le_bytes(), from),
            BURST => (0..WINDOW).for_each(|_| _ = packets.send_to(&buffer[..bytes], from)),
            _ => {}
        }
    }
}
