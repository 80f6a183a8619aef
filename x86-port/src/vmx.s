// Into a VT-x guest and out of it.
//
// vmx_enter(registers, launched): the guest's registers in the order of their numbers, and whether it has been entered
// before. rsp travels in the control structure. Returns 0 when the guest was left and 1 when it was not even entered.

    .set HOST_RSP, 0x6c14

    .section .text, "ax"
    .code64
    .global vmx_enter
vmx_enter:
    push_preserved
    pushq   %rdi
    movl    $HOST_RSP, %eax
    vmwrite %rsp, %rax
    testl   %esi, %esi                          // the moves below leave the flags alone
    movq    (%rdi), %rax
    load_registers
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
    store_registers
    popq    (%rax)
    popq    %rdi
    xorl    %eax, %eax
3:
    pop_preserved
    ret
