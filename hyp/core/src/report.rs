//! What the hypervisor has to say.
//!
//! The core says what happened as a typed [`Report`]; a port hands it to its log. Printed, a report that tools read is
//! one line that starts with `@`: a kind, then `key=value` pairs without spaces in the values. The others are sentences.

use core::fmt::{self, Display, Formatter};

use crate::arch::{CpuId, GuestFault, ShutdownReason};
use crate::domain::DomainId;
use crate::stats::{ExitCounts, ExitReason};
use crate::time::Nanos;
use crate::vcpu::VcpuId;

/// Records of one [`Report::Trace`].
pub const TRACE_RECORDS: usize = 8;

/// What became of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainChange {
    /// It is there.
    Created,
    /// It runs for the first time.
    Running,
    /// It is kept from running.
    Paused,
    /// It ended and stays stopped.
    Shutdown(ShutdownReason),
    /// It crashed and stays stopped.
    Crashed(ShutdownReason),
    /// It runs from the start again.
    Restarted(ShutdownReason),
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Report<'a> {
    /// The first guest is about to execute its first instruction.
    FirstGuest {
        /// When, since power-on.
        ns: Nanos,
    },
    /// A domain's state changed.
    Domain {
        /// Its number.
        id: DomainId,
        /// Its name.
        name: &'a str,
        /// What it is now.
        change: DomainChange,
    },
    /// A guest did what it will not survive.
    Fault {
        /// Name of the domain.
        domain: &'a str,
        /// Index of the vCPU in its domain.
        vcpu: u8,
        /// What it did.
        fault: GuestFault,
    },
    /// A guest made a hypercall that nobody knows; said once for each domain.
    UnknownHypercall {
        /// Name of the domain.
        domain: &'a str,
        /// The call's number.
        number: u64,
    },
    /// At the end: what a vCPU cost.
    Usage {
        /// Name of the domain.
        domain: &'a str,
        /// Index of the vCPU in its domain.
        vcpu: u8,
        /// How long it ran.
        cpu_time: Nanos,
        /// Its exits.
        counts: &'a ExitCounts,
    },
    /// At the end: how long the machine was on.
    Elapsed {
        /// Since power-on.
        ns: Nanos,
    },
    /// At the end: which vCPU a number in the trace is.
    Vcpu {
        /// Its number in the machine.
        id: VcpuId,
        /// Name of the domain.
        domain: &'a str,
        /// Index of the vCPU in its domain.
        vcpu: u8,
    },
    /// At the end: up to [`TRACE_RECORDS`] context switches.
    Trace {
        /// Whose.
        cpu: CpuId,
        /// Number of the first of these records, counted since power-on.
        first: u64,
        /// The records, oldest first: see [`crate::trace`].
        records: &'a [u64],
    },
    /// There is nothing more to say.
    End,
}

impl Report<'_> {
    /// Tools read this one; the others are for people.
    pub fn is_event(&self) -> bool {
        !matches!(self, Report::UnknownHypercall { .. })
    }
}

/// A text with hyphens for its spaces, so that it can be a value.
struct Value<'a>(&'a str);

impl Display for Value<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (number, word) in self.0.split_ascii_whitespace().enumerate() {
            f.write_str(if number == 0 { "" } else { "-" })?;
            f.write_str(word)?;
        }
        Ok(())
    }
}

const fn reason_name(reason: ShutdownReason) -> &'static str {
    match reason {
        ShutdownReason::PowerOff => "poweroff",
        ShutdownReason::Reboot => "reboot",
        ShutdownReason::Suspend => "suspend",
        ShutdownReason::Crash => "crash",
        ShutdownReason::Watchdog => "watchdog",
    }
}

impl Display for DomainChange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (state, reason) = match *self {
            Self::Created => ("created", None),
            Self::Running => ("running", None),
            Self::Paused => ("paused", None),
            Self::Shutdown(reason) => ("shutdown", Some(reason)),
            Self::Crashed(reason) => ("crashed", Some(reason)),
            Self::Restarted(reason) => ("restarted", Some(reason)),
        };
        write!(f, "state={state}")?;
        reason.map_or(Ok(()), |reason| write!(f, " reason={}", reason_name(reason)))
    }
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FirstGuest { ns } => write!(f, "@first_guest ns={ns}"),
            Self::Domain { id, name, change } => write!(f, "@domain id={} name={} {change}", id.number(), Value(name)),
            Self::Fault { domain, vcpu, fault } => {
                let GuestFault { what, pc, address, guest_physical, syndrome } = fault;
                write!(f, "@fault domain={} vcpu={vcpu} what={} pc={pc:#x} ", Value(domain), Value(what))?;
                write!(f, "address={address:#x} ipa={guest_physical:#x} syndrome={syndrome:#x}")
            }
            Self::UnknownHypercall { domain, number } => {
                write!(f, "domain {domain}: hypercall {number} is not there, answered -ENOSYS; said once")
            }
            Self::Usage { domain, vcpu, cpu_time, counts } => {
                write!(f, "@usage domain={} vcpu={vcpu} cpu_ns={cpu_time}", Value(domain))?;
                ExitReason::ALL.iter().try_for_each(|reason| write!(f, " {}={}", reason.name(), counts.of(*reason)))
            }
            Self::Elapsed { ns } => write!(f, "@elapsed ns={ns}"),
            Self::Vcpu { id, domain, vcpu } => {
                write!(f, "@vcpu id={} domain={} vcpu={vcpu}", id.number(), Value(domain))
            }
            Self::Trace { cpu, first, records } => {
                write!(f, "@trace cpu={cpu} first={first}")?;
                records.iter().try_for_each(|record| write!(f, " {record:016x}"))
            }
            Self::End => f.write_str("@end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DomainChange, Report};
    use crate::arch::{GuestFault, ShutdownReason};
    use crate::domain::DomainId;
    use crate::stats::{ExitCounts, ExitReason};
    use std::string::ToString;

    #[test]
    fn lines_that_tools_read() {
        let change = DomainChange::Crashed(ShutdownReason::Crash);
        let report = Report::Domain { id: DomainId::from_index(1), name: "probe", change };
        assert_eq!(report.to_string(), "@domain id=2 name=probe state=crashed reason=crash");
        let what = "undefined instruction";
        let fault = GuestFault { what, pc: 0x4008_0000, address: 0, guest_physical: 0x10, syndrome: 0x200_0000 };
        assert_eq!(
            Report::Fault { domain: "probe", vcpu: 1, fault }.to_string(),
            "@fault domain=probe vcpu=1 what=undefined-instruction pc=0x40080000 address=0x0 ipa=0x10 syndrome=0x2000000"
        );
        let mut counts = ExitCounts::new();
        counts.count(ExitReason::Yield);
        assert_eq!(
            Report::Usage { domain: "hog", vcpu: 0, cpu_time: 5, counts: &counts }.to_string(),
            "@usage domain=hog vcpu=0 cpu_ns=5 hypercall=0 idle=0 yield=1 interrupt=0 mmio=0 register=0 firmware=0 float=0"
        );
        let records = [0x1ff, 0x200];
        assert_eq!(
            Report::Trace { cpu: 0, first: 8, records: &records }.to_string(),
            "@trace cpu=0 first=8 00000000000001ff 0000000000000200"
        );
    }
}
