// Into an AMD-V guest and out of it.
//
// svm_enter(registers, block, host): the guest's registers in the order of their numbers, and the physical addresses of its
// control block and of the page where the hypervisor's own state of the kind that VMSAVE keeps lies. rax and rsp travel in
// the control block. Physical interrupts are let in while the guest runs, and only then (AMD APM volume 2, 15.17, 15.21).

    .section .text, "ax"
    .code64
    .global svm_enter
svm_enter:
    push_preserved
    pushq   %rdi
    pushq   %rdx
    movq    %rsi, %rax
    load_registers
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
    store_registers
    addq    $16, %rsp
    pop_preserved
    ret
