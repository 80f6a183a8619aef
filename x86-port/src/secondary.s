// From reset to Rust, on every CPU but the first.
//
// INIT and SIPI start it in real mode at the start of a page below 1 MiB, into which secondary.rs has copied what lies
// between secondary_start and secondary_start_end. All else it finds where it was linked.

    .set CODE32, 0x28
    .set CODE, 0x8
    .set DATA, 0x10

    .section .text.boot, "ax"
    .code16
    .global secondary_start
secondary_start:
    cli
    cld
    movw    %cs, %ax
    movw    %ax, %ds
    lgdtl   (secondary_gdt_pointer - secondary_start)
    movl    %cr0, %eax
    orb     $1, %al
    movl    %eax, %cr0
    ljmpl   $CODE32, $secondary_protected
    .balign 4
secondary_gdt_pointer:
    .word   gdt_end - gdt - 1
    .long   gdt
    .global secondary_start_end
secondary_start_end:

    .code32
secondary_protected:
    movl    $DATA, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %ss
    movl    SECONDARY_STACK, %esp
    movl    $boot_tables, %ebx
    call    long_mode
    ljmp    $CODE, $1f
    .code64
1:  call    load_segments
    xorl    %ebp, %ebp
    call    secondary_main
2:  hlt
    jmp     2b
