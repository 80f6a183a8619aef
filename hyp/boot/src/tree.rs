//! Reading properties without trusting them.
//!
//! `dtoolkit` checks the blob's structure; what the properties mean is checked here. A [`Spot`] is a node that knows
//! its path, for the messages, and how wide addresses are in its `reg` (Devicetree Specification, 2.3.5 and 2.3.6).

use core::fmt;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use heapless::Vec;

use crate::{BootError, Region};

/// How deep below the root a device may lie.
const DEPTH: usize = 5;

/// Size in bytes of the tree that starts with these bytes (40 are enough), or `None` if no tree starts there.
pub fn blob_size(first: &[u8]) -> Option<usize> {
    (number(first.get(..4)?)? == 0xd00d_feed).then_some(())?;
    Some(number(first.get(4..8)?)? as usize)
}

/// Where a node is. Kept small, because errors hold it: the way from the root is found when it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    fdt: Fdt<'a>,
    name: &'a str,
}

impl PartialEq for Path<'_> {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.name, other.name)
    }
}

impl Eq for Path<'_> {}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nodes lie in the blob in the order of the tree: the way leads through the last child that is not behind it.
        let wanted = self.name.as_ptr();
        let mut here = self.fdt.root();
        if self.name.is_empty() {
            return f.write_str("/");
        }
        while here.name().as_ptr() != wanted {
            let Some(next) = here.children().take_while(|child| child.name().as_ptr() <= wanted).last() else { break };
            f.write_str("/")?;
            f.write_str(next.name())?;
            here = next;
        }
        Ok(())
    }
}

/// A property of several strings, each ended by a NUL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StringList<'a> {
    bytes: &'a [u8],
}

impl<'a> StringList<'a> {
    /// Is this string among them?
    pub fn has(&self, wanted: &str) -> bool {
        self.each().any(|string| string == wanted.as_bytes())
    }

    /// The strings' bytes.
    pub(crate) fn each(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes.split(|byte| *byte == 0)
    }

    /// The strings, as far as they are text.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.bytes
            .split(|byte| *byte == 0)
            .filter(|string| !string.is_empty())
            .filter_map(|string| core::str::from_utf8(string).ok())
    }
}

/// How many cells an address and a size have in the `reg` of a node's children.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Width {
    pub(crate) address: u8,
    pub(crate) size: u8,
}

impl Width {
    fn bytes(self) -> usize {
        usize::from(self.address + self.size) * 4
    }
}

/// A node, its path, and the widths that its parent gives to its `reg`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'a> {
    pub(crate) node: FdtNode<'a>,
    pub(crate) path: Path<'a>,
    pub(crate) cells: Width,
}

impl PartialEq for Spot<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Spot<'_> {}

fn root_of(fdt: Fdt<'_>) -> Spot<'_> {
    Spot { node: fdt.root(), path: Path { fdt, name: "" }, cells: Width { address: 2, size: 1 } }
}

/// Opens a tree. `blob` may be longer than the tree. Returns the root and the memory that the blob reserves.
pub(crate) fn open<'a>(blob: &'a [u8]) -> Result<(Spot<'a>, impl Iterator<Item = Region> + use<'a>), BootError<'a>> {
    let exact = blob_size(blob).and_then(|size| blob.get(..size)).unwrap_or(blob);
    let fdt = Fdt::new(exact)?;
    Ok((root_of(fdt), fdt.memory_reservations().map(|entry| Region::new(entry.address(), entry.size()))))
}

impl<'a> Spot<'a> {
    /// The root of its tree.
    pub(crate) fn root(&self) -> Self {
        root_of(self.path.fdt)
    }

    /// Its children. Fails on widths of addresses that no 64-bit machine has.
    pub(crate) fn children(&self) -> Result<impl Iterator<Item = Spot<'a>> + use<'a>, BootError<'a>> {
        self.children_of(Width { address: 2, size: 1 })
    }

    /// Its children, whose addresses are as wide as its own where it does not say: so Xen reads what is in `/chosen`,
    /// and trees rely on it.
    pub(crate) fn heirs(&self) -> Result<impl Iterator<Item = Spot<'a>> + use<'a>, BootError<'a>> {
        self.children_of(self.cells)
    }

    #[inline(never)]
    fn children_of(&self, usual: Width) -> Result<impl Iterator<Item = Spot<'a>> + use<'a>, BootError<'a>> {
        let (cells, fdt) = (self.width(usual)?, self.path.fdt);
        Ok(self.node.children().map(move |node| Spot { node, path: Path { fdt, name: node.name() }, cells }))
    }

    /// The child of this name; a name without `@` fits any unit address.
    pub(crate) fn child(&self, name: &str) -> Result<Option<Spot<'a>>, BootError<'a>> {
        let exact = name.contains('@');
        Ok(self.children()?.find(|child| child.node.name() == name || (!exact && child.stem() == name)))
    }

    /// Its name before any `@`.
    pub(crate) fn stem(&self) -> &'a str {
        let name = self.node.name();
        name.split_once('@').map_or(name, |(stem, _)| stem)
    }

    /// A property's bytes.
    #[inline(never)]
    pub(crate) fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.node.properties().find(|property| property.name() == name)?.value_as().ok()
    }

    /// A property of one cell.
    #[inline(never)]
    pub(crate) fn cell(&self, name: &'static str) -> Result<Option<u32>, BootError<'a>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let cell = number(value).filter(|_| value.len() == 4).ok_or(self.bad(name, "one 32-bit cell"))?;
        Ok(Some(cell as u32))
    }

    /// A property of one printable string.
    #[inline(never)]
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<&'a str>, BootError<'a>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        text(value).map(Some).ok_or(self.bad(name, "one string of printable characters"))
    }

    /// A property of several strings; empty when it is absent.
    pub(crate) fn strings(&self, name: &str) -> StringList<'a> {
        StringList { bytes: self.value(name).unwrap_or_default() }
    }

    /// Does its `compatible` name this?
    pub(crate) fn is(&self, compatible: &str) -> bool {
        self.strings("compatible").has(compatible)
    }

    /// Is it in use? (`status` absent or `okay`; Devicetree Specification, 2.3.4.)
    pub(crate) fn enabled(&self) -> bool {
        let status = self.strings("status");
        status.bytes.is_empty() || status.has("okay") || status.has("ok")
    }

    /// The ranges of its `reg`; none when it has no `reg`.
    pub(crate) fn reg(&self) -> Result<Reg<'a>, BootError<'a>> {
        self.ranges("reg", self.cells)
    }

    /// The ranges of a property with addresses and sizes of these widths; none when it is absent.
    pub(crate) fn ranges(&self, name: &'static str, cells: Width) -> Result<Reg<'a>, BootError<'a>> {
        let bytes = self.value(name).unwrap_or_default();
        if cells.bytes() == 0 || !bytes.len().is_multiple_of(cells.bytes()) {
            return Err(
                self.bad(name, "addresses and sizes as wide as #address-cells and #size-cells of its parent say")
            );
        }
        Ok(Reg { bytes, cells })
    }

    /// Its `ranges`, for translating its children's addresses.
    pub(crate) fn bus(&self) -> Result<Bus<'a>, BootError<'a>> {
        let inner = self.width(Width { address: 2, size: 1 })?;
        Ok(Bus { ranges: self.value("ranges"), inner, outer: self.cells.address })
    }

    /// The error that one of its properties is not what it must be.
    pub(crate) fn bad(&self, property: &'static str, want: &'static str) -> BootError<'a> {
        BootError::BadValue { path: self.path, property, want }
    }

    /// How wide the addresses of its children are; as `usual` where it does not say.
    fn width(&self, usual: Width) -> Result<Width, BootError<'a>> {
        let address = self.cell("#address-cells")?.unwrap_or(usual.address.into());
        let size = self.cell("#size-cells")?.unwrap_or(usual.size.into());
        // PCI buses have three cells; nothing that EL2 drives lies on one, so their children's reg is not read.
        if address > 3 || size > 2 {
            return Err(self.bad("#address-cells", "1 or 2, and #size-cells 0, 1 or 2"));
        }
        Ok(Width { address: address as u8, size: size as u8 })
    }
}

/// Iterates over the ranges of a `reg`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reg<'a> {
    bytes: &'a [u8],
    cells: Width,
}

impl Iterator for Reg<'_> {
    type Item = Region;

    fn next(&mut self) -> Option<Region> {
        let (entry, rest) = self.bytes.split_at_checked(self.cells.bytes())?;
        let (start, size) = entry.split_at_checked(usize::from(self.cells.address) * 4)?;
        self.bytes = rest;
        Some(Region::new(number(start)?, if size.is_empty() { 0 } else { number(size)? }))
    }
}

/// What a bus does to addresses: its `ranges` (Devicetree Specification, 2.3.8).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bus<'a> {
    ranges: Option<&'a [u8]>,
    inner: Width,
    outer: u8,
}

impl Bus<'_> {
    /// A range as the bus's parent sees it; `None` where it does not see it.
    fn outward(&self, region: Region) -> Option<Region> {
        let mut rest = self.ranges?;
        if rest.is_empty() {
            return Some(region);
        }
        let inner = usize::from(self.inner.address) * 4;
        let outer = usize::from(self.outer) * 4;
        loop {
            let (from, after) = rest.split_at_checked(inner)?;
            let (to, after) = after.split_at_checked(outer)?;
            let (size, after) = after.split_at_checked(usize::from(self.inner.size) * 4)?;
            let window = Region::new(number(from)?, number(size)?);
            if window.contains(&region) {
                let start = number(to)?.checked_add(region.start.checked_sub(window.start)?)?;
                return Some(Region::new(start, region.size));
            }
            rest = after;
        }
    }
}

/// The buses between a node and the root, outermost first.
pub(crate) type Buses<'a> = Vec<Bus<'a>, DEPTH>;

/// A device with what is needed to find its registers.
#[derive(Clone, Debug)]
pub(crate) struct Device<'a> {
    pub(crate) spot: Spot<'a>,
    pub(crate) buses: Buses<'a>,
}

impl<'a> Device<'a> {
    /// The ranges of its `reg` in the CPU's physical address space.
    pub(crate) fn registers<const N: usize>(&self) -> Result<Vec<Region, N>, BootError<'a>> {
        let mut found = Vec::new();
        for region in self.spot.reg()?.take(N) {
            let region = self.buses.iter().rev().try_fold(region, |region, bus| bus.outward(region));
            let region = region.ok_or(self.spot.bad("reg", "an address that the ranges of its buses translate"))?;
            // Cannot fail: at most N are taken.
            let _ = found.push(region);
        }
        Ok(found)
    }

    /// Interrupt `index` of its `interrupts` as a GIC numbers it: cells <type number flags>, type 0 an SPI, 1 a PPI.
    pub(crate) fn interrupt(&self, index: usize) -> Option<u32> {
        let cells = self.spot.value("interrupts")?.get(index.checked_mul(12)?..)?;
        let interrupt = number(cells.get(4..8)?)? as u32;
        match number(cells.get(..4)?)? {
            0 if interrupt < 988 => Some(interrupt + 32),
            1 if interrupt < 16 => Some(interrupt + 16),
            _ => None,
        }
    }

    /// One whose buses do not matter.
    pub(crate) fn alone(spot: Spot<'a>) -> Self {
        Self { spot, buses: Vec::new() }
    }

    /// Finds a device by its path from `root`.
    pub(crate) fn at_path(root: Spot<'a>, path: &str) -> Result<Option<Self>, BootError<'a>> {
        let mut device = Self::alone(root);
        for (level, name) in path.split('/').filter(|name| !name.is_empty()).enumerate() {
            if level > 0 && device.buses.push(device.spot.bus()?).is_err() {
                return Ok(None);
            }
            let Some(child) = device.spot.child(name)? else { return Ok(None) };
            device.spot = child;
        }
        Ok(Some(device))
    }
}

/// Shows every enabled device below `here` to `look`, down to as many levels as [`Buses`] holds.
pub(crate) fn each_device<'a>(
    here: Spot<'a>,
    buses: &mut Buses<'a>,
    look: &mut dyn FnMut(Spot<'a>, StringList<'a>, &Buses<'a>),
) -> Result<(), BootError<'a>> {
    here.children()?.try_for_each(|child| device_and_below(child, buses, look))
}

/// Shows a node that lies behind `buses`, if it is an enabled device, and every one below it to `look`.
pub(crate) fn device_and_below<'a>(
    node: Spot<'a>,
    buses: &mut Buses<'a>,
    look: &mut dyn FnMut(Spot<'a>, StringList<'a>, &Buses<'a>),
) -> Result<(), BootError<'a>> {
    // One pass over the properties of each node: this runs before the first guest does, on all of the tree.
    let (mut compatible, mut enabled, mut bus) = (StringList::default(), true, false);
    for property in node.node.properties() {
        match property.name() {
            "compatible" => compatible.bytes = property.value_as().unwrap_or_default(),
            "status" => enabled = node.enabled(),
            "ranges" => bus = true,
            _ => {}
        }
    }
    if enabled && !compatible.bytes.is_empty() {
        look(node, compatible, buses);
    }
    if bus && buses.push(node.bus()?).is_ok() {
        each_device(node, buses, look)?;
        buses.pop();
    }
    Ok(())
}

/// A big-endian number of one or two cells.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    match bytes.len() {
        4 => Some(u64::from(u32::from_be_bytes(bytes.try_into().ok()?))),
        8 => Some(u64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

/// A property's bytes as one printable string.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    let bytes = value.strip_suffix(&[0])?;
    bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ').then_some(())?;
    core::str::from_utf8(bytes).ok()
}
