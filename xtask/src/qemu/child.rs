//! A running emulator. Its end is tied to ours three times: dropping kills it, Ctrl-C and SIGTERM end the loop that
//! reads it, and where `setpriv` exists the kernel kills it when this process dies without a chance to clean up.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Once, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::monitor::{Monitor, Place};

/// How often the virtual clock is read.
const LOOK: Duration = Duration::from_millis(500);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Starts to notice Ctrl-C and SIGTERM instead of dying of them, so that children can be ended.
pub(crate) fn watch_interrupts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // A handler that exists already is an error of the caller's only; the default (die) is safe too.
        let _ = ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed));
    });
}

/// Whether somebody asked to stop.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// What reading the serial port gave.
pub(crate) enum Output {
    /// Some bytes.
    Bytes(Vec<u8>),
    /// Nothing for a while.
    Quiet,
    /// The emulator closed it.
    Ended,
}

/// A running emulator; dropping it kills it.
pub(crate) struct Child {
    process: std::process::Child,
    serial: Receiver<Vec<u8>>,
    complaints: Option<JoinHandle<String>>,
    keyboard: Option<Keyboard>,
    operator: Option<Place>,
    end: End,
}

/// What types at a serial port.
pub(crate) type Keyboard = Box<dyn Write + Send>;

/// How it is known whether, and how, an emulator came to its end.
enum End {
    /// By its status; how late it is there, in seconds plus 1, is asked for by its socket.
    Status { socket: PathBuf, clock: Arc<AtomicU64> },
    /// By what it wrote.
    Log(PathBuf),
}

/// How an emulator ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// The machine was switched off.
    Well,
    /// Its virtual time was up.
    TimeUp,
    /// Something else; what it complained of.
    Badly(String),
}

impl Child {
    /// Starts an emulator whose serial port is its standard output, and input where there is a `keyboard`. Its virtual time
    /// is asked for at `monitor`; `operator` is another monitor, for who operates the machine.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(mut command: Command, keyboard: bool, monitor: Place, operator: Option<Place>) -> Result<Self> {
        command.stdin(if keyboard { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut process = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let (Some(serial), Some(complaints)) = (process.stdout.take(), process.stderr.take()) else {
            bail!("no pipe to the emulator");
        };
        let (sender, receiver) = channel();
        std::thread::spawn(move || pump(serial, |bytes| sender.send(bytes).is_ok()));
        let complaints = std::thread::spawn(move || {
            let mut all = Vec::new();
            pump(complaints, |bytes| {
                all.extend(bytes);
                true
            });
            String::from_utf8_lossy(&all).trim().to_owned()
        });
        let (socket, clock) = (monitor.socket.clone(), Arc::new(AtomicU64::new(0)));
        let watched = Arc::downgrade(&clock);
        std::thread::spawn(move || watch_clock(&monitor, &watched));
        let end = End::Status { socket, clock };
        let keyboard = process.stdin.take().map(|pipe| Box::new(pipe) as Keyboard);
        Ok(Self { process, serial: receiver, complaints: Some(complaints), keyboard, operator, end })
    }

    /// Starts an emulator that connects its serial port to `listener`, ends by itself when the time is up, and says in the
    /// file `log` why it ended.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start_remote(
        mut command: Command,
        with_keyboard: bool,
        listener: TcpListener,
        log: PathBuf,
    ) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut process = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let Some(terminal) = process.stdout.take() else { bail!("no pipe to the emulator") };
        let (sender, receiver) = channel();
        let address = listener.local_addr()?;
        let complaints = std::thread::spawn(move || {
            let mut all = Vec::new();
            pump(terminal, |bytes| {
                all = bytes;
                true
            });
            // It has ended, maybe before it connected: nobody shall wait for that any more.
            drop(TcpStream::connect(address));
            String::from_utf8_lossy(&all).trim().to_owned()
        });
        let (stream, _) = listener.accept().context("the emulator did not connect its serial port")?;
        let keyboard = if with_keyboard { Some(Box::new(stream.try_clone()?) as Keyboard) } else { None };
        std::thread::spawn(move || pump(stream, |bytes| sender.send(bytes).is_ok()));
        let (complaints, end) = (Some(complaints), End::Log(log));
        Ok(Self { process, serial: receiver, complaints, keyboard, operator: None, end })
    }

    /// The serial port's other direction; once, and only if it was started with a keyboard.
    pub(crate) fn keyboard(&mut self) -> Option<Keyboard> {
        self.keyboard.take()
    }

    /// Where the machine is operated, if it was started for that.
    pub(crate) fn operators_monitor(&self) -> Option<Place> {
        self.operator.clone()
    }

    /// Waits for output, at most `wait`.
    pub(crate) fn next(&self, wait: Duration) -> Output {
        match self.serial.recv_timeout(wait) {
            Ok(bytes) => Output::Bytes(bytes),
            Err(RecvTimeoutError::Timeout) => Output::Quiet,
            Err(RecvTimeoutError::Disconnected) => Output::Ended,
        }
    }

    /// Virtual time since power-on in whole seconds, if the emulator answers.
    pub(crate) fn virtual_seconds(&self) -> Option<u64> {
        let End::Status { clock, .. } = &self.end else { return None };
        clock.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Ends the emulator if it still runs.
    ///
    /// # Errors
    /// If its status cannot be read.
    pub(crate) fn finish(mut self, kill: bool) -> Result<Finished> {
        if kill {
            let _ = self.process.kill();
        }
        let status = self.process.wait().context("cannot wait for the emulator")?;
        let complaints = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Ok(match &self.end {
            End::Status { .. } if status.success() => Finished::Well,
            End::Status { .. } => Finished::Badly(format!("QEMU ended with {status}: {complaints}")),
            End::Log(log) => told(&std::fs::read_to_string(log).unwrap_or_default(), &complaints),
        })
    }
}

/// How Bochs ended, by its log: its own power-off is a panic, and so is everything that it cannot do.
fn told(log: &str, complaints: &str) -> Finished {
    let panic = log.lines().find_map(|line| line.split_once(">>PANIC<<")).map(|(_, why)| why.trim());
    match panic {
        Some(why) if why.starts_with("Shutdown port") => Finished::Well,
        Some(why) => Finished::Badly(format!("Bochs ended: {why}")),
        None if log.contains("quit_sim called with exit code 0") => Finished::TimeUp,
        None => Finished::Badly(format!("Bochs ended: {complaints}")),
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let End::Status { socket, .. } = &self.end {
            let _ = std::fs::remove_file(socket);
        }
        if let Some(Place { socket, .. }) = &self.operator {
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// A command that does not outlive us, where `setpriv` exists.
pub(crate) fn tied(program: &Path) -> Command {
    const SETPRIV: &str = "/usr/bin/setpriv";
    if !Path::new(SETPRIV).exists() {
        return Command::new(program);
    }
    let mut command = Command::new(SETPRIV);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Writes the emulator's virtual seconds down, plus 1, as long as somebody wants them. On its own, because an emulator that
/// hangs may not even answer to a connection.
fn watch_clock(place: &Place, clock: &Weak<AtomicU64>) {
    let mut monitor = None;
    while let Some(clock) = clock.upgrade() {
        monitor = monitor.or_else(|| Monitor::connect(place));
        if let Some(seconds) = monitor.as_mut().and_then(Monitor::seconds) {
            clock.store(seconds + 1, Ordering::Relaxed);
        }
        drop(clock);
        std::thread::sleep(LOOK);
    }
}

/// Copies a pipe in pieces until it or the taker ends.
fn pump(mut pipe: impl Read, mut take: impl FnMut(Vec<u8>) -> bool) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if !take(buffer[..count].to_vec()) {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Finished, told};

    #[test]
    fn bochss_log_tells_how_it_ended() {
        let off = "1p[UNMAP ] >>PANIC<< Shutdown port: shutdown requested\n1i[SIM   ] quit_sim called with exit code 1";
        assert_eq!(told(off, ""), Finished::Well);
        assert_eq!(told("1i[SIM   ] quit_sim called with exit code 0", ""), Finished::TimeUp);
        let triple = told("2p[CPU0  ] >>PANIC<< exception(): 3rd (13) exception with no resolution", "");
        assert_eq!(triple, Finished::Badly("Bochs ended: exception(): 3rd (13) exception with no resolution".into()));
        assert_eq!(told("", "rc.txt:5: malformed"), Finished::Badly("Bochs ended: rc.txt:5: malformed".into()));
    }
}
