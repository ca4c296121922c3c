use core::alloc::{GlobalAlloc, Layout};
use std::sync::mpsc;
use std::thread;

use crate::class::Class;
use crate::pages::PAGE;
use crate::pool::Pool;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Sizes on both sides of every border that matters: of small and large blocks, of classes, of huge
/// pages, of pieces.
fn sizes() -> impl Iterator<Item = usize> {
    let borders = [128 * KIB, 136 * KIB, 256 * KIB, 2 * MIB, 14 * MIB, 32 * MIB, 64 * MIB];
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
fn a_class_holds_its_layouts_with_at_most_a_sixteenth_lost_and_classes_ascend() {
    for size in (128 * KIB..3 * MIB).step_by(509).chain(sizes()).chain([1 << 30]) {
        let Some(class) = Class::of(layout(size)) else {
            assert!(size < 128 * KIB);
            continue;
        };
        assert!(class.size() >= size && class.size() - size <= size / 16, "{size}");
        assert_eq!(class.size() % PAGE, 0);
        assert_eq!(Class::of(layout(class.size())), Some(class));
    }
    assert!(Class::all().map(Class::size).is_sorted_by(|a, b| a < b));
    assert_eq!(Class::all().last().map(Class::size), Some(1 << 30));
    assert_eq!(Class::of(layout((1 << 30) + 1)), None);
}

#[test]
fn blocks_have_the_alignment_asked_for() {
    let pool = Pool::new(64 * MIB);
    for align in (0..=21).map(|log| 1 << log) {
        let blocks = [100, 128 * KIB, 200 * KIB, 3 * MIB].map(|size| {
            let block = Block::new(&pool, Layout::from_size_align(size, align).unwrap());
            assert_eq!(block.start.align_offset(align), 0, "{size} bytes to {align}");
            block
        });
        drop(blocks);
    }
}

#[test]
fn a_block_that_is_asked_for_zeroed_is_zero_however_it_was_used_before() {
    let pool = Pool::new(1 << 30);
    for round in 0..3 {
        for size in sizes() {
            let mut block = Block::zeroed(&pool, layout(size));
            assert!(block.holds(0, size), "{size} bytes in round {round}");
            block.fill(0xa5);
        }
    }
}

#[test]
fn a_freed_block_serves_the_next_request_of_its_class() {
    let pool = Pool::new(64 * MIB);
    for size in [128 * KIB, 256 * KIB, 3 * MIB] {
        let first = Block::new(&pool, layout(size)).start;
        assert_eq!(Block::new(&pool, layout(size - 100)).start == first, size != 128 * KIB);
        assert_eq!(Block::new(&pool, layout(size)).start, first);
    }
}

#[test]
fn a_block_keeps_its_contents_when_it_grows_and_shrinks() {
    let pool = Pool::new(1 << 30);
    let all: Vec<usize> = [1, 1000].into_iter().chain(sizes()).collect();
    for &from in &all {
        for &to in all.iter().step_by(4) {
            let mut block = Block::new(&pool, layout(from));
            block.fill(0x5a);
            block.resize(to);
            assert!(block.holds(0x5a, from.min(to)), "{from} to {to}");
        }
    }
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn a_block_stays_where_it_is_while_its_class_holds_it() {
    let pool = Pool::new(64 * MIB);
    let mut block = Block::new(&pool, layout(4 * MIB - 1000));
    let start = block.start;
    block.resize(4 * MIB);
    assert_eq!(block.start, start);
    block.resize(4 * MIB + 1);
    assert_ne!(block.start, start);
}

#[test]
fn idle_bytes_stay_within_the_limit_and_counters_add_up() {
    let (limit, size) = (8 * MIB, 3 * MIB);
    let pool = Pool::new(limit);
    let blocks: Vec<_> = (0..5).map(|_| Block::new(&pool, layout(size))).collect();
    assert_eq!(pool.stats().in_use, 5 * size);
    assert_eq!(pool.stats().peak, 5 * size);
    for (returned, block) in (1..).zip(blocks) {
        drop(block);
        let stats = pool.stats();
        assert!(stats.idle <= limit, "{stats:?}");
        assert_eq!((stats.in_use, stats.peak), ((5 - returned) * size, 5 * size));
    }
    drop(Block::new(&pool, layout(limit + 1)));
    assert!(pool.stats().idle <= limit, "a block larger than the limit is not kept");
    pool.reset_peak();
    assert_eq!(pool.stats().peak, 0);
    pool.trim();
    assert_eq!(pool.stats().idle, 0);
    assert!(Block::zeroed(&pool, layout(size)).holds(0, size));
}

#[test]
fn small_blocks_are_not_counted() {
    let pool = Pool::new(MIB);
    let _blocks = [1, 100 * KIB, 128 * KIB - 1].map(|size| Block::new(&pool, layout(size)));
    assert_eq!(pool.stats().in_use, 0);
}

/// Blocks are filled by one thread, checked and returned by another, while both, and the limit,
/// which is too small, keep the lists in motion.
#[test]
fn threads_never_share_a_block() {
    let pool = Pool::new(16 * MIB);
    let rounds = 300usize;
    thread::scope(|scope| {
        for seed in 0..4usize {
            let (sender, receiver) = mpsc::sync_channel::<(Block<'_>, u8)>(8);
            let pool = &pool;
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
    assert!(crate::stats().is_some_and(|stats| stats.in_use >= 4_800_000));
    let text: Vec<u8> = words.iter().map(|word| word.to_le_bytes()[0]).collect();
    assert_eq!(text.len(), words.len());
}
