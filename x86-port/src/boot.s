// From the loader to Rust.
//
// Entered in 32-bit protected mode without paging, as multiboot 1 says (its section 3.2): a magic number in eax, the
// address of what the loader knows in ebx. Everything lies where it was linked, below 4 GiB, and the first 4 GiB are mapped
// one to one until Rust has made the real tables.

    .set PRESENT_WRITABLE, 0x3
    .set LARGE, 0x80
    .set TABLES, 6                              // root, one below it, and four that hold 2 MiB blocks
    .set CR0_VALUE, 0x80010033                  // PG, WP, NE, ET, MP, PE
    .set CR4_PAE, 0x20
    .set EFER, 0xc0000080
    .set EFER_VALUE, 0x900                      // NXE, LME
    .set CODE, 0x8
    .set DATA, 0x10

    .section .text.boot, "ax"
    .balign 4
multiboot_header:
    .long   0x1badb002
    .long   0x00010003                          // modules on pages, a memory map, and the addresses below
    .long   -(0x1badb002 + 0x00010003)
    .long   multiboot_header, image_start, file_end, block_end, multiboot_entry

    .code32
    .global multiboot_entry
multiboot_entry:
    cli
    cld
    cmpl    $0x2badb002, %eax
    jne     park                                // nothing can be said here: nobody knows who called
    movl    $boot_stack_end, %esp
    movl    %ebx, %esi
    movl    $bss_start, %edi
    movl    $bss_end, %ecx
    subl    %edi, %ecx
    shrl    $2, %ecx
    xorl    %eax, %eax
    rep stosl

    movl    $0x80000001, %eax                   // long mode (bit 29) and no-execute (bit 20)
    pushl   %esi
    cpuid
    popl    %esi
    andl    $0x20100000, %edx
    cmpl    $0x20100000, %edx
    jne     park

    movl    $boot_tables, %edi
    leal    4096 + PRESENT_WRITABLE(%edi), %eax
    movl    %eax, (%edi)
    leal    8192 + PRESENT_WRITABLE(%edi), %eax
    xorl    %ecx, %ecx
1:  movl    %eax, 4096(%edi,%ecx,8)
    addl    $4096, %eax
    incl    %ecx
    cmpl    $4, %ecx
    jb      1b
    movl    $LARGE | PRESENT_WRITABLE, %eax
    xorl    %ecx, %ecx
2:  movl    %eax, 8192(%edi,%ecx,8)
    addl    $0x200000, %eax
    incl    %ecx
    cmpl    $2048, %ecx
    jb      2b

    movl    %edi, %ebx
    call    long_mode
    lgdt    gdt_pointer
    ljmp    $CODE, $3f
    .code64
3:  call    load_segments
    movl    %esi, %edi
    movl    $TABLES * 4096, %esi
    xorl    %ebp, %ebp
    call    primary_main
4:  hlt
    jmp     4b

    // Switches paging and long mode on; ebx is the root table.
    .code32
long_mode:
    movl    $CR4_PAE, %eax
    movl    %eax, %cr4
    movl    %ebx, %cr3
    movl    $EFER, %ecx
    movl    $EFER_VALUE, %eax
    xorl    %edx, %edx
    wrmsr
    movl    $CR0_VALUE, %eax
    movl    %eax, %cr0
    ret

park:
    hlt
    jmp     park

    .code64
load_segments:
    movl    $DATA, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %fs
    movl    %eax, %gs
    movl    %eax, %ss
    ret

    .section .data
    .balign 16
    .global gdt
gdt:
    .quad   0
    .quad   0x00af9b000000ffff                  // 64-bit code
    .quad   0x00cf93000000ffff                  // data
    .quad   0, 0                                // the task state, filled in by Rust
    .quad   0x00cf9b000000ffff                  // 32-bit code
gdt_end:
    .global gdt_pointer
gdt_pointer:
    .word   gdt_end - gdt - 1
    .quad   gdt
