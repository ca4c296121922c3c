    .equ W, 4
    .macro LOAD register, index, base
    lw \register, 4*(\index)(\base)
    .endm
    .macro STORE register, index, base
    sw \register, 4*(\index)(\base)
    .endm
