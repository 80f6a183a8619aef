// First instructions of a guest. PVH (public/arch-x86/hvm/start_info.h) enters in 32-bit protected mode with flat
// segments, paging off, interrupts masked, and the address of hvm_start_info in EBX.

.section .note.Xen, "a", @note
    .balign 4
    .long   4                       // bytes of the owner's name, of the address, and XEN_ELFNOTE_PHYS32_ENTRY
    .long   8
    .long   18
    .asciz  "Xen"
    .quad   pvh_entry

.section .text.entry, "ax"
.code32
.global pvh_entry
pvh_entry:
    cld
    mov     edi, offset bss_start
    mov     ecx, offset bss_end
    sub     ecx, edi
    shr     ecx, 2
    xor     eax, eax
    rep     stosd
    mov     esp, offset boot_stack_top
    // An identity map of 4 GiB by pages of 2 MiB: present, writable, large.
    mov     edi, offset page_directories
    mov     eax, 0x83
    mov     ecx, 2048
1:  mov     [edi], eax
    add     eax, 0x200000
    add     edi, 8
    dec     ecx
    jnz     1b
    mov     edi, offset page_pointers
    mov     eax, offset page_directories
    or      eax, 3
    mov     ecx, 4
2:  mov     [edi], eax
    add     eax, 4096
    add     edi, 8
    dec     ecx
    jnz     2b
    mov     eax, offset page_pointers
    or      eax, 3
    mov     edi, offset page_root
    mov     [edi], eax
    mov     cr3, edi
    mov     eax, 0x620              // CR4: PAE, OSFXSR, OSXMMEXCPT, so that float and vector instructions work
    mov     cr4, eax
    mov     ecx, 0xc0000080         // EFER.LME
    rdmsr
    or      eax, 0x100
    wrmsr
    mov     eax, 0x80010033         // CR0: PG, WP, NE, ET, MP, PE; not EM and not TS
    mov     cr0, eax
    mov     eax, offset gdt_pointer
    lgdt    [eax]
    push    8
    mov     eax, offset long_mode
    push    eax
    retf

.code64
long_mode:
    mov     eax, 16
    mov     ds, eax
    mov     es, eax
    mov     ss, eax
    xor     eax, eax
    mov     fs, eax
    mov     gs, eax
    lea     rsp, [rip + boot_stack_top]
    xor     ebp, ebp
    mov     edi, ebx
    call    rt_start
3:  hlt
    jmp     3b

.section .rodata.gdt, "a"
    .balign 8
gdt:
    .quad   0
    .quad   0x00af9b000000ffff      // 64-bit code
    .quad   0x00cf93000000ffff      // data
gdt_pointer:
    .word   . - gdt - 1
    .long   gdt

.section .bss.page_tables, "aw", @nobits
    .balign 4096
page_root:
    .skip   4096
page_pointers:
    .skip   4096
page_directories:
    .skip   4 * 4096

// Exceptions. Each vector leaves its number and an error code in a frame (rt::trap::Frame); all come on a stack of their
// own, because compiled code keeps things below its stack pointer.
.section .text.vectors, "ax"
.altmacro
.macro vector number
    .balign 16
    .if (\number == 8) || ((\number >= 10) && (\number <= 14)) || (\number == 17) || (\number == 21) || (\number == 29) || (\number == 30)
    .else
    push    0
    .endif
    push    \number
    jmp     exception
.endm

    .balign 16
.global rt_vectors
rt_vectors:
    .set    number, 0
    .rept   32
    vector  %number
    .set    number, number + 1
    .endr

exception:
    push    rax
    push    rcx
    push    rdx
    push    rbx
    push    rbp
    push    rsi
    push    rdi
    push    r8
    push    r9
    push    r10
    push    r11
    push    r12
    push    r13
    push    r14
    push    r15
    cld
    mov     rdi, rsp
    // The frame has 22 words behind an aligned top, so that this one aligns the stack again.
    sub     rsp, 512
    fxsave64 [rsp]
    call    rt_exception            // (frame)
    fxrstor64 [rsp]
    add     rsp, 512
    pop     r15
    pop     r14
    pop     r13
    pop     r12
    pop     r11
    pop     r10
    pop     r9
    pop     r8
    pop     rdi
    pop     rsi
    pop     rbp
    pop     rbx
    pop     rdx
    pop     rcx
    pop     rax
    add     rsp, 16
    iretq

// Calls a function with what is in rax, of an interrupted piece of code whose rax and rdx are kept.
.macro handle function
    push    rcx
    push    rsi
    push    rdi
    push    r8
    push    r9
    push    r10
    push    r11
    cld
    sub     rsp, 512
    fxsave64 [rsp]
    mov     rdi, rax
    call    \function
    fxrstor64 [rsp]
    add     rsp, 512
    pop     r11
    pop     r10
    pop     r9
    pop     r8
    pop     rdi
    pop     rsi
    pop     rcx
    pop     rdx
    pop     rax
    iretq
.endm

// An event. The counter is read as early as can be: the time at which the handler began. The interrupted code may be in
// the middle of vector work, so that all of that is kept.
.global rt_upcall
    .balign 16
rt_upcall:
    push    rax
    push    rdx
    rdtsc
    shl     rdx, 32
    or      rax, rdx
    handle  rt_interrupt            // (counter)

// Lines of devices: as above, with which of them it is instead of the counter.
.macro line number
    .balign 16
    push    rax
    push    rdx
    mov     eax, \number
    jmp     line_interrupt
.endm

    .balign 16
.global rt_lines
rt_lines:
    .set    number, 0
    .rept   16
    line    %number
    .set    number, number + 1
    .endr
line_interrupt:
    handle  rt_line                 // (line)

// Fill xmm2 to xmm15 with values made from rdi, burn rsi rounds, and compare: 1 in eax when all are as they were. Plain
// Rust keeps no value in a register for sure; the check of the hypervisor's float switch needs one that does.
.section .text.float_check, "ax"
.global rt_float_check
rt_float_check:
    .irp    n, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    lea     rax, [rdi + \n]
    movq    xmm\n, rax
    punpcklqdq xmm\n, xmm\n
    .endr
    cvtsi2sd xmm1, rdi
1:  cvtsi2sd xmm0, rsi
    addsd   xmm0, xmm1
    mulsd   xmm0, xmm1
    dec     rsi
    jnz     1b
    xor     edx, edx
    .irp    n, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    lea     rax, [rdi + \n]
    movq    rcx, xmm\n
    xor     rcx, rax
    or      rdx, rcx
    psrldq  xmm\n, 8
    movq    rcx, xmm\n
    xor     rcx, rax
    or      rdx, rcx
    .endr
    xor     eax, eax
    test    rdx, rdx
    sete    al
    ret
