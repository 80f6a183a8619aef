//! Sizes, offsets and numbers of `xen-abi` against Xen's public headers.
//!
//! A wrong number in `xen-abi` would be wrong in hypervisor and guests alike, and every test of ours would pass. So the
//! real headers are asked, by a C program that the system's compiler makes of them as the guest would see them.
//! The tables are in [`table`] and [`devices`]; one line there is one comparison.

mod devices;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use devices::{device_numbers, device_structures};
pub use table::{control_structures, numbers, structures, x86};

/// Whose view of the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// An arm64 guest.
    Arm,
    /// An x86-64 guest.
    X86,
}

impl Guest {
    /// The compiler's macro for it.
    const fn macro_name(self) -> &'static str {
        match self {
            Self::Arm => "__aarch64__",
            Self::X86 => "__x86_64__",
        }
    }
}

/// A C expression of the public headers and what `xen-abi` says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The expression.
    pub c: String,
    /// The value in `xen-abi`.
    pub rust: u64,
}

/// Everything that `xen-abi` claims, but for what only an x86 guest sees: [`x86`].
pub fn claims() -> Vec<Claim> {
    let errors = xen_abi::errno::Errno::ALL.iter();
    let errors = errors.map(|errno| Claim { c: format!("XEN_{errno:?}"), rust: errno.number() });
    numbers()
        .into_iter()
        .chain(structures())
        .chain(control_structures())
        .chain(device_numbers())
        .chain(device_structures())
        .chain(errors)
        .chain(xenstore_errors())
        .collect()
}

/// The errors that xenstore names, in the header's order, and that there are no others.
fn xenstore_errors() -> impl Iterator<Item = Claim> {
    let errors = &xen_abi::io::xs_wire::XSD_ERRORS;
    let count = Claim { c: "sizeof(xsd_errors) / sizeof(xsd_errors[0])".into(), rust: errors.len() as u64 };
    let same = errors.iter().enumerate().map(|(at, errno)| {
        let number = format!("xsd_errors[{at}].errnum == XEN_{errno:?}");
        Claim { c: format!("{number} && strcmp(xsd_errors[{at}].errstring, \"{errno:?}\") == 0"), rust: 1 }
    });
    std::iter::once(count).chain(same)
}

/// The directory of Xen's public headers.
///
/// # Errors
///
/// What to type where there is none.
pub fn headers() -> Result<PathBuf, String> {
    let directory = std::env::var_os("XEN_PUBLIC_HEADERS").map_or_else(|| "/usr/include/xen".into(), PathBuf::from);
    if directory.join("event_channel.h").is_file() {
        return Ok(directory);
    }
    Err(format!(
        "{} has no event_channel.h. Type `cargo xtask setup`, or `apt-get install libxen-dev`, or set \
         XEN_PUBLIC_HEADERS to the directory xen/include/public of Xen's sources.",
        directory.display()
    ))
}

/// What the headers say to these claims, in their order.
///
/// # Errors
///
/// The compiler's message, or what is missing.
pub fn ask_headers(headers: &Path, guest: Guest, claims: &[Claim], scratch: &Path) -> Result<Vec<u64>, String> {
    let (source, program) = (scratch.join("claims.c"), scratch.join("claims"));
    std::fs::write(&source, c_program(headers, guest, claims)).map_err(|e| format!("{}: {e}", source.display()))?;
    let arguments = ["-std=gnu11", "-o"];
    let output = run(Command::new("cc").args(arguments).arg(&program).arg(&source))
        .and_then(|_| run(&mut Command::new(&program)))?;
    output.lines().map(|line| line.parse().map_err(|e| format!("claims printed {line:?}: {e}"))).collect()
}

/// A program that prints each claim's value on a line.
fn c_program(headers: &Path, guest: Guest, claims: &[Claim]) -> String {
    // Xen's headers choose an architecture by the compiler's macros. Any 64-bit little-endian host lays structures out
    // as these guests do once they have chosen theirs. System headers come first: they need the host as it is.
    let mut text = String::from(
        "#include <errno.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <string.h>\n",
    );
    text += &format!("#undef __x86_64__\n#undef __i386__\n#undef __aarch64__\n#define {} 1\n", guest.macro_name());
    text += "#define __XEN_TOOLS__ 1\n";
    // With __XEN__ come the errors that the hypervisor uses inside.
    text += "#define XEN_ERRNO(name, value) XEN_##name = value,\n#define __XEN__ 1\nenum {\n";
    text += &format!("#include \"{}/errno.h\"\n}};\n#undef __XEN__\n", headers.display());
    for header in table::HEADERS {
        text += &format!("#include \"{}/{header}\"\n", headers.display());
    }
    text += "int main(void)\n{\n";
    for claim in claims {
        text += &format!("    printf(\"%llu\\n\", (unsigned long long)({}));\n", claim.c);
    }
    text + "    return 0;\n}\n"
}

/// Standard output of a command that has to succeed.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().map_err(|e| format!("{name}: {e}. The test needs a C compiler: `cargo xtask setup`."))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{name} failed:\n{}", String::from_utf8_lossy(&output.stderr)))
    }
}
