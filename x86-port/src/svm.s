// Into an AMD-V guest and out of it.
//
// svm_enter(registers, block, host): the guest's registers in the order of their numbers, and the physical addresses of its
// control block and of the page where the hypervisor's own state of the kind that VMSAVE keeps lies. rax and rsp travel in
// the control block. Physical interrupts are let in while the guest runs, and only then (AMD APM volume 2, 15.17, 15.21).

    .section .text, "ax"
    .code64
    .global svm_enter
svm_enter:
    pushq   %rbx
    pushq   %rbp
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    pushq   %rdi
    pushq   %rdx
    movq    %rsi, %rax
    movq    8(%rdi), %rcx
    movq    16(%rdi), %rdx
    movq    24(%rdi), %rbx
    movq    40(%rdi), %rbp
    movq    48(%rdi), %rsi
    movq    64(%rdi), %r8
    movq    72(%rdi), %r9
    movq    80(%rdi), %r10
    movq    88(%rdi), %r11
    movq    96(%rdi), %r12
    movq    104(%rdi), %r13
    movq    112(%rdi), %r14
    movq    120(%rdi), %r15
    movq    56(%rdi), %rdi
    clgi
    sti
    vmload  %rax
    vmrun   %rax
    vmsave  %rax
    cli
    movq    (%rsp), %rax
    vmload  %rax
    stgi
    movq    8(%rsp), %rax
    movq    %rcx, 8(%rax)
    movq    %rdx, 16(%rax)
    movq    %rbx, 24(%rax)
    movq    %rbp, 40(%rax)
    movq    %rsi, 48(%rax)
    movq    %rdi, 56(%rax)
    movq    %r8, 64(%rax)
    movq    %r9, 72(%rax)
    movq    %r10, 80(%rax)
    movq    %r11, 88(%rax)
    movq    %r12, 96(%rax)
    movq    %r13, 104(%rax)
    movq    %r14, 112(%rax)
    movq    %r15, 120(%rax)
    addq    $16, %rsp
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %rbp
    popq    %rbx
    ret
