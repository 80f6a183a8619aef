//! What a tree gives guests of a PC's devices: ports, registers in memory, and interrupts.
//!
//! `makuhari,ioports = <first count ...>`, `makuhari,iomem = <address size ...>` and `makuhari,irqs = <number ...>` are what
//! `ioports`, `iomem` and `irqs` are in xl's configuration of a guest. Nothing is given twice, and nothing that would let the
//! guest reach the hypervisor or another guest by the processor. Read when it is decided where RAM goes.

use core::fmt;

use heapless::Vec;

use crate::guest_tables::{IO_APIC, LOCAL_APIC};
use crate::machine::Host;
use crate::manifest::Manifest;
use crate::plan::Plan;
use crate::tree::{Path, Spot, Width};
use crate::{BootError, Region};

/// Pieces of one kind, of all guests together.
pub const MAX_PIECES: usize = 16;
/// A PC's ports, and the lines of the interrupt controller that a guest sees.
pub const PORTS: u64 = 0x1_0000;
/// See [`PORTS`].
pub const LINES: u64 = 24;
/// Below is a PC's firmware and what comes with it.
const LOWEST_MEMORY: u64 = 0x10_0000;
/// Above a second stage does not reach.
const MEMORY_END: u64 = 1 << 48;
const PAGE: u64 = 4096;

/// A kind of what can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ports, by their numbers.
    Ports,
    /// Registers in memory, host-physical, which the guest finds at the same address of its own.
    Memory,
    /// Lines of the interrupt controller, by their global numbers (GSI).
    Interrupts,
}

impl Kind {
    /// All.
    const ALL: [Self; 3] = [Self::Ports, Self::Memory, Self::Interrupts];
    /// The properties of all.
    pub(crate) const PROPERTIES: [&'static str; 3] =
        [Self::Ports.property(), Self::Memory.property(), Self::Interrupts.property()];

    const fn property(self) -> &'static str {
        match self {
            Self::Ports => "makuhari,ioports",
            Self::Memory => "makuhari,iomem",
            Self::Interrupts => "makuhari,irqs",
        }
    }

    /// What it must be.
    const fn want(self) -> &'static str {
        match self {
            Self::Ports => "ranges <first count> of ports, which are numbered from 0 to 0xffff",
            Self::Memory => {
                "ranges <address size> of whole pages of 4 KiB from 1 MiB to 0x1000000000000, as wide as #address-cells and \
                 #size-cells of /chosen say"
            }
            Self::Interrupts => "numbers of interrupts from 0 to 23",
        }
    }

    /// Can there be such a piece?
    fn has(self, place: &Region) -> bool {
        let Some(end) = place.start.checked_add(place.size).filter(|_| place.size != 0) else { return false };
        match self {
            Self::Ports => end <= PORTS,
            Self::Memory => {
                place.start >= LOWEST_MEMORY && end <= MEMORY_END && (place.start | place.size).is_multiple_of(PAGE)
            }
            Self::Interrupts => end <= LINES,
        }
    }

    /// The pieces of a guest.
    fn pieces<'a>(self, node: &Spot<'a>) -> Result<impl Iterator<Item = Region> + use<'a>, BootError<'a>> {
        let cells = match self {
            Self::Ports => Width { address: 1, size: 1 },
            Self::Memory => node.cells,
            Self::Interrupts => Width { address: 1, size: 0 },
        };
        let ranges = node.ranges(self.property(), cells).map_err(|_| node.bad(self.property(), self.want()))?;
        Ok(ranges.map(move |range| if self == Self::Interrupts { Region::new(range.start, 1) } else { range }))
    }
}

/// A piece of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is of.
    pub kind: Kind,
    /// Which.
    pub place: Region,
}

/// Why something cannot be given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refusal<'a> {
    /// The property cannot be read.
    Unreadable(BootError<'a>),
    /// Somebody has it.
    Taken {
        /// The guest.
        path: Path<'a>,
        /// What it is to have.
        piece: Piece,
        /// Who has it.
        owner: Owner<'a>,
    },
}

/// Who has a piece of the machine already.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Owner<'a> {
    /// The hypervisor.
    Hypervisor,
    /// It is RAM, or the guest has RAM there.
    Ram,
    /// A guest.
    Guest(Path<'a>),
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, Piece { kind, place }, owner) = match self {
            Self::Unreadable(error) => return error.fmt(f),
            Self::Taken { path, piece, owner } => (path, piece, owner),
        };
        write!(f, "{path}: {} has {place}, ", kind.property())?;
        match owner {
            Owner::Hypervisor => f.write_str("some of which the hypervisor needs itself: take it out"),
            Owner::Ram => {
                f.write_str("where the machine or the guest has RAM, or the guest shared memory: take it out")
            }
            Owner::Guest(guest) => write!(f, "some of which {guest} has: give it once"),
        }
    }
}

impl<'a> From<BootError<'a>> for Refusal<'a> {
    fn from(error: BootError<'a>) -> Self {
        Self::Unreadable(error)
    }
}

/// What guests are given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Index of the guest, and a piece that it has.
    pieces: Vec<(u8, Piece), { 3 * MAX_PIECES }>,
}

impl Assigned {
    /// Reads it. `own` is what the hypervisor needs itself.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be given.
    pub fn read<'a>(host: &Host<'a>, manifest: &Manifest<'a>, plan: &Plan, own: &[Piece]) -> Result<Self, Refusal<'a>> {
        let mut assigned = Self::default();
        let Some(chosen) = host.chosen else { return Ok(assigned) };
        for (index, node) in chosen.heirs()?.filter(|node| node.is("xen,domain")).enumerate() {
            for kind in Kind::ALL {
                for place in kind.pieces(&node)? {
                    if !kind.has(&place) {
                        return Err(node.bad(kind.property(), kind.want()).into());
                    }
                    let piece = Piece { kind, place };
                    if let Some(owner) = assigned.owner(host, manifest, plan, own, (index, &piece)) {
                        return Err(Refusal::Taken { path: node.path, piece, owner });
                    }
                    let (what, limit) = ("pieces in makuhari,ioports, iomem or irqs", MAX_PIECES);
                    let full = assigned.all(kind).count() >= limit;
                    if full || assigned.pieces.push((index as u8, piece)).is_err() {
                        return Err(BootError::TooMany { path: node.path, what, limit }.into());
                    }
                }
            }
        }
        Ok(assigned)
    }

    /// Who has a piece that a guest is to have.
    fn owner<'a>(
        &self,
        host: &Host<'a>,
        manifest: &Manifest<'a>,
        plan: &Plan,
        own: &[Piece],
        (guest, piece): (usize, &Piece),
    ) -> Option<Owner<'a>> {
        let place = piece.place;
        let of_kind = |other: &Piece| other.kind == piece.kind && other.place.overlaps(&place);
        if own.iter().any(of_kind) {
            return Some(Owner::Hypervisor);
        }
        if let Some((other, _)) = self.pieces.iter().find(|(_, other)| of_kind(other)) {
            return manifest.domains.get(usize::from(*other)).map(|domain| Owner::Guest(domain.path));
        }
        if piece.kind != Kind::Memory {
            return None;
        }
        // Where the guest finds its own interrupt controllers, wherever the machine has them.
        if [LOCAL_APIC, IO_APIC].iter().any(|controller| controller.overlaps(&place)) {
            return Some(Owner::Hypervisor);
        }
        let banks = plan.guests.get(guest).map(|memory| memory.banks()).unwrap_or_default();
        let mut shared = manifest.fixed.shared_of(guest).map(|view| view.guest);
        let ram = host.ram.iter().chain(&banks).any(|ram| ram.overlaps(&place));
        (ram || shared.any(|shared| shared.overlaps(&place))).then_some(Owner::Ram)
    }

    /// All pieces of a kind, each with the index of its guest.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (usize, Region)> {
        let all = self.pieces.iter().filter(move |(_, piece)| piece.kind == kind);
        all.map(|(guest, piece)| (usize::from(*guest), piece.place))
    }

    /// A guest's.
    pub fn of(&self, guest: usize, kind: Kind) -> impl Iterator<Item = Region> + Clone {
        let own = self.pieces.iter().filter(move |(other, piece)| usize::from(*other) == guest && piece.kind == kind);
        own.map(|(_, piece)| piece.place)
    }
}
