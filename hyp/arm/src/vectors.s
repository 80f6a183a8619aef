// Exception vectors of EL2, and the way into a guest and out of it.
//
// While a guest runs, SP_EL2 points to its registers (see registers.rs): x0 to x30, from offset 0, and the stack of the
// hypervisor at HOST_STACK. An exception from the guest first stores only what a call may change, and calls the function
// that `enter_guest` was given: most exits are over when that returns. Where it says so, the rest is stored, and
// `enter_guest`, which looks like a function that the hypervisor called, returns. ELR_EL2 and SPSR_EL2 stay in the
// processor all the time.

    .set HOST_STACK, 264
    // What enter_guest keeps on the hypervisor's stack, above its callee-saved registers.
    .set VISIT, 96
    .set REGISTERS, 112
    .set FRAME, 128

    .section .text.vectors, "ax"
    .balign 2048
    .global vectors
vectors:
    // From EL2 itself with SP_EL0: never used.
    .rept 4
    .balign 128
    b       own_exception
    .endr
    // From EL2 itself. An interrupt here is a mistake too: EL2 runs with interrupts masked.
    .rept 4
    .balign 128
    b       own_exception
    .endr

    .macro store_volatile
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    str     x18, [sp, #144]
    str     x30, [sp, #240]
    .endm

    // A synchronous exception. Linux makes the firmware call SMCCC_ARCH_WORKAROUND_1 at every exception from user mode
    // on some processors, where firmware has it; that one is handed on from here.
    .macro synchronous
    .balign 128
    stp     x0, x1, [sp]
    mrs     x1, ESR_EL2
    mov     w0, #0x5a000000                     // HVC #0
    cmp     w1, w0
    b.eq    firmware_call
    store_volatile
    b       visit
    .endm

    // `cause` stands where a syndrome would.
    .macro asynchronous cause
    .balign 128
    stp     x0, x1, [sp]
    store_volatile
    mov     x1, #\cause
    b       visit
    .endm

    synchronous
    asynchronous -1                             // IRQ
    asynchronous -1                             // FIQ: group 0 is the firmware's, so this is ours or nothing
    asynchronous -2                             // SError
    synchronous                                 // the same four from AArch32, which a guest's EL0 may be in
    asynchronous -1
    asynchronous -1
    asynchronous -2

    .balign 128
firmware_call:
    ldr     x0, [sp]
    eor     w0, w0, #0x80008000                 // SMCCC_ARCH_WORKAROUND_1
    cbz     w0, work_around
    store_volatile
visit:
    ldr     x0, [sp, #HOST_STACK]
    mov     sp, x0
    ldp     x0, x2, [sp, #VISIT]
    blr     x2
    ldr     x9, [sp, #REGISTERS]
    cbnz    x0, leave_guest
    mov     sp, x9
resume:
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldr     x18, [sp, #144]
    ldr     x30, [sp, #240]
1:  ldp     x0, x1, [sp]
    eret
    dsb     nsh                                 // keeps the processor from running ahead past the ERET
    isb

work_around:
    adrp    x0, WORKAROUNDS
    ldr     w0, [x0, #:lo12:WORKAROUNDS]
    tbz     w0, #0, 1b                          // CALL of workaround 1: firmware has it
    stp     x2, x3, [sp, #16]
    mov     w0, #0x80008000
    smc     #0                                  // changes x0 to x3 at most (DEN 0028, 2.6)
    ldp     x2, x3, [sp, #16]
    b       1b

leave_guest:
    stp     x19, x20, [x9, #152]
    stp     x21, x22, [x9, #168]
    stp     x23, x24, [x9, #184]
    stp     x25, x26, [x9, #200]
    stp     x27, x28, [x9, #216]
    str     x29, [x9, #232]
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp], #FRAME
    ret

// fn enter_guest(registers: *mut Registers, visit: *mut (), function: extern "C" fn(*mut (), u64) -> u64) -> u64: runs
// the guest until `function`, called with `visit` and a syndrome at each exit, returns other than 0; what it returned.
    .global enter_guest
enter_guest:
    stp     x29, x30, [sp, #-FRAME]!
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    stp     x1, x2, [sp, #VISIT]
    str     x0, [sp, #REGISTERS]
    mov     x1, sp
    str     x1, [x0, #HOST_STACK]
    mov     sp, x0
    ldp     x19, x20, [sp, #152]
    ldp     x21, x22, [sp, #168]
    ldp     x23, x24, [sp, #184]
    ldp     x25, x26, [sp, #200]
    ldp     x27, x28, [sp, #216]
    ldr     x29, [sp, #232]
    b       resume

// EL2 faulted. The stack may be the culprit, so the dump gets one of its own; the guest's thread register is lost.
own_exception:
    msr     TPIDRRO_EL0, x0
    ldr     x0, =FAULT_STACK
    add     x0, x0, #8192
    sub     x0, x0, #288
    stp     x2, x3, [x0, #16]
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    stp     x10, x11, [x0, #80]
    stp     x12, x13, [x0, #96]
    stp     x14, x15, [x0, #112]
    stp     x16, x17, [x0, #128]
    stp     x18, x19, [x0, #144]
    stp     x20, x21, [x0, #160]
    stp     x22, x23, [x0, #176]
    stp     x24, x25, [x0, #192]
    stp     x26, x27, [x0, #208]
    stp     x28, x29, [x0, #224]
    mrs     x2, ELR_EL2
    mrs     x3, SPSR_EL2
    stp     x30, x2, [x0, #240]
    str     x3, [x0, #256]
    mov     x3, sp
    str     x3, [x0, #264]
    mrs     x2, TPIDRRO_EL0
    stp     x2, x1, [x0]
    mov     sp, x0
    ldr     x9, =own_fault
    br      x9
    .ltorg

// Float state: fn save_float(to: *mut Float), fn load_float(from: *const Float): q0-q31, FPCR, FPSR.
    .arch_extension fp
    .arch_extension simd
    .global save_float
save_float:
    stp     q0, q1, [x0, #0]
    stp     q2, q3, [x0, #32]
    stp     q4, q5, [x0, #64]
    stp     q6, q7, [x0, #96]
    stp     q8, q9, [x0, #128]
    stp     q10, q11, [x0, #160]
    stp     q12, q13, [x0, #192]
    stp     q14, q15, [x0, #224]
    stp     q16, q17, [x0, #256]
    stp     q18, q19, [x0, #288]
    stp     q20, q21, [x0, #320]
    stp     q22, q23, [x0, #352]
    stp     q24, q25, [x0, #384]
    stp     q26, q27, [x0, #416]
    stp     q28, q29, [x0, #448]
    stp     q30, q31, [x0, #480]
    mrs     x1, FPCR
    mrs     x2, FPSR
    add     x0, x0, #512
    stp     x1, x2, [x0]
    ret

    .global load_float
load_float:
    ldp     q0, q1, [x0, #0]
    ldp     q2, q3, [x0, #32]
    ldp     q4, q5, [x0, #64]
    ldp     q6, q7, [x0, #96]
    ldp     q8, q9, [x0, #128]
    ldp     q10, q11, [x0, #160]
    ldp     q12, q13, [x0, #192]
    ldp     q14, q15, [x0, #224]
    ldp     q16, q17, [x0, #256]
    ldp     q18, q19, [x0, #288]
    ldp     q20, q21, [x0, #320]
    ldp     q22, q23, [x0, #352]
    ldp     q24, q25, [x0, #384]
    ldp     q26, q27, [x0, #416]
    ldp     q28, q29, [x0, #448]
    ldp     q30, q31, [x0, #480]
    add     x0, x0, #512
    ldp     x1, x2, [x0]
    msr     FPCR, x1
    msr     FPSR, x2
    ret
