// memcpy, up to 128 bytes at a time. The one that comes with Rust for targets without an operating system moves eight, and
// what an I/O domain does for a request is mostly moving: requests, and the pages of their data. The last bytes of each size
// may be moved twice, with their neighbours. Unaligned accesses are fine: all of it is normal memory (SCTLR_EL1.A is 0).
//
// `copy_memory` is the same under a name of which a compiler knows nothing, for memory that others may change.

.section .text.memcpy, "ax"
.global memcpy
.global copy_memory
.type memcpy, %function
.type copy_memory, %function
memcpy:
copy_memory:
    add     x3, x1, x2              // the ends
    add     x4, x0, x2
    cmp     x2, #16
    b.lo    4f
    cmp     x2, #32
    b.hi    1f
    ldr     q0, [x1]
    ldr     q1, [x3, #-16]
    str     q0, [x0]
    str     q1, [x4, #-16]
    ret
1:  cmp     x2, #64
    b.hi    2f
    ldp     q0, q1, [x1]
    ldp     q2, q3, [x3, #-32]
    stp     q0, q1, [x0]
    stp     q2, q3, [x4, #-32]
    ret
2:  mov     x5, x0
    sub     x2, x2, #1
    lsr     x2, x2, #6              // blocks of 64 before the last bytes, which are 1 to 64
    tbz     x2, #0, 1f
    ldp     q0, q1, [x1], #32
    ldp     q2, q3, [x1], #32
    stp     q0, q1, [x5], #32
    stp     q2, q3, [x5], #32
1:  lsr     x2, x2, #1
    cbz     x2, 3f
2:  ldp     q0, q1, [x1], #32
    ldp     q2, q3, [x1], #32
    ldp     q4, q5, [x1], #32
    ldp     q6, q7, [x1], #32
    stp     q0, q1, [x5], #32
    stp     q2, q3, [x5], #32
    stp     q4, q5, [x5], #32
    stp     q6, q7, [x5], #32
    sub     x2, x2, #1
    cbnz    x2, 2b
3:  ldp     q0, q1, [x3, #-64]
    ldp     q2, q3, [x3, #-32]
    stp     q0, q1, [x4, #-64]
    stp     q2, q3, [x4, #-32]
    ret
4:  tbz     x2, #3, 5f
    ldr     x5, [x1]
    ldr     x6, [x3, #-8]
    str     x5, [x0]
    str     x6, [x4, #-8]
    ret
5:  tbz     x2, #2, 6f
    ldr     w5, [x1]
    ldr     w6, [x3, #-4]
    str     w5, [x0]
    str     w6, [x4, #-4]
    ret
6:  cbz     x2, 7f
    ldrb    w5, [x1]
    ldrb    w6, [x3, #-1]
    tbz     x2, #1, 8f
    ldrb    w7, [x1, #1]
    strb    w7, [x0, #1]
8:  strb    w5, [x0]
    strb    w6, [x4, #-1]
7:  ret
