
    .section .init, "ax"
    .globl _start
_start:
    la      sp, __stack_top
    call    initialise
    tail    main

    # Statics as the linker laid them out. Uses t0 to t3.
    .section .text.initialise, "ax"
initialise:
    la      t0, __data_start
    la      t1, __data_end
    la      t2, __data_load
1:  bgeu    t0, t1, 2f
    LOAD    t3, 0, t2
    STORE   t3, 0, t0
    addi    t0, t0, W
    addi    t2, t2, W
    j       1b
2:  la      t0, __bss_start
    la      t1, __bss_end
3:  bgeu    t0, t1, 4f
    STORE   zero, 0, t0
    addi    t0, t0, W
    j       3b
4:  ret
