    .equ W, 8
    .macro LOAD register, index, base
    ld \register, 8*(\index)(\base)
    .endm
    .macro STORE register, index, base
    sd \register, 8*(\index)(\base)
    .endm
