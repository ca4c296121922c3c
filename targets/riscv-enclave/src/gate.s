
    # usize enclave_resume(Context *context, usize stack_bottom)
    # Erases the dead stack, lets the application run from its context until it traps, and returns the cause.
    # A context: the program counter, x1 to x31, the monitor's stack pointer.
    .section .text.enclave_resume, "ax"
    .globl enclave_resume
enclave_resume:
    addi    sp, sp, -16*W
    STORE   ra, 0, sp
    STORE   gp, 1, sp
    STORE   tp, 2, sp
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11
    STORE   s\n, 3+\n, sp
    .endr
    STORE   zero, 15, sp
1:  bgeu    a1, sp, 2f
    STORE   zero, 0, a1
    addi    a1, a1, W
    j       1b
2:  STORE   sp, 32, a0
    LOAD    t0, 0, a0
    csrw    mepc, t0
    csrw    mscratch, a0
    .irp n, 1,2,3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    LOAD    x\n, \n, a0
    .endr
    LOAD    a0, 10, a0
    mret

    # mscratch is the context while the application runs, and zero while the monitor does.
    .section .text.enclave_trap, "ax"
    .balign 4
    .globl enclave_trap
enclave_trap:
    csrrw   a0, mscratch, a0
    beqz    a0, enclave_erase
    .irp n, 1,2,3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    STORE   x\n, \n, a0
    .endr
    csrr    t0, mscratch
    STORE   t0, 10, a0
    csrr    t0, mepc
    STORE   t0, 0, a0
    csrw    mscratch, zero
    LOAD    sp, 32, a0
    csrr    a0, mcause
    LOAD    ra, 0, sp
    LOAD    gp, 1, sp
    LOAD    tp, 2, sp
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11
    LOAD    s\n, 3+\n, sp
    .endr
    addi    sp, sp, 16*W
    ret

    # Erases all of the monitor's RAM and every register, then runs `after_erasure` as if after a reset.
    .section .text.enclave_erase, "ax"
    .globl enclave_erase
enclave_erase:
    csrw    mie, zero
    csrw    mscratch, zero
    la      t0, __ram_start
    la      t1, __stack_top
1:  STORE   zero, 0, t0
    addi    t0, t0, W
    bltu    t0, t1, 1b
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    li      x\n, 0
    .endr
    la      sp, __stack_top
    call    initialise
    tail    after_erasure

    # The application's side.

    # u32 enclave_call(u32 operation, usize block)
    .section .text.enclave_call, "ax"
    .globl enclave_call
enclave_call:
    ecall
    ret

    # void enclave_call_full(u32 operation, usize block, usize registers[32], usize pattern)
    # Calls with pattern + n in every register xn but sp, a0 and a1, and stores what comes back.
    .section .text.enclave_call_full, "ax"
    .globl enclave_call_full
enclave_call_full:
    addi    sp, sp, -48*W
    STORE   ra, 32, sp
    STORE   gp, 33, sp
    STORE   tp, 34, sp
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11
    STORE   s\n, 35+\n, sp
    .endr
    STORE   a2, 47, sp
    mv      ra, a3
    .irp n, 3,4,5,6,7,8,9,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    addi    x\n, ra, \n
    .endr
    addi    ra, ra, 1
    ecall
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    STORE   x\n, \n, sp
    .endr
    LOAD    a2, 47, sp
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    LOAD    t0, \n, sp
    STORE   t0, \n, a2
    .endr
    LOAD    ra, 32, sp
    LOAD    gp, 33, sp
    LOAD    tp, 34, sp
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11
    LOAD    s\n, 35+\n, sp
    .endr
    addi    sp, sp, 48*W
    ret

    # Probes: `probe_read` returns its second argument if the read is stopped and skipped.
    .section .text.probes, "ax"
    .globl  probe_read, probe_write, probe_execute, probe_pmp, probe_status, probe_mret
probe_read:
    mv      a2, a0
    mv      a0, a1
    lw      a0, 0(a2)
    ret
probe_write:
    sw      zero, 0(a0)
    ret
    # Whoever stops a jump returns to `ra`.
probe_execute:
    jr      a0
probe_pmp:
    csrw    pmpaddr2, zero
    ret
probe_status:
    mv      a0, a1
    csrr    a0, mstatus
    ret
    # With `ra` in `mepc` the application would go on in machine mode.
probe_mret:
    mret
    ret
