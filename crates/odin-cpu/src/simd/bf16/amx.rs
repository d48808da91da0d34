//! AMX: products of tiles of 16 rows of 16 pairs, in eight registers that hold a tile each.
#![allow(unsafe_code)]

use super::avx512::Avx512Bf16;
use super::{LEFT_TILE, TILE, Term, TileProduct, TileShape};
use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::ops::Range;
use std::sync::OnceLock;

/// Constructed only if the processor has AMX-BF16, and the operating system permits it.
#[derive(Clone, Copy)]
pub(crate) struct Amx(Avx512Bf16);

impl Amx {
    /// The permission is asked for once; it is that of the process.
    pub(crate) fn new(avx512: Avx512Bf16) -> Option<Self> {
        static PERMITTED: OnceLock<bool> = OnceLock::new();
        let is_permitted = *PERMITTED.get_or_init(|| has_tiles() && ask_permission());
        is_permitted.then_some(Self(avx512))
    }

    pub(crate) fn avx512(self) -> Avx512Bf16 {
        self.0
    }

    /// Releases the tiles of this thread.
    pub(crate) fn release(self) {
        // SAFETY: the processor has the instruction; no value lives in a tile.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) }
    }

    /// # Safety
    /// As [`super::Bf16Isa::multiply`] asserts.
    pub(crate) unsafe fn multiply(self, product: &TileProduct<'_>, sums: *mut f32, stride: usize) {
        let TileProduct {
            shape,
            row_tiles,
            column_tiles,
            terms,
        } = *product;
        configure(shape);
        let widest = if row_tiles == 2 { 2 } else { 4 };
        // Left operands are read again for each group of columns: if there are many, those of a chunk
        // of the depth stay in the first-level cache.
        let chunk = match column_tiles >= MANY_GROUPS * widest {
            true => 2 * SPLIT_BLOCKS / terms.len().min(2),
            false => shape.blocks.max(1),
        };
        // Terms are summed in this order wherever a product is chunked.
        let alternating = match terms.len() {
            1 => chunk,
            _ => SPLIT_BLOCKS,
        };
        for start in (0..shape.blocks.max(1)).step_by(chunk) {
            let end = shape.blocks.min(start + chunk);
            for first in (0..column_tiles).step_by(widest) {
                let columns = widest.min(column_tiles - first);
                // SAFETY: by the contract; only the functions of this module use tiles, and nothing
                // between them changes their configuration.
                unsafe {
                    let to = sums.add(first * TILE);
                    match start {
                        0 => clear_accumulators(),
                        _ => load_accumulators(row_tiles, columns, to, shape.rows, stride),
                    }
                    for start in (start..end).step_by(alternating) {
                        let blocks = start..end.min(start + alternating);
                        for term in terms {
                            accumulate(shape, term, row_tiles, first, columns, blocks.clone());
                        }
                    }
                    store_accumulators(row_tiles, columns, to, shape.rows, stride);
                }
            }
        }
    }
}

/// Adds some blocks of a term to the accumulators of one or two row tiles and some column tiles.
///
/// # Safety
/// The tiles are configured for the shape; the term has the row tiles, the column tiles and the blocks.
#[inline(always)]
unsafe fn accumulate(
    shape: TileShape,
    term: &Term<'_>,
    row_tiles: usize,
    first: usize,
    columns: usize,
    blocks: Range<usize>,
) {
    let right = term.right;
    // SAFETY: by the contract.
    unsafe {
        let a = term.left.as_ptr().add(blocks.start * LEFT_TILE);
        let b = Blocks {
            first: right.words.as_ptr().add(first * right.tile_stride),
            offsets: &right.offsets[blocks],
            row_stride: right.row_stride,
            tile_stride: right.tile_stride,
        };
        match (row_tiles, columns) {
            (2, 2) => accumulate_2x2(shape, a, b),
            (2, _) => accumulate_2x1(shape, a, b),
            (_, 4) => accumulate_1x4(shape, a, b),
            (_, 3) => accumulate_1x3(shape, a, b),
            (_, 2) => accumulate_1x2(shape, a, b),
            _ => accumulate_1x1(shape, a, b),
        }
    }
}

/// Blocks of the depth of which two terms are summed at a time, or of one twice as many: the row tiles
/// of them take 32 KiB.
const SPLIT_BLOCKS: usize = 8;
/// From so many groups of columns on that is faster than to keep accumulators in tiles.
const MANY_GROUPS: usize = 4;

/// Whether the processor has tiles and products of bf16, and the operating system saves them.
fn has_tiles() -> bool {
    if !is_x86_feature_detected!("avx512f") || __cpuid_count(0, 0).eax < 0x1e {
        return false;
    }
    let features = __cpuid_count(7, 0).edx;
    let (bf16, tile) = (features >> 22 & 1, features >> 24 & 1);
    bf16 == 1 && tile == 1 && saves_tiles()
}

/// Whether XCR0 has the states of tile configuration and tile data.
fn saves_tiles() -> bool {
    let low: u32;
    // SAFETY: processors with AVX-512 have the instruction, and the operating system enables it.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack, preserves_flags));
    }
    low >> 17 & 0b11 == 0b11
}

/// Asks Linux for the permission to use tiles, see its document `arch/x86/xstate.rst`.
#[cfg(target_os = "linux")]
fn ask_permission() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and writes no memory.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

/// Other systems need a permission for each thread, or none; neither has been tried.
#[cfg(not(target_os = "linux"))]
fn ask_permission() -> bool {
    false
}

/// The configuration of the tiles: accumulators 0 to 3, left operands 4 and 5, right operands 6
/// and 7.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

fn configure(shape: TileShape) {
    let TileShape { rows, pairs, .. } = shape;
    let word = size_of::<f32>();
    let mut c = Configuration {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        row_bytes: [0; 16],
        rows: [0; 16],
    };
    for tile in 0..8 {
        let (rows, columns) = match tile {
            0..=3 => (rows, TILE),
            4 | 5 => (rows, pairs),
            _ => (pairs, TILE),
        };
        c.rows[tile] = rows as u8;
        c.row_bytes[tile] = (columns * word) as u16;
    }
    // SAFETY: the configuration is valid; no value lives in a tile.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &c, options(nostack, preserves_flags, readonly)) }
}

/// # Safety
/// The tiles are configured.
#[inline(always)]
unsafe fn clear_accumulators() {
    // SAFETY: by the contract.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            options(nomem, nostack, preserves_flags)
        )
    }
}

/// Blocks of a right operand, see [`ColumnTiles`](super::ColumnTiles).
#[derive(Clone, Copy)]
struct Blocks<'a> {
    /// The first of the column tiles that are multiplied.
    first: *const f32,
    offsets: &'a [u32],
    row_stride: usize,
    tile_stride: usize,
}

/// Defines a function that adds a term to the accumulators, block by block: `a` and `a2` are in the
/// first and the second row tile, `b` in the first column tile, and `step` bytes further in the next.
macro_rules! accumulate {
    ($name:ident: $($instruction:literal),+) => {
        /// # Safety
        /// The tiles are configured for the shape; `a` and `b` are valid for as many row and column
        /// tiles as the name says.
        unsafe fn $name(shape: TileShape, a: *const f32, b: Blocks<'_>) {
            if b.offsets.is_empty() {
                return;
            }
            let word = size_of::<f32>();
            // SAFETY: by the contract; the loads stay in the tiles of the operands.
            unsafe {
                asm!(
                    "2:",
                    "mov {b:e}, dword ptr [{offsets}]",
                    "lea {b}, [{first} + {b} * 4]",
                    $($instruction,)+
                    "add {b}, {step}",
                    "add {a}, {a_step}",
                    "add {a2}, {a_step}",
                    "add {offsets}, 4",
                    "dec {blocks}",
                    "jnz 2b",
                    a = inout(reg) a => _,
                    a2 = inout(reg) a.wrapping_add(shape.left()) => _,
                    b = out(reg) _,
                    first = in(reg) b.first,
                    offsets = inout(reg) b.offsets.as_ptr() => _,
                    step = in(reg) b.tile_stride * word,
                    b_row = in(reg) b.row_stride * word,
                    a_step = const LEFT_TILE * size_of::<f32>(),
                    a_row = in(reg) TILE * word,
                    blocks = inout(reg) b.offsets.len() => _,
                    options(nostack, readonly)
                )
            }
        }
    };
}

accumulate!(accumulate_2x2:
    "tileloadd tmm4, [{a} + {a_row}]",
    "tileloadd tmm6, [{b} + {b_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "add {b}, {step}",
    "tileloadd tmm7, [{b} + {b_row}]",
    "tdpbf16ps tmm1, tmm4, tmm7",
    "tileloadd tmm5, [{a2} + {a_row}]",
    "tdpbf16ps tmm2, tmm5, tmm6",
    "tdpbf16ps tmm3, tmm5, tmm7");

accumulate!(accumulate_2x1:
    "tileloadd tmm6, [{b} + {b_row}]",
    "tileloadd tmm4, [{a} + {a_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "tileloadd tmm5, [{a2} + {a_row}]",
    "tdpbf16ps tmm2, tmm5, tmm6");

accumulate!(accumulate_1x4:
    "tileloadd tmm4, [{a} + {a_row}]",
    "tileloadd tmm6, [{b} + {b_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "add {b}, {step}",
    "tileloadd tmm7, [{b} + {b_row}]",
    "tdpbf16ps tmm1, tmm4, tmm7",
    "add {b}, {step}",
    "tileloadd tmm6, [{b} + {b_row}]",
    "tdpbf16ps tmm2, tmm4, tmm6",
    "add {b}, {step}",
    "tileloadd tmm7, [{b} + {b_row}]",
    "tdpbf16ps tmm3, tmm4, tmm7");

accumulate!(accumulate_1x3:
    "tileloadd tmm4, [{a} + {a_row}]",
    "tileloadd tmm6, [{b} + {b_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "add {b}, {step}",
    "tileloadd tmm7, [{b} + {b_row}]",
    "tdpbf16ps tmm1, tmm4, tmm7",
    "add {b}, {step}",
    "tileloadd tmm6, [{b} + {b_row}]",
    "tdpbf16ps tmm2, tmm4, tmm6");

accumulate!(accumulate_1x2:
    "tileloadd tmm4, [{a} + {a_row}]",
    "tileloadd tmm6, [{b} + {b_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "add {b}, {step}",
    "tileloadd tmm7, [{b} + {b_row}]",
    "tdpbf16ps tmm1, tmm4, tmm7");

accumulate!(accumulate_1x1:
    "tileloadd tmm4, [{a} + {a_row}]",
    "tileloadd tmm6, [{b} + {b_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6");

/// Defines a function that moves the accumulators of one or two row tiles: those of the first begin
/// with tile 0, those of the second with tile 2.
macro_rules! move_accumulators {
    ($name:ident: $before:literal, $after:literal) => {
        /// # Safety
        /// The tiles are configured; the rows of the row tiles are valid for access from `at` on,
        /// `stride` apart.
        unsafe fn $name(
            row_tiles: usize,
            columns: usize,
            at: *mut f32,
            rows: usize,
            stride: usize,
        ) {
            macro_rules! one {
                                                ($tile:literal, $at:expr) => {
                                                    asm!(
                                                        concat!($before, $tile, $after),
                                                        at = in(reg) $at,
                                                        stride = in(reg) stride * size_of::<f32>(),
                                                        options(nostack, preserves_flags)
                                                    )
                                                };
                                            }
            // SAFETY: by the contract.
            unsafe {
                one!("0", at);
                if columns > 1 {
                    one!("1", at.add(TILE));
                }
                match row_tiles {
                    2 => {
                        let second = at.add(rows * stride);
                        one!("2", second);
                        if columns > 1 {
                            one!("3", second.add(TILE));
                        }
                    }
                    _ => {
                        if columns > 2 {
                            one!("2", at.add(2 * TILE));
                        }
                        if columns > 3 {
                            one!("3", at.add(3 * TILE));
                        }
                    }
                }
            }
        }
    };
}

move_accumulators!(load_accumulators: "tileloadd tmm", ", [{at} + {stride}]");
move_accumulators!(store_accumulators: "tilestored [{at} + {stride}], tmm", "");
