//! A server of generated files for guests that reach this host by the emulator's user network. It knows GET, and what it
//! serves is made while it is sent: nothing is kept that somebody would have to remove.

use std::io::{BufRead, BufReader, BufWriter, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use linux_programs::random::Random;
use sha2::{Digest, Sha256};

use crate::scenario::{Scenario, Served};

/// How long a client may be silent, so that no thread stays for ever.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest request, bytes.
const LONGEST: u64 = 1 << 14;
const PIECE: u64 = 1 << 16;

/// A running server; dropping it ends it.
pub(crate) struct Server {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Serves a scenario's files, if it has any, and tells the scenario where.
///
/// # Errors
/// There is no port for it.
pub(crate) fn serve(scenario: &mut Scenario) -> anyhow::Result<Option<Server>> {
    if scenario.served.is_empty() {
        return Ok(None);
    }
    let server = Server::start(scenario.served.clone())?;
    scenario.fill(Some(server.address))?;
    Ok(Some(server))
}

impl Server {
    fn start(files: Vec<Served>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let ending = Arc::new(AtomicBool::new(false));
        let (seen, files) = (ending.clone(), Arc::new(files));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                let files = files.clone();
                // A client that goes away is the guest's business, which will have an opinion on it.
                std::thread::spawn(move || stream.and_then(|stream| answer(stream, &files)));
            }
        });
        Ok(Self { address, ending, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        // It waits for somebody.
        drop(TcpStream::connect(self.address));
        self.thread.take().map(JoinHandle::join);
    }
}

fn answer(stream: TcpStream, files: &[Served]) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let lines = BufReader::new(stream.try_clone()?.take(LONGEST)).lines();
    let lines = lines.take_while(|line| line.as_ref().map_or(true, |line| !line.trim_end().is_empty()));
    let lines = lines.collect::<Result<Vec<String>>>()?;
    let mut out = BufWriter::new(stream);
    let wanted = lines.first().and_then(|line| line.strip_prefix("GET /")?.split(' ').next());
    let Some(file) = wanted.and_then(|name| files.iter().find(|file| file.name == name)) else {
        return write!(out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let length = file.bytes;
    write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    for piece in pieces(file) {
        out.write_all(&piece)?;
    }
    out.flush()
}

/// The SHA-256 of a file, in hexadecimal digits.
pub(crate) fn sha256(file: &Served) -> String {
    let mut hash = Sha256::new();
    pieces(file).for_each(|piece| hash.update(piece));
    hex(&hash.finalize())
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file's bytes.
fn pieces(file: &Served) -> impl Iterator<Item = Vec<u8>> {
    let (mut left, mut random) = (file.bytes, Random::new(file.seed));
    std::iter::from_fn(move || {
        let size = left.min(PIECE);
        left -= size;
        let mut piece: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| random.number().to_le_bytes()).collect();
        piece.truncate(size as usize);
        (size > 0).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use sha2::{Digest, Sha256};

    use super::{Server, hex, serve, sha256};
    use crate::report::tests::scenario;
    use crate::scenario::Served;

    fn get(server: &Server, path: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(server.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        (String::from_utf8_lossy(&bytes[..end]).into_owned(), bytes[end..].to_vec())
    }

    #[test]
    fn a_file_has_its_hash_and_others_are_not_there() {
        let big = Served { name: "big".into(), bytes: 100_001, seed: 7 };
        let small = Served { name: "small".into(), bytes: 3, seed: 7 };
        let server = Server::start(vec![big.clone(), small.clone()]).unwrap();
        let (head, body) = get(&server, "/big");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("Content-Length: 100001\r\n"), "{head}");
        assert_eq!((body.len(), hex(&Sha256::digest(&body))), (100_001, sha256(&big)));
        assert_eq!(get(&server, "/small").1, body[..3]);
        assert_ne!(sha256(&small), sha256(&Served { seed: 8, ..small }));
        assert!(get(&server, "/no").0.starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn a_scenario_learns_where_and_what() {
        let text = "about = \"\"\nlimit_ns = 1\nmachine.network = \"user\"\n[[guest]]\nname = \"g\"\nprogram = \"probe\"\n\
                    memory_mib = 1\nbootargs = \"url=http://${http}/f ${HOME}\"\n[[http]]\nname = \"f\"\nbytes = 3\n\
                    [[expect]]\ntext = \"is ${sha256:f}\"\n";
        let mut scenario = scenario(text);
        let server = serve(&mut scenario).unwrap().unwrap();
        let port = server.address.port();
        assert_eq!(scenario.guests[0].bootargs, format!("url=http://10.0.2.2:{port}/f ${{HOME}}"));
        assert_eq!(scenario.expect[0].text, Some(format!("is {}", sha256(&scenario.served[0]))));
    }
}
