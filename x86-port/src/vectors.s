// The hypervisor's own exceptions, nearly all of which are its end, and the few interrupts that it takes.
//
// Exceptions arrive on the fault stack (the task state says so), interrupts on the usual one, and only where
// interrupts.rs lets them in.

    .set LOCAL_APIC_EOI, 0x80fee000b0           // in the direct map

    .section .text.vectors, "ax"
    .code64

    .global exception_vectors
    .balign 16
exception_vectors:
    .set    number, 0
    .rept   32
    .balign 16
    .if !(number == 8 || (number >= 10 && number <= 14) || number == 17 || number == 21 || number == 29 || number == 30)
    pushq   $0                                  // the processor pushes no error code
    .endif
    pushq   $number
    jmp     fault
    .set    number, number + 1
    .endr

fault:
    pushq   %r15
    pushq   %r14
    pushq   %r13
    pushq   %r12
    pushq   %r11
    pushq   %r10
    pushq   %r9
    pushq   %r8
    pushq   %rbp
    pushq   %rdi
    pushq   %rsi
    pushq   %rdx
    pushq   %rcx
    pushq   %rbx
    pushq   %rax
    cld
    movq    %rsp, %rdi
    movq    %rsp, %rbx
    andq    $-16, %rsp
    call    own_fault                           // comes back where somebody was prepared
    movq    %rbx, %rsp
    popq    %rax
    popq    %rbx
    popq    %rcx
    popq    %rdx
    popq    %rsi
    popq    %rdi
    popq    %rbp
    popq    %r8
    popq    %r9
    popq    %r10
    popq    %r11
    popq    %r12
    popq    %r13
    popq    %r14
    popq    %r15
    addq    $16, %rsp
    iretq

    // Each notes in its CPU's share which interrupt came: see percpu.rs.
    .macro interrupt name, bit
    .balign 16
    .global \name
\name:
    lock orb $\bit, %gs:8
    pushq   %rax
    xorl    %eax, %eax
    movabsl %eax, LOCAL_APIC_EOI
    popq    %rax
    iretq
    .endm

    interrupt timer_interrupt, 1
    interrupt kick_interrupt, 2
    interrupt other_interrupt, 4
    interrupt keyboard_interrupt, 8

    // A device's is ended when its line is closed, or it would come again at once.
    .balign 16
    .global device_interrupt
device_interrupt:
    lock orb $16, %gs:8
    iretq

    // A spurious one is not ended.
    .balign 16
    .global spurious_interrupt
spurious_interrupt:
    iretq
