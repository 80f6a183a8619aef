//! Who types at this domain's own console is in charge of the machine: it gives guests devices and takes them again
//! ([`Command`]).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use hyp_pvio::command::{Command, HELP};

use super::Iod;

impl Iod {
    /// Takes what was typed, up to the end of one command: what that does is told to guests before the next one begins. Returns
    /// whether there may be more.
    pub(super) fn read_keyboard(&mut self) -> bool {
        while let Some(byte) = rt::console::read() {
            let line = self.consoles.typed(byte);
            // Who has the keyboard has the display.
            self.consoles.focus().into_iter().for_each(|guest| self.hardware.screen.choose(guest));
            if let Some(line) = line {
                self.command(line);
                return true;
            }
        }
        false
    }

    fn command(&mut self, line: Result<String, String>) {
        let answer = line.and_then(|line| {
            // What is typed is not shown by anyone else.
            rt::println!("# {line}");
            Command::parse(&line)?.map_or_else(|| Ok(String::new()), |command| self.perform(command))
        });
        // Who reads that it was done can count on it, whatever happens to us.
        self.store.commit();
        match answer {
            Ok(answer) => answer.lines().for_each(|line| rt::println!("{line}")),
            Err(why) => rt::println!("cannot: {why}"),
        }
    }

    fn perform(&mut self, command: Command) -> Result<String, String> {
        match command {
            Command::Attach { guest, device } => {
                let domain = self.guest(&guest)?;
                let name = self.attach(domain, &device).map_err(|why| format!("attach {guest}: {why}"))?;
                Ok(format!("{guest} has got {name}"))
            }
            Command::Detach { guest, device, force } => {
                let domain = self.guest(&guest)?;
                let name = self.detach(domain, &device, force).map_err(|why| format!("detach {guest}: {why}"))?;
                Ok(if force { format!("taking {name}") } else { format!("asked {guest} to let go of {name}") })
            }
            Command::List => Ok(self.list()),
            Command::Crash => rt::power::crash(),
            Command::Help => Ok(HELP.into()),
        }
    }

    /// A guest by its name or its number.
    fn guest(&self, wanted: &str) -> Result<u16, String> {
        let is_it = |(domain, name): &&(u16, String)| name == wanted || domain.to_string() == wanted;
        let found = self.guests.iter().find(is_it).map(|(domain, _)| *domain);
        let names = || self.guests.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| format!("no guest {wanted:?} has xenstore; there are: {}", names()))
    }

    /// The name of a guest.
    pub(super) fn name(&self, domain: u16) -> &str {
        let guest = self.guests.iter().find(|(other, _)| *other == domain);
        guest.map_or("another guest", |(_, name)| name)
    }

    /// All devices, as a table.
    fn list(&self) -> String {
        let mut rows = Vec::from([["GUEST", "DEVICE", "WHAT", "STATE"]]);
        rows.extend(
            self.devices.iter().map(|device| {
                [self.name(device.identity.domain), &device.label.name, &device.label.what, device.state()]
            }),
        );
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let [guest, device, what] = [0, 1, 2].map(width);
        let rows = rows.iter().map(|[a, b, c, d]| format!("{a:guest$}  {b:device$}  {c:what$}  {d}\n"));
        rows.collect()
    }
}
