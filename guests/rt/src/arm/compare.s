// memcmp and bcmp, eight bytes at a time. Those that come with Rust for targets without an operating system compare single
// bytes, and paths of xenstore, which are compared all the time, differ at their ends only. Unaligned loads are fine: all of
// it is normal memory (SCTLR_EL1.A is 0).

.section .text.memcmp, "ax"
.global memcmp
.global bcmp
.type memcmp, %function
.type bcmp, %function
memcmp:
bcmp:
    subs    x2, x2, #8
    b.lo    2f
1:  ldr     x3, [x0], #8
    ldr     x4, [x1], #8
    cmp     x3, x4
    b.ne    5f
    subs    x2, x2, #8
    b.hs    1b
2:  adds    x2, x2, #8              // 0 to 7 bytes are left
    b.eq    4f
3:  ldrb    w3, [x0], #1
    ldrb    w4, [x1], #1
    subs    w5, w3, w4
    b.ne    6f
    subs    x2, x2, #1
    b.ne    3b
4:  mov     w0, #0
    ret
5:  rev     x3, x3                  // the first byte decides
    rev     x4, x4
    cmp     x3, x4
    mov     w0, #1
    cneg    w0, w0, lo
    ret
6:  mov     w0, w5
    ret
