//! Files that the host serves to guests by HTTP, and the words by which a scenario speaks of them, as it can neither know the
//! port nor write out a hash: `${http}` is the server's address and port, `${sha256:NAME}` the hash of a file.

use std::net::SocketAddr;

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

use super::place::closest;
use super::{After, Scenario};
use crate::http;

/// The host's own address on QEMU's user network.
pub(crate) const HOST: &str = "10.0.2.2";

/// A file of bytes that look random.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Served {
    /// Its name; `http://${http}/NAME` is its address.
    pub(crate) name: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// What its bytes come from.
    #[serde(default)]
    pub(crate) seed: u64,
}

impl Scenario {
    /// Refuses files that nobody could ask for.
    pub(super) fn check_served(&self) -> Result<()> {
        for (number, file) in self.served.iter().enumerate() {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            ensure!(
                !file.name.is_empty() && file.name.bytes().all(plain),
                "http: name `{}` is not of letters, digits, `-`, `_` and `.`",
                file.name
            );
            let before = self.served.iter().take(number);
            ensure!(
                before.clone().all(|other| other.name != file.name),
                "http: two files have the name `{}`",
                file.name
            );
            ensure!(
                self.machine.has_user_network(),
                "http: guests reach the host only with machine.network = \"user\""
            );
        }
        self.clone().fill(None)
    }

    /// Puts what the words stand for in their places.
    ///
    /// # Errors
    /// A word that stands for nothing.
    pub(crate) fn fill(&mut self, server: Option<SocketAddr>) -> Result<()> {
        let files = self.served.clone();
        let fill = |text: &mut String| -> Result<()> {
            *text = filled(text, &files, server)?;
            Ok(())
        };
        for guest in &mut self.guests {
            fill(&mut guest.bootargs)?;
        }
        for typing in &mut self.typing {
            fill(&mut typing.text)?;
        }
        for expect in self.expect.iter_mut().chain(&mut self.forbid) {
            expect.text.iter_mut().try_for_each(fill)?;
            expect.fields.values_mut().try_for_each(fill)?;
        }
        for after in &mut self.after {
            if let After::File(file) = after {
                file.sha256.iter_mut().try_for_each(fill)?;
            }
        }
        Ok(())
    }
}

/// A text with all words replaced; without a server by anything, as only their names are of interest.
fn filled(text: &str, files: &[Served], server: Option<SocketAddr>) -> Result<String> {
    let mut parts = text.split("${");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('}') {
            Some(("http", rest)) if !files.is_empty() => {
                let port = server.map_or(0, |server| server.port());
                out += &format!("{HOST}:{port}{rest}");
            }
            Some((word, rest)) if word.starts_with("sha256:") => {
                let name = word.trim_start_matches("sha256:");
                let Some(file) = files.iter().find(|file| file.name == name) else {
                    let hint = closest(name, files.iter().map(|file| file.name.as_str()));
                    bail!("`${{{word}}}`: no [[http]] has the name `{name}`{hint}");
                };
                out += &if server.is_some() { http::sha256(file) } else { String::new() };
                out += rest;
            }
            // A shell's.
            _ => out += &format!("${{{part}"),
        }
    }
    Ok(out)
}
