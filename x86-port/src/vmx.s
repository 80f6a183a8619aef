// Into a VT-x guest and out of it.
//
// vmx_enter(registers, launched): the guest's registers in the order of their numbers, and whether it has been entered
// before. rsp travels in the control structure. Returns 0 when the guest was left and 1 when it was not even entered.

    .set HOST_RSP, 0x6c14

    .section .text, "ax"
    .code64
    .global vmx_enter
vmx_enter:
    pushq   %rbx
    pushq   %rbp
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    pushq   %rdi
    movl    $HOST_RSP, %eax
    vmwrite %rsp, %rax
    testl   %esi, %esi                          // the moves below leave the flags alone
    movq    (%rdi), %rax
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
    jz      1f
    vmresume
    jmp     2f
1:  vmlaunch
2:  popq    %rdi                                // neither came back
    movl    $1, %eax
    jmp     3f

    .global vmx_exit
vmx_exit:
    pushq   %rax
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
    popq    (%rax)
    popq    %rdi
    xorl    %eax, %eax
3:  popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %rbp
    popq    %rbx
    ret
