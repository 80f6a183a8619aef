//! What a guest is told of its processor.
//!
//! The physical processor's leaves, less what guests must not use because nobody switches or confines it: what has state
//! beyond the x87 and SSE registers, what watches the processor, virtualization, a second time stamp register, power. Bits
//! are those of the Intel SDM 2A (CPUID) and AMD APM volume 3, appendix E; only what is listed here is let through.
//! Above 0x40000000 are Xen's leaves.

use xen_abi::arch_x86::{
    XEN_CPUID_FIRST_LEAF, XEN_CPUID_SIGNATURE_EBX, XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX,
    XEN_HVM_CPUID_DOMID_PRESENT, XEN_HVM_CPUID_UPCALL_VECTOR, XEN_HVM_CPUID_VCPU_ID_PRESENT,
};

/// EAX, EBX, ECX, EDX.
pub type Leaf = [u32; 4];

/// The register by which a guest asks for its hypercall page, as leaf 2 names it.
pub const HYPERCALL_MSR: u32 = 0x4000_0000;
/// Major number in the upper half, minor in the lower.
const VERSION: u32 = 4 << 16 | 17;
const LAST_XEN_LEAF: u32 = XEN_CPUID_FIRST_LEAF + 4;
const LAST_LEAF: u32 = 0xd;

/// Leaf 1, ECX: SSE3, PCLMULQDQ, SSSE3, CX16, PCID, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, RDRAND; and what we add: x2APIC, TSC
/// deadline, a hypervisor.
const LEAF1_ECX: u32 =
    1 << 0 | 1 << 1 | 1 << 9 | 1 << 13 | 1 << 17 | 1 << 19 | 1 << 20 | 1 << 22 | 1 << 23 | 1 << 25 | 1 << 30;
const LEAF1_ECX_OURS: u32 = 1 << 21 | 1 << 24 | 1 << 31;
/// Leaf 1, EDX: FPU, VME, DE, PSE, TSC, MSR, PAE, CX8, APIC, SEP, PGE, CMOV, PAT, PSE36, CLFLUSH, MMX, FXSR, SSE, SSE2.
const LEAF1_EDX: u32 = 0x3f
    | 1 << 6
    | 1 << 8
    | 1 << 9
    | 1 << 11
    | 1 << 13
    | 1 << 15
    | 1 << 16
    | 1 << 17
    | 1 << 19
    | 1 << 23
    | 1 << 24
    | 1 << 25
    | 1 << 26;
/// Leaf 7, EBX: FSGSBASE, BMI1, SMEP, BMI2, ERMS, INVPCID, RDSEED, ADX, SMAP, CLFLUSHOPT, CLWB, SHA.
const LEAF7_EBX: u32 =
    1 << 0 | 1 << 3 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 23 | 1 << 24 | 1 << 29;
/// Leaf 7, ECX: UMIP.
const LEAF7_ECX: u32 = 1 << 2;
/// Leaf 0x80000001, ECX: LAHF, CR8 in 32-bit code, LZCNT, SSE4A, misaligned SSE, PREFETCHW.
const EXTENDED1_ECX: u32 = 1 << 0 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8;
/// Leaf 0x80000001, EDX: what leaf 1 has on AMD too, SYSCALL, NX, extended MMX, 1 GiB pages, long mode.
const EXTENDED1_EDX: u32 = LEAF1_EDX & 0x0183_f3ff | 1 << 11 | 1 << 20 | 1 << 22 | 1 << 26 | 1 << 29;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// Its number in its domain.
    pub vcpu: u8,
    /// How many vCPUs that has.
    pub vcpus: u8,
    /// The domain's number.
    pub domain: u16,
    /// The rate of the time stamp counter.
    pub tsc_khz: u32,
}

/// The answer to a guest. `physical` asks the processor.
pub fn answer(asker: &Asker, leaf: u32, subleaf: u32, physical: impl Fn(u32, u32) -> Leaf) -> Leaf {
    let id = u32::from(asker.vcpu);
    match leaf {
        0 => {
            let [last, rest @ ..] = physical(0, 0);
            let [b, c, d] = rest;
            [last.min(LAST_LEAF), b, c, d]
        }
        1 => {
            let [signature, b, c, d] = physical(1, 0);
            // The brand and the line size stay; the count of processors and the identifier are the guest's.
            let b = b & 0xffff | u32::from(asker.vcpus) << 16 | id << 24;
            [signature, b, c & LEAF1_ECX | LEAF1_ECX_OURS, d & LEAF1_EDX]
        }
        2 => physical(2, 0),
        // Caches, with nobody to share them.
        4 => {
            let [a, b, c, d] = physical(4, subleaf);
            [a & 0x3fff, b, c, d]
        }
        7 if subleaf == 0 => {
            let [_, b, c, _] = physical(7, 0);
            [0, b & LEAF7_EBX, c & LEAF7_ECX, 0]
        }
        // Topology: one thread, then all in one package.
        0xb if subleaf < 2 => {
            let shift = if subleaf == 0 { 0 } else { u32::from(asker.vcpus).next_power_of_two().trailing_zeros() };
            let count = if subleaf == 0 { 1 } else { u32::from(asker.vcpus) };
            [shift, count, subleaf | (subleaf + 1) << 8, id]
        }
        0xb => [0, 0, subleaf, id],
        XEN_CPUID_FIRST_LEAF..=LAST_XEN_LEAF => xen(asker, leaf - XEN_CPUID_FIRST_LEAF, subleaf),
        0x8000_0000 => {
            let [last, b, c, d] = physical(leaf, 0);
            [last.min(0x8000_0008), b, c, d]
        }
        0x8000_0001 => {
            let [a, b, c, d] = physical(leaf, 0);
            [a, b, c & EXTENDED1_ECX, d & EXTENDED1_EDX]
        }
        0x8000_0002..=0x8000_0006 => physical(leaf, 0),
        // The counter keeps its rate.
        0x8000_0007 => [0, 0, 0, 1 << 8],
        0x8000_0008 => {
            let [widths, ..] = physical(leaf, 0);
            [widths & 0xffff, 0, u32::from(asker.vcpus).saturating_sub(1), 0]
        }
        _ => [0; 4],
    }
}

fn xen(asker: &Asker, leaf: u32, subleaf: u32) -> Leaf {
    match leaf {
        0 => [LAST_XEN_LEAF, XEN_CPUID_SIGNATURE_EBX, XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX],
        1 => [VERSION, 0, 0, 0],
        2 => [1, HYPERCALL_MSR, 0, 0],
        // Time: the counter is the machine's own, can be relied on, and has this rate.
        3 if subleaf == 0 => [1 << 1, 0, asker.tsc_khz, 1],
        4 => {
            let flags = XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT | XEN_HVM_CPUID_UPCALL_VECTOR;
            [flags, asker.vcpu.into(), asker.domain.into(), 0]
        }
        _ => [0; 4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: Asker = Asker { vcpu: 2, vcpus: 3, domain: 5, tsc_khz: 1_000_000 };

    fn ask(leaf: u32, subleaf: u32) -> Leaf {
        answer(&ASKER, leaf, subleaf, |_, _| [u32::MAX; 4])
    }

    #[test]
    fn a_processor_that_has_everything_is_cut_down() {
        let [_, b, c, d] = ask(1, 0);
        assert_eq!((b >> 24, b >> 16 & 0xff), (2, 3));
        for (bit, name) in
            [(2, "DTES64"), (3, "MONITOR"), (5, "VMX"), (26, "XSAVE"), (27, "OSXSAVE"), (28, "AVX"), (12, "FMA")]
        {
            assert_eq!(c >> bit & 1, 0, "{name}");
        }
        assert_eq!((c >> 21 & 1, c >> 31), (1, 1), "x2APIC, a hypervisor");
        for (bit, name) in [(7, "MCE"), (14, "MCA"), (12, "MTRR"), (21, "DS"), (28, "HTT")] {
            assert_eq!(d >> bit & 1, 0, "{name}");
        }
        let [_, b, _, d] = ask(7, 0);
        assert_eq!((b >> 5 & 1, b >> 16 & 1, d), (0, 0, 0), "AVX2, AVX512F, and nothing of EDX");
        let [_, _, c, d] = ask(0x8000_0001, 0);
        assert_eq!((c >> 2 & 1, d >> 27 & 1, d >> 29 & 1), (0, 0, 1), "AMD-V, RDTSCP, long mode");
        for leaf in [3, 5, 6, 9, 0xa, 0xc, 0xd, 0xe, 0x14, 0x8000_000a, 0x8000_001f, 0x4000_0005, 0x4000_0100] {
            assert_eq!(ask(leaf, 0), [0; 4], "{leaf:#x}");
        }
    }

    #[test]
    fn the_first_leaves_name_the_last() {
        assert_eq!(ask(0, 0)[0], 0xd);
        assert_eq!(answer(&ASKER, 0, 0, |_, _| [4, 1, 2, 3]), [4, 1, 2, 3]);
        assert_eq!(ask(0x8000_0000, 0)[0], 0x8000_0008);
    }

    #[test]
    fn xen_is_found() {
        let [last, rest @ ..] = ask(0x4000_0000, 0);
        assert_eq!(rest.map(u32::to_le_bytes).concat(), b"XenVMMXenVMM");
        assert_eq!(last, 0x4000_0004);
        assert_eq!(ask(0x4000_0001, 0)[0], 0x0004_0011);
        assert_eq!(ask(0x4000_0002, 0), [1, HYPERCALL_MSR, 0, 0]);
        assert_eq!(ask(0x4000_0003, 0)[2], 1_000_000);
        let [flags, vcpu, domain, _] = ask(0x4000_0004, 0);
        assert_eq!((flags & 0x18, vcpu, domain), (0x18, 2, 5));
    }

    #[test]
    fn topology_is_one_package() {
        assert_eq!(ask(0xb, 0), [0, 1, 0x100, 2]);
        assert_eq!(ask(0xb, 1), [2, 3, 0x201, 2]);
        assert_eq!(ask(0xb, 2), [0, 0, 2, 2]);
    }
}
