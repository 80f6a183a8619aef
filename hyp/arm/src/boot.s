// From the loader to Rust, once for each CPU.
//
// Entered at EL2 with the MMU and the data cache off, at whatever address the loader chose. Everything up to the
// jump into the virtual image is position-independent and lies in the image's first page, the only one that is mapped
// at its physical address.

    .equ SCTLR_VALUE, 0x30c50830 | (1 << 0) | (1 << 2) | (1 << 3) | (1 << 12) | (1 << 19)  // RES1, M, C, SA, I, WXN
    .equ MAIR_VALUE, 0x44ff04                   // 0: device nGnRE, 1: normal write-back, 2: normal non-cacheable
    .equ TCR_VALUE, 16 | (1 << 8) | (1 << 10) | (3 << 12) | (1 << 23) | (1 << 31)  // 48 bits, write-back walks, RES1
    .equ PAGE_RX, 0x3 | (1 << 2) | (1 << 6) | (1 << 7) | (3 << 8) | (1 << 10)
    .equ PAGE_RO_LOW, PAGE_RX
    .equ PAGE_RW_LOW, 0x3 | (1 << 2) | (1 << 6) | (3 << 8) | (1 << 10)
    .equ BLOCK_RW_LOW, 0x1 | (1 << 2) | (1 << 6) | (3 << 8) | (1 << 10)
    .equ XN, 1 << 54
    .equ DIRECT_MAP, 1 << 39

    .section .text.boot, "ax"
    .global image_header
image_header:                                   // Documentation/arch/arm64/booting, "Call the kernel image"
    b       primary_entry
    .long   0
    .quad   0                                   // text_offset: wherever 2 MiB alignment allows
    .quad   image_size
    .quad   0xa                                 // little-endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

primary_entry:
    mov     x19, x0                             // device tree, physical
    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.ne    park                                // nothing can be said here: no console is known yet
    msr     DAIFSet, #0xf
    adr     x22, image_header                   // where the loader put us
    tst     x22, #0x1fffff
    b.ne    park

    // Zero what the file does not hold; drop stale cache lines over it before and after.
    adrp    x0, file_end
    add     x0, x0, :lo12:file_end
    adrp    x1, image_end                       // the pool behind it is written with the cache on
    bl      invalidate
    adrp    x0, file_end
    add     x0, x0, :lo12:file_end
    adrp    x1, bss_end
1:  cmp     x0, x1
    b.hs    2f
    stp     xzr, xzr, [x0]                      // both ends are aligned to 64 bytes
    stp     xzr, xzr, [x0, #16]
    stp     xzr, xzr, [x0, #32]
    stp     xzr, xzr, [x0, #48]
    add     x0, x0, #64
    b       1b
2:
    adrp    x20, boot_tables                    // the root; further tables are taken from behind it
    add     x21, x20, #4096

    // This page where it physically is, for the moment in which the MMU comes on.
    mov     x0, x22
    mov     x1, #PAGE_RX
    orr     x1, x22, x1
    mov     x2, #12
    bl      map

    // The image with each section's rights, and the rest of its 2 MiB as the pool.
    ldr     x23, =image_start
    mov     x24, x22
3:  ldr     x3, =stack_guard
    cmp     x23, x3
    b.eq    5f
    ldr     x3, =text_end
    ldr     x1, =PAGE_RX
    cmp     x23, x3
    b.lo    4f
    ldr     x3, =rodata_end
    ldr     x1, =PAGE_RO_LOW | XN
    cmp     x23, x3
    b.lo    4f
    ldr     x1, =PAGE_RW_LOW | XN
4:  orr     x1, x24, x1
    mov     x0, x23
    mov     x2, #12
    bl      map
5:  add     x23, x23, #4096
    add     x24, x24, #4096
    ldr     x3, =image_start + 0x200000
    cmp     x23, x3
    b.lo    3b

    // The device tree, which may straddle a 2 MiB boundary, in the direct map.
    and     x24, x19, #~0x1fffff
    mov     x25, #2
6:  ldr     x0, =DIRECT_MAP
    add     x0, x0, x24
    ldr     x1, =BLOCK_RW_LOW | XN
    orr     x1, x1, x24
    mov     x2, #21
    bl      map
    add     x24, x24, #0x200000
    subs    x25, x25, #1
    b.ne    6b

    adrp    x0, file_end
    add     x0, x0, :lo12:file_end
    adrp    x1, boot_tables_end
    bl      invalidate
    bl      mmu_on

    ldr     x9, =boot_stack_end
    mov     sp, x9
    mov     x0, x19
    mov     x1, x22
    sub     x2, x21, x20                        // bytes of boot tables in use
    ldr     x9, =primary_main
    br      x9

    // CPU_ON enters here; x0 is the CPU's number.
    .global secondary_entry
secondary_entry:
    mov     x19, x0
    msr     DAIFSet, #0xf
    adrp    x20, boot_tables
    bl      mmu_on
    ldr     x9, =SECONDARY_STACKS
    ldr     x9, [x9, x19, lsl #3]
    mov     sp, x9
    mov     x0, x19
    ldr     x9, =secondary_main
    br      x9

park:
    wfi
    b       park

    // x20 is the root table. Returns into the identity-mapped page.
mmu_on:
    mov     x0, #(1 << 31)                      // no host extensions: they would give TCR and CPTR other layouts
    msr     HCR_EL2, x0
    isb
    msr     SPSel, #1
    ldr     x0, =MAIR_VALUE
    msr     MAIR_EL2, x0
    mrs     x1, ID_AA64MMFR0_EL1
    and     x1, x1, #0xf                        // physical address size, the same code in TCR
    cmp     x1, #5
    mov     x2, #5                              // 48 bits is all that four levels carry
    csel    x1, x2, x1, hi
    ldr     x0, =TCR_VALUE
    orr     x0, x0, x1, lsl #16
    msr     TCR_EL2, x0
    msr     TTBR0_EL2, x20
    ldr     x0, =vectors
    msr     VBAR_EL2, x0
    dsb     ish
    isb
    tlbi    alle2
    ic      iallu
    dsb     ish
    isb
    ldr     x0, =SCTLR_VALUE
    msr     SCTLR_EL2, x0
    isb
    ret

    // Invalidate the data cache over [x0, x1). Memory was written, or will be, with the cache off.
invalidate:
    dsb     sy
    mrs     x2, CTR_EL0
    ubfx    x2, x2, #16, #4
    mov     x3, #4
    lsl     x2, x3, x2                          // the smallest line
    sub     x3, x2, #1
    bic     x0, x0, x3
1:  dc      ivac, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    1b
    dsb     sy
    ret

    // Map one page (x2 = 12) or 2 MiB block (x2 = 21): x0 virtual, x1 the finished descriptor.
map:
    mov     x3, x20
    mov     x4, #39
1:  lsr     x5, x0, x4
    and     x5, x5, #511
    add     x5, x3, x5, lsl #3
    cmp     x4, x2
    b.eq    3f
    ldr     x6, [x5]
    cbnz    x6, 2f
    orr     x6, x21, #3
    str     x6, [x5]
    add     x21, x21, #4096
2:  bic     x3, x6, #0xfff
    sub     x4, x4, #9
    b       1b
3:  str     x1, [x5]
    ret

    .ltorg
    .org    image_header + 4096                 // the assembler refuses a boot path longer than its page
