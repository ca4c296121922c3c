use core::alloc::{GlobalAlloc, Layout};
use std::sync::mpsc;
use std::thread;

use crate::piece::{FRAME, PIECE};
use crate::pool::Pool;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Sizes on both sides of every border that matters: of small and large blocks, of frames, of huge
/// pages.
fn sizes() -> impl Iterator<Item = usize> {
    let borders = [128 * KIB, 3 * FRAME, 256 * KIB, 2 * MIB, 14 * MIB];
    borders.into_iter().flat_map(|size| [size - 1, size, size + 1])
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 64).unwrap()
}

/// A block of a pool that is returned on drop.
struct Block<'a> {
    pool: &'a Pool,
    start: *mut u8,
    layout: Layout,
}

// SAFETY: a block may be used and returned by any thread.
unsafe impl Send for Block<'_> {}

impl<'a> Block<'a> {
    fn new(pool: &'a Pool, layout: Layout) -> Self {
        // SAFETY: the size is not zero.
        Self { pool, start: unsafe { pool.alloc(layout) }, layout }.checked()
    }

    fn zeroed(pool: &'a Pool, layout: Layout) -> Self {
        // SAFETY: the size is not zero.
        Self { pool, start: unsafe { pool.alloc_zeroed(layout) }, layout }.checked()
    }

    fn resize(&mut self, size: usize) {
        // SAFETY: the block is of this pool and layout; the size is not zero and not too large.
        self.start = unsafe { self.pool.realloc(self.start, self.layout, size) };
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
    }

    fn checked(self) -> Self {
        assert!(!self.start.is_null());
        self
    }

    fn fill(&mut self, byte: u8) {
        // SAFETY: the block has as many bytes, and they are its owner's alone.
        unsafe { self.start.write_bytes(byte, self.layout.size()) };
    }

    fn holds(&self, byte: u8, count: usize) -> bool {
        assert!(count <= self.layout.size());
        // SAFETY: the block has as many bytes, all of which the tests have written, or the pool has.
        unsafe { core::slice::from_raw_parts(self.start, count) }.iter().all(|&x| x == byte)
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        // SAFETY: the block is of this pool and layout.
        unsafe { self.pool.dealloc(self.start, self.layout) };
    }
}

#[test]
fn blocks_have_the_alignment_asked_for() {
    static POOL: Pool = Pool::new(64 * MIB);
    let pool = &POOL;
    for align in (0..=21).map(|log| 1 << log) {
        let blocks = [100, 128 * KIB, 200 * KIB, 3 * MIB].map(|size| {
            let block = Block::new(pool, Layout::from_size_align(size, align).unwrap());
            assert_eq!(block.start.align_offset(align), 0, "{size} bytes to {align}");
            block
        });
        drop(blocks);
    }
}

#[test]
fn a_block_that_is_asked_for_zeroed_is_zero_however_it_was_used_before() {
    static POOL: Pool = Pool::new(1 << 30);
    let pool = &POOL;
    for round in 0..3 {
        for size in sizes() {
            let mut block = Block::zeroed(pool, layout(size));
            assert!(block.holds(0, size), "{size} bytes in round {round}");
            block.fill(0xa5);
        }
    }
}

#[test]
fn freed_blocks_serve_requests_of_any_size_that_fit() {
    static POOL: Pool = Pool::new(64 * MIB);
    let pool = &POOL;
    let blocks = [3 * MIB, 256 * KIB, 5 * MIB, MIB].map(|size| Block::new(pool, layout(size)));
    let [first, last] = [0, 3].map(|i| blocks[i].start);
    let [a, b, c, d] = blocks;
    drop((a, c, b));
    // The three gaps are one, of 8.25 MiB.
    let whole = Block::new(pool, layout(8 * MIB + 256 * KIB));
    assert_eq!(whole.start, first);
    let next = Block::new(pool, layout(128 * KIB));
    assert!(next.start > last);
    drop((whole, d));
    let parts = [2 * MIB, 128 * KIB].map(|size| Block::new(pool, layout(size)));
    assert_eq!(parts[0].start, first);
    assert!(parts[1].start > first && parts[1].start < last);
}

#[test]
fn a_block_keeps_its_contents_when_it_grows_and_shrinks() {
    static POOL: Pool = Pool::new(1 << 30);
    let pool = &POOL;
    let all: Vec<usize> = [1, 1000].into_iter().chain(sizes()).collect();
    for &from in &all {
        for &to in all.iter().step_by(4) {
            let mut block = Block::new(pool, layout(from));
            block.fill(0x5a);
            block.resize(to);
            assert!(block.holds(0x5a, from.min(to)), "{from} to {to}");
        }
    }
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn a_block_stays_where_it_is_while_there_is_room_behind_it() {
    static POOL: Pool = Pool::new(64 * MIB);
    let pool = &POOL;
    let (mut block, behind) = (Block::new(pool, layout(MIB)), Block::new(pool, layout(MIB)));
    let start = block.start;
    block.resize(128 * KIB);
    block.resize(MIB);
    assert_eq!(block.start, start);
    drop(behind);
    block.resize(4 * MIB);
    assert_eq!(block.start, start);
    let _behind = Block::new(pool, layout(MIB));
    block.resize(4 * MIB + 1);
    assert_ne!(block.start, start);
}

#[test]
fn idle_bytes_stay_within_the_limit_and_counters_add_up() {
    static POOL: Pool = Pool::new(8 * MIB);
    let (limit, size) = (POOL.limit, 3 * MIB);
    let pool = &POOL;
    let blocks: Vec<_> = (0..5).map(|_| Block::new(pool, layout(size))).collect();
    assert_eq!(pool.stats().in_use, 5 * size);
    assert_eq!(pool.stats().peak, 5 * size);
    for (returned, block) in (1..).zip(blocks) {
        drop(block);
        let stats = pool.stats();
        assert!(stats.idle <= limit, "{stats:?}");
        assert_eq!((stats.in_use, stats.peak), ((5 - returned) * size, 5 * size));
    }
    drop(Block::new(pool, layout(2 * limit)));
    assert!(pool.stats().idle <= limit, "of a block larger than the limit not all is kept");
    pool.reset_peak();
    assert_eq!(pool.stats().peak, 0);
    pool.trim();
    assert_eq!(pool.stats().idle, 0);
    assert!(Block::zeroed(pool, layout(size)).holds(0, size));
}

#[test]
fn a_piece_can_be_one_block() {
    static POOL: Pool = Pool::new(PIECE);
    let pool = &POOL;
    let _small = Block::new(pool, layout(MIB));
    let (whole, part) = (Block::new(pool, layout(PIECE)), Block::new(pool, layout(PIECE / 2)));
    assert_eq!(pool.stats().in_use, MIB + PIECE + PIECE / 2);
    assert!(part.start.addr().abs_diff(whole.start.addr()) >= PIECE / 2);
}

#[test]
fn blocks_of_the_system_are_not_counted() {
    static POOL: Pool = Pool::new(MIB);
    let pool = &POOL;
    let _blocks =
        [1, 100 * KIB, 128 * KIB - 1, PIECE + 1].map(|size| Block::new(pool, layout(size)));
    assert_eq!(pool.stats().in_use, 0);
}

/// Blocks are filled by one thread, checked and returned by another, while both, and the limit,
/// which is too small, keep the lists in motion.
#[test]
fn threads_never_share_a_block() {
    static POOL: Pool = Pool::new(16 * MIB);
    let pool = &POOL;
    let rounds = 300usize;
    thread::scope(|scope| {
        for seed in 0..4usize {
            let (sender, receiver) = mpsc::sync_channel::<(Block<'_>, u8)>(8);
            scope.spawn(move || {
                for round in 0..rounds {
                    let size = 128 * KIB + (round * 7919 + seed * 104_729) % (2 * MIB);
                    let mut block = if round % 2 == 0 {
                        Block::new(pool, layout(size))
                    } else {
                        Block::zeroed(pool, layout(size))
                    };
                    let byte = u8::try_from((round + 61 * seed) % 251).unwrap();
                    assert!(round % 2 == 0 || block.holds(0, size));
                    block.fill(byte);
                    sender.send((block, byte)).unwrap();
                }
            });
            scope.spawn(move || {
                for (block, byte) in receiver {
                    assert!(block.holds(byte, block.layout.size()));
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!(stats.in_use, 0);
    assert!(stats.idle <= 16 * MIB && stats.peak > 0, "{stats:?}");
}

/// The global allocator of this test program, so that all of the tests above run on it too.
#[global_allocator]
static MEMORY: crate::Memory = crate::Memory;

#[test]
fn the_global_allocator_serves_vectors() {
    let mut words = Vec::new();
    words.extend(0..1_000_000u32);
    let more = vec![0u64; 100_000];
    assert!(words.iter().zip(0..).all(|(&word, i)| word == i) && more.iter().all(|&x| x == 0));
    assert!(crate::stats().is_some_and(|stats| stats.in_use >= 4_000_000));
    let text: Vec<u8> = words.iter().map(|word| word.to_le_bytes()[0]).collect();
    assert_eq!(text.len(), words.len());
}

#[test]
fn words_are_as_many_as_asked_for_and_keep_what_is_written() {
    for size in sizes() {
        let count = size / 4;
        let mut written = crate::words(count);
        assert_eq!(written.len(), count);
        written.iter_mut().zip(0..).for_each(|(word, i)| *word = i);
        assert!(written.iter().zip(0..).all(|(&word, i)| word == i), "{count} words");
    }
}
