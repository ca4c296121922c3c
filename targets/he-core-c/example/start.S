/* The vector table, the start, and the vectors of the test, as an assembler sees them. */
    .syntax unified
    .cpu cortex-m4
    .thumb

    .section .vectors, "a"
    .word stack_top
    .word reset + 1
    .rept 14
    .word fault + 1
    .endr

    .text
    .thumb_func
    .global reset
reset:
    ldr r0, =0xe000ed88             /* CPACR: the FPU on */
    ldr r1, =0x00f00000
    str r1, [r0]
    dsb
    isb
    ldr r0, =data_start
    ldr r1, =data_end
    ldr r2, =data_load
1:  cmp r0, r1
    bhs 2f
    ldr r3, [r2], #4
    str r3, [r0], #4
    b 1b
2:  ldr r0, =bss_start
    ldr r1, =bss_end
    movs r2, #0
3:  cmp r0, r1
    bhs 4f
    str r2, [r0], #4
    b 3b
4:  bl main
    .thumb_func
fault:
    bl he_panic

    .macro file name, path
    .balign 4
    .global \name\()_start, \name\()_end
\name\()_start:
    .incbin "\path"
\name\()_end:
    .endm

    .section .rodata
    file provision, "provision.bin"
    file messages, "messages.bin"
    file upload, "upload.bin"
    file download, "download.bin"
    file slots_values, "slots-values.bin"
    file slots_public_key, "slots-public-key.bin"
    file slots_secret, "slots-secret.bin"
    file slots_public, "slots-public.bin"
    file slots_answer, "slots-answer.bin"
    file slots_decoded, "slots-decoded.bin"

    .section .note.GNU-stack, "", %progbits
