
    @ The only way in. Everything else in its region is zeros, and no gateway.
    .section .gnu.sgstubs, "ax"
    .balign 32
    .globl  vault_call
    .type   vault_call, %function
vault_call:
    sg
    b.w     enter

    @ A context: r4 to r11, the return address, r0, r1, the secure stack pointer.

    @ Comes with interrupts that the application may own still enabled. One that came between the gateway
    @ and here has left a frame, and if it called, too, the stack pointer gives it away.
    .section .text.enter, "ax"
    .type   enter, %function
enter:
    cpsid   i
    ldr     r2, =tz_context
    ldr     r2, [r2]
    ldr     r3, [r2, #44]
    mov     r12, sp
    cmp     r3, r12
    bne     tz_erase
    stmia   r2, {r4-r11}
    str     lr, [r2, #32]
    str     r0, [r2, #36]
    str     r1, [r2, #40]
    add     sp, #12
    pop     {r4-r11, pc}
    .ltorg

    @ void tz_resume(Context *context, usize stack_bottom)
    @ Erases the dead stack, lets the application run from its context, and returns when it calls.
    .section .text.tz_resume, "ax"
    .globl  tz_resume
    .type   tz_resume, %function
tz_resume:
    push    {r4-r11, lr}
    sub     sp, #4
    @ The seal: what a forged return would take for a return address can never run.
    ldr     r2, =0xFEF5EDA5
    mov     r3, r2
    push    {r2, r3}
    mov     r3, sp
    movs    r2, #0
    str     r2, [sp, #8]
1:  cmp     r1, r3
    bhs     2f
    str     r2, [r1], #4
    b       1b
2:  str     r3, [r0, #44]
    ldr     r2, =tz_context
    str     r0, [r2]
    ldmia   r0, {r4-r11}
    ldr     lr, [r0, #32]
    ldr     r0, [r0, #36]
    movs    r1, #0
    mov     r2, r1
    mov     r3, r1
    mov     r12, r1
    @ msr apsr_nzcvqg, r1: all flags, which only an assembler that may use the DSP instructions takes.
    .inst.w 0xF3818C00
    cpsie   i
    bxns    lr
    .ltorg

    @ Every fault. Those of the secure world's own end it.
    .section .text.fault, "ax"
    .globl  fault
    .type   fault, %function
fault:
    tst     lr, #0x40
    bne     tz_erase
    push    {r4, lr}
    mrs     r0, msp_ns
    bl      tz_fault
    pop     {r4, pc}

    @ Erases all of the secure world's RAM and every register, then runs `after_erasure` as if after a reset.
    .section .text.tz_erase, "ax"
    .globl  tz_erase
    .type   tz_erase, %function
tz_erase:
    cpsid   i
    ldr     r0, =__ram_start
    ldr     r1, =__stack_top
    movs    r2, #0
1:  str     r2, [r0], #4
    cmp     r0, r1
    blo     1b
    msr     msp, r1
    .irp n, 3,4,5,6,7,8,9,10,11,12
    mov     r\n, r2
    .endr
    bl      initialise
    b       after_erasure
    .ltorg

    .section .bss.tz_context, "aw", %nobits
    .balign 4
tz_context:
    .space  4

    @ The application's side.

    @ void tz_call_full(u32 operation, usize block, u32 registers[16], u32 pattern)
    @ Calls with pattern + n in every register rn from r2 to r12, and stores r0 to r12 and the flags.
    .section .text.tz_call_full, "ax"
    .globl  tz_call_full
    .type   tz_call_full, %function
tz_call_full:
    push    {r2, r4-r11, lr}
    sub     sp, #8
    mov     r12, r3
    .irp n, 2,3,4,5,6,7,8,9,10,11
    add     r\n, r12, #\n
    .endr
    add     r12, r12, #12
    cmp     r0, r0
    @ The gateway, in Thumb state.
    ldr     lr, =0x101F0001
    blx     lr
    str     r12, [sp]
    mrs     r12, apsr
    str     r12, [sp, #4]
    ldr     r12, [sp, #8]
    stmia   r12, {r0-r11}
    ldr     r0, [sp]
    str     r0, [r12, #48]
    ldr     r0, [sp, #4]
    str     r0, [r12, #52]
    add     sp, #8
    pop     {r2, r4-r11, pc}
    .ltorg

    @ Returns from a function that the secure world never called (DDI 0553, FNC_RETURN): it would go on with
    @ whatever is on the secure stack.
    .section .text.forge_return, "ax"
    .globl  forge_return
    .type   forge_return, %function
forge_return:
    ldr     r0, =0xFEFFFFFF
    bx      r0
    bx      lr
    .ltorg

    @ Probes: `probe_read` returns its second argument if the read is stopped and skipped.
    .section .text.probes, "ax"
    .globl  probe_read
    .type   probe_read, %function
probe_read:
    mov     r2, r0
    mov     r0, r1
    ldr     r0, [r2]
    bx      lr
    .globl  probe_write
    .type   probe_write, %function
probe_write:
    str     r1, [r0]
    bx      lr
    @ Whoever stops a jump returns to the link register.
    .globl  probe_execute
    .type   probe_execute, %function
probe_execute:
    bx      r0
