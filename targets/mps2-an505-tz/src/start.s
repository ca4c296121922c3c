
    .syntax unified
    .thumb

    @ Faults of the application come to the secure world; it has no handlers of its own.
    .section .vectors, "a"
    .word   __stack_top
    .word   start
    .word   fault
    .word   fault
    .word   fault
    .word   fault
    .word   fault
    .word   fault

    .section .text.start, "ax"
    .globl  start
    .type   start, %function
start:
    ldr     r0, =__stack_bottom
    msr     msplim, r0
    bl      initialise
    b       main

    @ Statics as the linker laid them out. Uses r0 to r3.
    .section .text.initialise, "ax"
    .type   initialise, %function
initialise:
    ldr     r0, =__data_start
    ldr     r1, =__data_end
    ldr     r2, =__data_load
1:  cmp     r0, r1
    bhs     2f
    ldr     r3, [r2], #4
    str     r3, [r0], #4
    b       1b
2:  ldr     r0, =__bss_start
    ldr     r1, =__bss_end
    movs    r2, #0
3:  cmp     r0, r1
    bhs     4f
    str     r2, [r0], #4
    b       3b
4:  bx      lr
    .ltorg
