// First instructions of a guest. The boot protocol (Linux, Documentation/arch/arm64/booting.rst) enters at EL1 with
// the device tree's address in x0, MMU and data cache off, interrupts masked.

.section .head, "ax"
.global _start
_start:
    b       start_here
    .word   0
    .quad   TEXT_OFFSET             // from the start of RAM
    .quad   image_bytes             // with bss and stacks
    .quad   2                       // flags: little endian, 4 KiB pages, near the start of RAM
    .quad   0
    .quad   0
    .quad   0
    .ascii  "ARM\x64"
    .word   0

.section .text.entry, "ax"
start_here:
    mov     x19, x0
    bl      processor_setup
    adrp    x0, boot_stack_top
    add     x0, x0, :lo12:boot_stack_top
    mov     sp, x0
    bl      relocate
    adrp    x1, bss_start
    add     x1, x1, :lo12:bss_start
    adrp    x2, bss_end
    add     x2, x2, :lo12:bss_end
1:  cmp     x1, x2
    b.hs    2f
    stp     xzr, xzr, [x1], #16
    b       1b
2:  msr     tpidr_el1, xzr          // vCPU number for rt::cpu::index
    mov     x0, x19
    bl      rt_start
3:  wfi
    b       3b

// Elsewhere than where the image is linked, its pointers have to follow: the list has 24 bytes for each, of which the first
// 8 say where the pointer is and the last 8 where it points, both as linked (R_AARCH64_RELATIVE).
relocate:
    adrp    x0, image_start
    add     x0, x0, :lo12:image_start
    ldr     x1, =LINKED_AT
    subs    x0, x0, x1
    b.eq    2f
    adrp    x1, relocations_start
    add     x1, x1, :lo12:relocations_start
    adrp    x2, relocations_end
    add     x2, x2, :lo12:relocations_end
1:  cmp     x1, x2
    b.hs    2f
    ldr     x3, [x1]
    ldr     x4, [x1, #16]
    add     x4, x4, x0
    str     x4, [x3, x0]
    add     x1, x1, #24
    b       1b
2:  ret

// A vCPU started by PSCI CPU_ON: its number, at least 1, in x0.
.global secondary_entry
secondary_entry:
    mov     x19, x0
    bl      processor_setup
    msr     tpidr_el1, x19
    ldr     x1, =SECONDARY_STACK_BYTES
    adrp    x0, secondary_stacks
    add     x0, x0, :lo12:secondary_stacks
    add     x2, x19, #1
    madd    x0, x1, x2, x0
    mov     sp, x0
    mov     x0, x19
    bl      rt_secondary
4:  wfi
    b       4b

// Float on, vectors, identity map, caches. Uses x0 to x3 only, no memory.
processor_setup:
    mov     x0, #(3 << 20)          // CPACR_EL1.FPEN: float and vector instructions do not trap
    msr     cpacr_el1, x0
    adrp    x0, rt_vectors
    add     x0, x0, :lo12:rt_vectors
    msr     vbar_el1, x0
    ldr     x0, =0xff04             // attribute 0: device nGnRE, 1: normal write-back
    msr     mair_el1, x0
    // 39-bit addresses, write-back inner-shareable walks, no TTBR1, 40-bit physical
    ldr     x0, =(25 | (1 << 8) | (1 << 10) | (3 << 12) | (1 << 23) | (2 << 32))
    msr     tcr_el1, x0
    adrp    x0, IDENTITY_MAP
    add     x0, x0, :lo12:IDENTITY_MAP
    msr     ttbr0_el1, x0
    dsb     ish
    tlbi    vmalle1
    ic      iallu
    dsb     ish
    isb
    ldr     x0, =0x30d0180d         // SCTLR_EL1: reserved ones, I, SA, C, M
    msr     sctlr_el1, x0
    isb
    ret
.ltorg

// Exceptions. Each of the 16 vectors keeps the general registers in a frame: x0 to x30, ELR, SPSR (rt::trap::Frame).
.macro vector number, handler
    .balign 128
    sub     sp, sp, #288
    stp     x0, x1, [sp, #0]
    mrs     x1, cntvct_el0          // as early as can be: the time at which the handler began
    mov     x0, #\number
    b       \handler
.endm

.section .text.vectors, "ax"
.balign 2048
.global rt_vectors
rt_vectors:
    vector 0, exception
    vector 1, exception
    vector 2, exception
    vector 3, exception
    vector 4, exception
    vector 5, interrupt
    vector 6, exception
    vector 7, exception
    vector 8, exception
    vector 9, exception
    vector 10, exception
    vector 11, exception
    vector 12, exception
    vector 13, exception
    vector 14, exception
    vector 15, exception

.macro save_rest
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    stp     x30, x2, [sp, #240]
    str     x3, [sp, #256]
.endm

.macro restore_and_return
    ldp     x30, x2, [sp, #240]
    ldr     x3, [sp, #256]
    msr     elr_el1, x2
    msr     spsr_el1, x3
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldp     x0, x1, [sp, #0]
    add     sp, sp, #288
    eret
.endm

exception:
    save_rest
    mov     x1, sp
    bl      rt_exception            // (number, frame)
    restore_and_return

// The interrupted code may be in the middle of vector work: all 32 registers are kept, not the callee-saved halves.
.macro vectors_of operation
    \operation q0, q1, [sp, #0]
    \operation q2, q3, [sp, #32]
    \operation q4, q5, [sp, #64]
    \operation q6, q7, [sp, #96]
    \operation q8, q9, [sp, #128]
    \operation q10, q11, [sp, #160]
    \operation q12, q13, [sp, #192]
    \operation q14, q15, [sp, #224]
    \operation q16, q17, [sp, #256]
    \operation q18, q19, [sp, #288]
    \operation q20, q21, [sp, #320]
    \operation q22, q23, [sp, #352]
    \operation q24, q25, [sp, #384]
    \operation q26, q27, [sp, #416]
    \operation q28, q29, [sp, #448]
    \operation q30, q31, [sp, #480]
.endm

interrupt:
    save_rest
    mrs     x2, fpsr
    mrs     x3, fpcr
    stp     x2, x3, [sp, #264]
    sub     sp, sp, #512
    vectors_of stp
    mov     x0, x1
    bl      rt_interrupt            // (counter)
    vectors_of ldp
    add     sp, sp, #512
    ldp     x2, x3, [sp, #264]
    msr     fpsr, x2
    msr     fpcr, x3
    restore_and_return

// Fill d8 to d15 with values made from x0, burn x1 rounds, and compare: 1 in x0 when all are as they were. Plain Rust
// keeps no value in a register for sure; the check of the hypervisor's float switch needs one that does.
.section .text.float_check, "ax"
.global rt_float_check
rt_float_check:
    sub     sp, sp, #64
    stp     d8, d9, [sp, #0]
    stp     d10, d11, [sp, #16]
    stp     d12, d13, [sp, #32]
    stp     d14, d15, [sp, #48]
    .irp    n, 8, 9, 10, 11, 12, 13, 14, 15
    add     x2, x0, #\n
    fmov    d\n, x2
    dup     v\n\().2d, x2
    .endr
    .irp    n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    add     x2, x0, #\n
    dup     v\n\().2d, x2
    .endr
    mov     x4, xzr
1:  fmov    d0, x1
    scvtf   d1, x0
    fadd    d0, d0, d1
    fmul    d0, d0, d1
    subs    x1, x1, #1
    b.ne    1b
    .irp    n, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    add     x2, x0, #\n
    mov     x3, v\n\().d[0]
    eor     x3, x3, x2
    orr     x4, x4, x3
    mov     x3, v\n\().d[1]
    eor     x3, x3, x2
    orr     x4, x4, x3
    .endr
    cmp     x4, #0
    cset    x0, eq
    ldp     d8, d9, [sp, #0]
    ldp     d10, d11, [sp, #16]
    ldp     d12, d13, [sp, #32]
    ldp     d14, d15, [sp, #48]
    add     sp, sp, #64
    ret

// For rt::hardware_debug: an instruction to break at.
.section .text.debug, "ax"
.global rt_breakpoint_here
rt_breakpoint_here:
    nop
    ret

// Single step: an exception return with SPSR_EL1.SS set executes one instruction, here one that hypervisors emulate,
// before the step's exception. Its handler switches stepping off. Returns the address behind the instruction.
.global rt_step_once
rt_step_once:
    mrs     x1, daif
    msr     daifset, #2             // an interrupt would be stepped instead
    mov     x2, #0xc5               // EL1h, debug exceptions not masked, interrupts masked
    orr     x2, x2, #(1 << 21)
    msr     spsr_el1, x2
    adr     x3, 1f
    msr     elr_el1, x3
    adr     x0, 2f
    isb
    eret
1:  mrs     x4, actlr_el1
2:  nop
    msr     daif, x1
    ret

// For rt::trap: run code at EL0 until its exception; the handler comes back to x30 at EL1.
.global rt_at_el0
rt_at_el0:
    stp     x29, x30, [sp, #-16]!
    mrs     x2, daif
    str     x2, [sp, #-16]!
    mov     x3, #0x3c0              // EL0, all masked: interrupts there are nothing that the vectors know
    msr     spsr_el1, x3
    msr     elr_el1, x0
    adr     x30, 1f
    isb
    eret
1:  ldr     x2, [sp], #16
    msr     daif, x2
    ldp     x29, x30, [sp], #16
    ret

// For rt::psci: CPU_SUSPEND. x0 is power_state; the result is what the call returned, or -1000 when the vCPU came back
// through the entry point.
.global rt_suspend
rt_suspend:
    stp     x29, x30, [sp, #-112]!
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    mrs     x2, tpidr_el1
    str     x2, [sp, #96]
    mov     x1, x0
    movz    x0, #0x0001
    movk    x0, #0xc400, lsl #16
    adr     x2, suspended_entry
    mov     x3, sp
    hvc     #0
    b       1f
suspended_entry:
    mov     x19, x0                 // the context: our stack
    bl      processor_setup
    mov     sp, x19
    mov     x0, #-1000
    ldr     x2, [sp, #96]
    msr     tpidr_el1, x2
1:  ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp], #112
    ret
