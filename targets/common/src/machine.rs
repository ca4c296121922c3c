//! What a board must tell about itself: instructions executed, memory used, where lines go.

use core::fmt;

/// A board, seen by the tests and by the client.
pub trait Machine {
    /// Instructions executed since start-up. Under `qemu -icount shift=0` the figure is exact to
    /// within the board's timer tick; it counts instructions and not cycles.
    fn instructions(&mut self) -> u64;

    /// By how much two counts of the same instructions may differ: by a step of the board's timer, between two
    /// of which a count may begin. Zero where instructions themselves are counted.
    fn resolution(&self) -> u64 {
        0
    }

    /// Most bytes of RAM in use at any time since start-up: statics plus the deepest stack.
    fn ram_high_water(&self) -> usize;

    /// Runs `work` and tells the most bytes of stack that it took; zero on machines that cannot tell.
    fn stack_of(&mut self, work: &mut dyn FnMut()) -> usize {
        work();
        0
    }

    /// Writes `line` and a line feed to the operator.
    fn print(&mut self, line: fmt::Arguments<'_>);
}

/// Where a board's randomness and its exchanges' numbers come from.
pub trait Entropy {
    /// 32 random bytes.
    ///
    /// # Errors
    /// [`Exhausted::Randomness`]; the caller then encrypts nothing.
    fn fresh(&mut self) -> Result<[u8; 32], Exhausted>;

    /// A number larger than every earlier one of this board, across restarts.
    ///
    /// # Errors
    /// [`Exhausted::Numbers`]; the caller then sends nothing.
    fn sequence(&mut self) -> Result<u64, Exhausted>;
}

/// Where a board keeps its secrets while it is without power.
pub trait Memory {
    /// Takes out what was kept: true if `secrets` has it now, false if nothing ever was.
    ///
    /// # Errors
    /// [`Exhausted::Memory`] if something is there that must not be used.
    fn recall(&mut self, secrets: &mut [u8]) -> Result<bool, Exhausted>;

    /// Keeps `secrets`, which are all zeros afterwards. Numbers of exchanges go on at `first` or behind.
    ///
    /// # Errors
    /// [`Exhausted::Memory`]; whether they are kept is then told by recalling them.
    fn keep(&mut self, secrets: &mut [u8], first: u64) -> Result<(), Exhausted>;

    /// Erases what is kept. Numbers of exchanges go on.
    ///
    /// # Errors
    /// [`Exhausted::Memory`]; whether it is still kept is then told by recalling it.
    fn forget(&mut self) -> Result<(), Exhausted>;
}

/// What a board has run out of, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// The generator is missing or fails its health tests.
    Randomness,
    /// The counter can be neither read nor advanced.
    Numbers,
    /// Secrets can be neither kept nor recalled.
    Memory,
}

/// Runs `work` and returns what it returned with the instructions it took.
pub fn counted<T>(machine: &mut impl Machine, work: impl FnOnce() -> T) -> (T, u64) {
    let before = machine.instructions();
    let value = work();
    (value, machine.instructions().wrapping_sub(before))
}
