//! Streams, single packets, and questions with answers. The other end is this program too, `io serve`: each connection begins
//! with a letter that says what it is for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use linux_programs::arguments::Arguments;

use super::Measured;

/// A connection that is read to its end, and answered with the number of bytes.
const STREAM: u8 = b'S';
/// A connection each of whose packets is sent back.
const ECHO: u8 = b'E';
/// Packets under way at a time: fewer than any queue has room for, so that none is lost.
const WINDOW: u64 = 16;
/// A packet that has not come back by then is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves for ever, by connections and by single packets at one port; the latter are sent back.
pub(super) fn serve(mut arguments: Arguments) -> Result<()> {
    let port: u16 = arguments.or("port", 5001)?;
    arguments.finish()?;
    let any = SocketAddr::from(([0; 4], port));
    let packets = UdpSocket::bind(any).with_context(|| format!("cannot take port {port}"))?;
    let listener = TcpListener::bind(any).with_context(|| format!("cannot take port {port}"))?;
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((bytes, from)) = packets.recv_from(&mut buffer) {
            // One that cannot be sent is lost, as in any network.
            let _ = packets.send_to(buffer.get(..bytes).unwrap_or_default(), from);
        }
    });
    println!("@linux state=ready");
    for connection in listener.incoming() {
        let connection = connection?;
        thread::spawn(move || {
            if let Err(error) = answer(connection) {
                println!("io: a connection failed: {error:#}");
            }
        });
    }
    Ok(())
}

fn answer(mut connection: TcpStream) -> Result<()> {
    connection.set_nodelay(true)?;
    let mut purpose = [0];
    connection.read_exact(&mut purpose)?;
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0u64;
    match purpose {
        [STREAM] => loop {
            match connection.read(&mut buffer)? {
                0 => return Ok(connection.write_all(&bytes.to_le_bytes())?),
                some => bytes += some as u64,
            }
        },
        [ECHO] => loop {
            let some = connection.read(&mut buffer)?;
            if some == 0 {
                return Ok(());
            }
            connection.write_all(buffer.get(..some).unwrap_or_default())?;
        },
        [other] => bail!("it begins with {other:#04x}"),
    }
}

fn connect(address: SocketAddr, purpose: u8) -> Result<TcpStream> {
    let mut connection = TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
    connection.set_nodelay(true)?;
    connection.write_all(&[purpose])?;
    Ok(connection)
}

fn address(arguments: &mut Arguments) -> Result<SocketAddr> {
    let text = arguments.text("address")?;
    text.parse().with_context(|| format!("`{text}` is no address with a port"))
}

/// Sends `requests` times `bytes` in one connection, until the other end says that all has come.
pub(super) fn stream(mut arguments: Arguments) -> Result<Measured> {
    let address = address(&mut arguments)?;
    let (requests, bytes) = (arguments.or("requests", 100)?, arguments.or("bytes", 1usize << 16)?);
    arguments.finish()?;
    let buffer = vec![0x5a; bytes];
    let mut connection = connect(address, STREAM)?;
    let start = Instant::now();
    for _ in 0..requests {
        connection.write_all(&buffer)?;
    }
    connection.shutdown(std::net::Shutdown::Write)?;
    let mut counted = [0; 8];
    connection.read_exact(&mut counted)?;
    let sent = requests * bytes as u64;
    let measured = Measured::since(start, requests, sent);
    let counted = u64::from_le_bytes(counted);
    if counted != sent {
        bail!("{sent} bytes were sent, {counted} came");
    }
    Ok(measured)
}

/// Sends single packets that come back, a few at a time.
pub(super) fn datagrams(mut arguments: Arguments) -> Result<Measured> {
    let address = address(&mut arguments)?;
    let (requests, bytes) = (arguments.or("requests", 1000u64)?, arguments.or("bytes", 64usize)?);
    arguments.finish()?;
    let mut buffer = vec![0x5a; bytes];
    let packets = UdpSocket::bind(SocketAddr::from(([0; 4], 0)))?;
    packets.connect(address)?;
    packets.set_read_timeout(Some(PATIENCE))?;
    let start = Instant::now();
    for sent in 0..requests + WINDOW.min(requests) {
        if sent >= WINDOW.min(requests) {
            packets.recv(&mut buffer).context("a packet did not come back")?;
        }
        if sent < requests {
            packets.send(&buffer)?;
        }
    }
    Ok(Measured::since(start, requests, 2 * requests * bytes as u64))
}

/// One question at a time, each answered.
pub(super) fn echo(mut arguments: Arguments) -> Result<Measured> {
    let address = address(&mut arguments)?;
    let (requests, bytes) = (arguments.or("requests", 1000u64)?, arguments.or("bytes", 1usize)?);
    arguments.finish()?;
    let mut buffer = vec![0x5a; bytes];
    let mut connection = connect(address, ECHO)?;
    let mut ask = |count: u64| -> Result<()> {
        for _ in 0..count {
            connection.write_all(&buffer)?;
            connection.read_exact(&mut buffer)?;
        }
        Ok(())
    };
    ask(requests.div_ceil(10))?;
    let start = Instant::now();
    ask(requests)?;
    Ok(Measured::since(start, requests, 2 * requests * bytes as u64))
}
