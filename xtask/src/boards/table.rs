//! The boards, one entry each.
//!
//! To add one: write its package under `targets/`, its entry here, and its name in [`ALL`]. `setup`
//! then installs its emulator, `lint` checks its package, `test` runs it (alone with `--target NAME`)
//! and `size` measures its images. A Rust target that is new also goes to `compiler::TARGETS` and
//! `rust-toolchain.toml`.

use super::{Board, Emulator, Image, Reports};

/// Every board.
pub(crate) static ALL: [&Board; 13] = [
    &LM3S6965EVB,
    &MICROBIT,
    &MICROVM_X86_64,
    &MPS2_AN386,
    &MPS2_AN500,
    &MPS2_AN505,
    &MPS2_AN505_TZ,
    &MPS3_AN547,
    &RISCV32_ENCLAVE,
    &RISCV32_VIRT,
    &RISCV64_ENCLAVE,
    &RISCV64_VIRT,
    &VIRT_AARCH64_SECURE,
];

/// Three serial ports.
const PORTS: &[&str] =
    &["-serial", "chardev:uart0", "-serial", "chardev:uart1", "-serial", "chardev:uart2"];
/// One serial port, and a card with two.
const CARD: &[&str] =
    &["-serial", "chardev:uart1", "-device", "pci-serial-2x,addr=1,chardev1=uart0,chardev2=uart2"];

const ARM: Emulator =
    Emulator { program: "qemu-system-arm", package: "qemu-system-arm", links: PORTS };
const RISCV32: Emulator =
    Emulator { program: "qemu-system-riscv32", package: "qemu-system-misc", links: CARD };
const RISCV64: Emulator =
    Emulator { program: "qemu-system-riscv64", package: "qemu-system-misc", links: CARD };
const AARCH64: Emulator =
    Emulator { program: "qemu-system-aarch64", package: "qemu-system-arm", links: PORTS };
const X86_64: Emulator =
    Emulator { program: "qemu-system-x86_64", package: "qemu-system-x86", links: PORTS };

/// Most RAM that the client may take, statics and stack together.
const CLIENT_RAM: (&str, u64) = ("ram_bytes", 64 * 1024);

/// The smallest: 64 KB of RAM are all it has.
static LM3S6965EVB: Board = Board {
    name: "lm3s6965evb",
    processor: "Cortex-M0",
    triple: "thumbv6m-none-eabi",
    emulator: ARM,
    machine: &["-M", "lm3s6965evb", "-cpu", "cortex-m0"],
    reports: Reports::Semihosting,
    tests: &[&[Image { package: "lm3s6965evb", binary: "tests" }]],
    is_counted: true,
    budgets: &[("ram_bytes", 32 * 1024)],
};

/// The nRF52840's drivers, on the chip of its family that QEMU has.
static MICROBIT: Board = Board {
    name: "microbit",
    processor: "Cortex-M0, nRF51822",
    triple: "thumbv6m-none-eabi",
    emulator: ARM,
    machine: &["-M", "microbit"],
    reports: Reports::Semihosting,
    tests: &[&[Image { package: "microbit", binary: "tests" }]],
    is_counted: false,
    budgets: &[],
};

/// The client on an nRF52840, which nothing emulates.
pub(crate) const CLIENT_NRF52840: Image = Image { package: "nrf52840-client", binary: "client" };

/// The client on the board of the demonstration.
pub(crate) const CLIENT: Image = Image { package: "mps2-an386-client", binary: "client" };

/// The client with its secrets in the secure world: that world first.
pub(crate) const CLIENT_TZ: [Image; 2] = [
    Image { package: "mps2-an505-tz", binary: "vault" },
    Image { package: "mps2-an505-tz", binary: "client" },
];

/// The client with its secrets in machine mode: that mode first.
pub(crate) const CLIENT_ENCLAVE: [Image; 2] = [
    Image { package: "riscv-enclave", binary: "vault" },
    Image { package: "riscv-enclave", binary: "client" },
];

/// Somebody else's firmware, which runs on any board.
pub(crate) const EXAMPLE: Image = Image { package: "example-firmware", binary: "example-firmware" };

/// The board of the demonstration, with the memory of an nRF52840.
pub(crate) static MPS2_AN386: Board = Board {
    name: "mps2-an386",
    processor: "Cortex-M4F",
    triple: "thumbv7em-none-eabihf",
    emulator: ARM,
    machine: &["-M", "mps2-an386", "-cpu", "cortex-m4"],
    reports: Reports::Semihosting,
    tests: &[&[Image { package: "mps2-an386", binary: "tests" }]],
    is_counted: true,
    budgets: &[
        CLIENT_RAM,
        ("encrypt_4096_one_prime_instructions", 1_200_000),
        ("decrypt_4096_instructions", 1_600_000),
        ("slots_keygen_instructions", 5_500_000),
        ("slots_encrypt_secret_instructions", 5_000_000),
        ("slots_encrypt_public_instructions", 6_500_000),
        ("slots_decrypt_instructions", 1_600_000),
        ("slots_ram_bytes", 36 * 1024),
    ],
};

static MPS2_AN500: Board = Board {
    name: "mps2-an500",
    processor: "Cortex-M7",
    triple: "thumbv7em-none-eabihf",
    emulator: ARM,
    machine: &["-M", "mps2-an500", "-cpu", "cortex-m7"],
    reports: Reports::Semihosting,
    tests: &[&[Image { package: "mps2-an500", binary: "tests" }]],
    is_counted: true,
    budgets: &[CLIENT_RAM],
};

/// All in the secure world.
static MPS2_AN505: Board = Board {
    name: "mps2-an505",
    processor: "Cortex-M33",
    triple: "thumbv8m.main-none-eabihf",
    emulator: ARM,
    machine: &["-M", "mps2-an505"],
    reports: Reports::Semihosting,
    tests: &[&[Image { package: "mps2-an505", binary: "tests" }]],
    is_counted: true,
    budgets: &[CLIENT_RAM],
};

static MPS3_AN547: Board = Board {
    name: "mps3-an547",
    processor: "Cortex-M55",
    triple: "thumbv8m.main-none-eabihf",
    emulator: ARM,
    machine: &["-M", "mps3-an547"],
    reports: Reports::Semihosting,
    tests: &[&[Image { package: "mps3-an547", binary: "tests" }]],
    is_counted: true,
    budgets: &[CLIENT_RAM],
};

static RISCV32_VIRT: Board = Board {
    name: "riscv32-virt",
    processor: "RV32IMAC",
    triple: "riscv32imac-unknown-none-elf",
    emulator: RISCV32,
    machine: &["-M", "virt", "-bios", "none", "-m", "16M"],
    reports: Reports::Semihosting,
    tests: &[&[Image { package: "riscv32-virt", binary: "tests" }]],
    is_counted: true,
    budgets: &[CLIENT_RAM],
};

static RISCV64_VIRT: Board = Board {
    name: "riscv64-virt",
    processor: "RV64GC",
    triple: "riscv64gc-unknown-none-elf",
    emulator: RISCV64,
    machine: &["-M", "virt", "-bios", "none", "-m", "16M"],
    reports: Reports::Semihosting,
    tests: &[&[Image { package: "riscv64-virt", binary: "tests" }]],
    is_counted: true,
    // Addresses and saved registers are twice as wide.
    budgets: &[("ram_bytes", 72 * 1024)],
};

/// Secrets in the secure world, the client in the other.
pub(crate) static MPS2_AN505_TZ: Board = Board {
    name: "mps2-an505-tz",
    processor: "Cortex-M33",
    triple: "thumbv8m.main-none-eabi",
    emulator: ARM,
    machine: &["-M", "mps2-an505"],
    reports: Reports::Semihosting,
    tests: &[&[
        Image { package: "mps2-an505-tz", binary: "secure" },
        Image { package: "mps2-an505-tz", binary: "application" },
    ]],
    is_counted: false,
    budgets: &[],
};

const ENCLAVE: &[&[Image]] = &[&[
    Image { package: "riscv-enclave", binary: "monitor" },
    Image { package: "riscv-enclave", binary: "application" },
]];
/// Applications in user mode report by semihosting, too.
const USER_MODE: &[&str] =
    &["-M", "virt", "-bios", "none", "-m", "16M", "-semihosting-config", "userspace=on"];

/// Secrets in machine mode, the client in user mode.
pub(crate) static RISCV32_ENCLAVE: Board = Board {
    name: "riscv32-enclave",
    processor: "RV32IMAC",
    triple: "riscv32imac-unknown-none-elf",
    emulator: RISCV32,
    machine: USER_MODE,
    reports: Reports::Semihosting,
    tests: ENCLAVE,
    is_counted: false,
    budgets: &[],
};

/// The same with 64 bits.
pub(crate) static RISCV64_ENCLAVE: Board = Board {
    name: "riscv64-enclave",
    processor: "RV64IMAC",
    triple: "riscv64imac-unknown-none-elf",
    emulator: RISCV64,
    machine: USER_MODE,
    reports: Reports::Semihosting,
    tests: ENCLAVE,
    is_counted: false,
    budgets: &[],
};

/// A key authority at secure EL1, asked by the normal world.
pub(crate) static VIRT_AARCH64_SECURE: Board = Board {
    name: "virt-aarch64-secure",
    processor: "64-bit Arm, TrustZone",
    triple: "aarch64-unknown-none",
    emulator: AARCH64,
    machine: &["-M", "virt,secure=on", "-cpu", "max", "-m", "128M", "-nic", "none"],
    reports: Reports::Semihosting,
    tests: &[&[
        Image { package: "virt-aarch64-secure", binary: "secure_tests" },
        Image { package: "virt-aarch64-secure", binary: "tests" },
    ]],
    is_counted: false,
    budgets: &[],
};

/// A key authority as a guest of its own.
pub(crate) static MICROVM_X86_64: Board = Board {
    name: "microvm-x86_64",
    processor: "x86-64 guest",
    triple: "x86_64-unknown-none",
    emulator: X86_64,
    machine: &[
        "-M",
        "microvm,pit=off,pic=off,rtc=off",
        "-cpu",
        "max",
        "-m",
        "128M",
        "-nic",
        "none",
        "-no-reboot",
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=4",
        "-device",
        "virtio-serial-device",
        "-device",
        "virtconsole,chardev=records",
    ],
    reports: Reports::SerialPort,
    tests: &[&[Image { package: "microvm-x86_64", binary: "tests" }]],
    is_counted: false,
    budgets: &[],
};
