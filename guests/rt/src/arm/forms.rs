//! Loads and stores of devices in every form that moves general registers, for the probe.
//!
//! A hypervisor that emulates a device gets no help from the processor with most of these; each function here is one of
//! them, and returns what the instruction left in its registers, the base register last.

use core::arch::asm;

macro_rules! loads {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {$(
        $(#[$doc])*
        pub fn $name(address: u64) -> [u64; 3] {
            let (mut base, first, second): (u64, u64, u64) = (address, 0, 0);
            let (mut first, mut second) = (first, second);
            // SAFETY: loads from device memory, which holds nothing that Rust owns; a bad address faults and is
            // reported.
            unsafe { asm!($code, x = inout(reg) base, a = inout(reg) first, b = inout(reg) second, options(nostack)) };
            [first, second, base]
        }
    )*};
}

macro_rules! stores {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {$(
        $(#[$doc])*
        pub fn $name(address: u64, first: u64, second: u64) -> u64 {
            let mut base = address;
            // SAFETY: stores to device memory, which holds nothing that Rust owns; a bad address faults and is
            // reported.
            unsafe { asm!($code, x = inout(reg) base, a = in(reg) first, b = in(reg) second, options(nostack)) };
            base
        }
    )*};
}

// What is named in a template has to be used by it; a comment of the assembler's uses it.
loads! {
    /// LDR of a word, post-indexed.
    load_post = "ldr {a:w}, [{x}], #8 // {b}";
    /// LDR of a word, pre-indexed.
    load_pre = "ldr {a:w}, [{x}, #4]! // {b}";
    /// LDRB, post-indexed, backwards.
    load_byte_post = "ldrb {a:w}, [{x}], #-1 // {b}";
    /// LDRSB to 64 bits, pre-indexed.
    load_signed_byte_pre = "ldrsb {a}, [{x}, #1]! // {b}";
    /// LDRSW, post-indexed.
    load_signed_word_post = "ldrsw {a}, [{x}], #4 // {b}";
    /// LDR of 64 bits, post-indexed.
    load_wide_post = "ldr {a}, [{x}], #8 // {b}";
    /// LDP of words.
    load_pair = "ldp {a:w}, {b:w}, [{x}]";
    /// LDP of words, post-indexed.
    load_pair_post = "ldp {a:w}, {b:w}, [{x}], #8";
    /// LDP of words, pre-indexed.
    load_pair_pre = "ldp {a:w}, {b:w}, [{x}, #8]!";
    /// LDPSW.
    load_signed_pair = "ldpsw {a}, {b}, [{x}]";
    /// LDNP of words.
    load_pair_once = "ldnp {a:w}, {b:w}, [{x}]";
    /// LDUR.
    load_unscaled = "ldur {a:w}, [{x}, #4] // {b}";
    /// LDR by a register; the base is what it was.
    load_by_register = "mov {b}, #1\nldr {a:w}, [{x}, {b:w}, uxtw #2]";
    /// LDR with the stack pointer as its base, post-indexed; interrupts masked meanwhile.
    load_by_stack = "mrs {b}, daif\nmsr daifset, #15\nmov {a}, sp\nmov sp, {x}\nmov {x}, {a}\nldr {a:w}, [sp], #16\n\
        msr daif, {b}\nmov {b}, {x}\nmov {x}, sp\nmov sp, {b}";
    /// The same with SP_EL0.
    load_by_other_stack = "mrs {b}, daif\nmsr daifset, #15\nmsr spsel, #0\nmov sp, {x}\nldr {a:w}, [sp], #16\n\
        mov {x}, sp\nmsr spsel, #1\nmsr daif, {b}";
    /// LDXR: exclusive.
    load_exclusive = "ldxr {a:w}, [{x}] // {b}";
}

stores! {
    /// STR of a word, post-indexed.
    store_post = "str {a:w}, [{x}], #4 // {b}";
    /// STR of a word, pre-indexed.
    store_pre = "str {a:w}, [{x}, #4]! // {b}";
    /// STRB, post-indexed.
    store_byte_post = "strb {a:w}, [{x}], #1 // {b}";
    /// STP of words.
    store_pair = "stp {a:w}, {b:w}, [{x}]";
    /// STP of words, post-indexed.
    store_pair_post = "stp {a:w}, {b:w}, [{x}], #8";
    /// STR of the zero register, post-indexed.
    store_zero_post = "str wzr, [{x}], #4 // {a} {b}";
    /// DC CVAC: cleans the cache.
    clean = "dc cvac, {x} // {a} {b}";
}

/// LDR of a vector register.
pub fn load_vector(address: u64) {
    // SAFETY: as for the others; the vector register is given up.
    unsafe { asm!("ldr q31, [{}]", in(reg) address, out("v31") _, options(nostack)) };
}
