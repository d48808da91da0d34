//! AMX: products of tiles of 16 rows of 16 pairs, in eight registers that hold a tile each.
#![allow(unsafe_code)]

use super::avx512::Avx512Bf16;
use super::{LEFT_TILE, TILE, TileProduct, TileShape};
use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _MM_HINT_T1, _mm_prefetch};
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
            ..
        } = *product;
        configure(shape);
        let widest = if row_tiles == 2 { 2 } else { 4 };
        // Left operands are read again for each group of columns: if there are many, those of a chunk
        // of the depth stay in the first-level cache.
        let chunk = match column_tiles >= MANY_GROUPS * widest {
            true => CHUNK_TILES / product.terms().len().min(2),
            false => shape.blocks.max(1),
        };
        let mut next = NextLines::new(product, widest, chunk);
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
                    for start in (start..end).step_by(PIECE) {
                        next.prefetch();
                        let blocks = start..end.min(start + PIECE);
                        accumulate(product, first, columns, blocks);
                    }
                    store_accumulators(row_tiles, columns, to, shape.rows, stride);
                }
            }
        }
    }
}

/// Adds some blocks of a product to the accumulators of its row tiles and some column tiles.
///
/// # Safety
/// The tiles are configured for the shape; the product has the column tiles and the blocks.
#[inline(always)]
unsafe fn accumulate(
    product: &TileProduct<'_>,
    first: usize,
    columns: usize,
    blocks: Range<usize>,
) {
    let (shape, layout) = (product.shape, product.layout);
    // Wrapping, as there may be no low parts.
    let operands = Operands {
        left: product
            .left
            .map(|part| part.as_ptr().wrapping_add(blocks.start * LEFT_TILE)),
        right: product
            .right
            .map(|part| part.as_ptr().wrapping_add(first * layout.tile_stride)),
        row_tile: shape.left(),
        offsets: &layout.offsets[blocks],
        row_stride: layout.row_stride,
        tile_stride: layout.tile_stride,
    };
    // SAFETY: by the contract.
    unsafe {
        match (product.is_split(), product.row_tiles, columns) {
            (false, 2, 2) => accumulate_2x2(operands),
            (false, 2, _) => accumulate_2x1(operands),
            (false, _, 4) => accumulate_1x4(operands),
            (false, _, 3) => accumulate_1x3(operands),
            (false, _, 2) => accumulate_1x2(operands),
            (false, _, _) => accumulate_1x1(operands),
            (true, 2, 2) => accumulate_split_2x2(operands),
            (true, 2, _) => accumulate_split_2x1(operands),
            (true, _, 4) => accumulate_split_1x4(operands),
            (true, _, 3) => accumulate_split_1x3(operands),
            (true, _, 2) => accumulate_split_1x2(operands),
            (true, _, _) => accumulate_split_1x1(operands),
        }
    }
}

/// The cache lines that are read next, in as many shares as a product has pieces: all at once they
/// would stall it.
struct NextLines<'a> {
    parts: [&'a [f32]; 2],
    share: usize,
}

impl<'a> NextLines<'a> {
    fn new(product: &TileProduct<'a>, widest: usize, chunk: usize) -> Self {
        let parts = product.next;
        let groups = product.column_tiles.div_ceil(widest);
        let pieces = product.shape.blocks.div_ceil(PIECE.min(chunk)) * groups;
        let lines = parts.iter().map(|part| part.len()).max().unwrap_or(0) / TILE;
        Self {
            parts,
            share: lines.div_ceil(pieces.max(1)) * TILE,
        }
    }

    #[inline(always)]
    fn prefetch(&mut self) {
        for part in &mut self.parts {
            let (now, rest) = part.split_at(self.share.min(part.len()));
            *part = rest;
            for line in now.chunks(TILE) {
                // SAFETY: the processor has the instruction, which touches no value.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
            }
        }
    }
}

/// Blocks between which some of the next operand is prefetched.
const PIECE: usize = 4;
/// Tiles of a row tile's chunk of the depth: those of two row tiles take 32 KiB.
const CHUNK_TILES: usize = 16;
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

/// Where the tiles of the operands are.
#[derive(Clone, Copy)]
struct Operands<'a> {
    /// The first tile of the first row tile, of high and of low parts.
    left: [*const f32; 2],
    /// The first column tile.
    right: [*const f32; 2],
    /// The distance between row tiles.
    row_tile: usize,
    /// See [`ColumnTiles`](super::ColumnTiles).
    offsets: &'a [u32],
    row_stride: usize,
    tile_stride: usize,
}

/// Defines a function that adds products to the accumulators, block by block: `a` and `b` are in the
/// first row tile and the first column tile, `a_low` and `b_low` likewise of the low parts. The next
/// row tile is `row_tile` bytes further, the next column tile `step` bytes.
macro_rules! accumulate {
    ($name:ident: $($instruction:literal),+) => {
        /// # Safety
        /// The tiles are configured; there are blocks, and the operands are valid for as many row and
        /// column tiles as the name says.
        unsafe fn $name(operands: Operands<'_>) {
            let word = size_of::<f32>();
            // SAFETY: by the contract; the loads stay in the tiles of the operands.
            unsafe {
                asm!(
                    "2:",
                    "mov {b_low:e}, dword ptr [{offsets}]",
                    "lea {b}, [{first} + {b_low} * 4]",
                    "lea {b_low}, [{first_low} + {b_low} * 4]",
                    $($instruction,)+
                    "add {a}, {a_step}",
                    "add {a_low}, {a_step}",
                    "add {offsets}, 4",
                    "dec {blocks}",
                    "jnz 2b",
                    "# {row_tile} {step}",
                    a = inout(reg) operands.left[0] => _,
                    a_low = inout(reg) operands.left[1] => _,
                    row_tile = in(reg) operands.row_tile * word,
                    b = out(reg) _,
                    b_low = out(reg) _,
                    first = in(reg) operands.right[0],
                    first_low = in(reg) operands.right[1],
                    offsets = inout(reg) operands.offsets.as_ptr() => _,
                    step = in(reg) operands.tile_stride * word,
                    b_row = in(reg) operands.row_stride * word,
                    a_step = const LEFT_TILE * size_of::<f32>(),
                    a_row = in(reg) TILE * word,
                    blocks = inout(reg) operands.offsets.len() => _,
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
    "add {a}, {row_tile}",
    "tileloadd tmm5, [{a} + {a_row}]",
    "tdpbf16ps tmm2, tmm5, tmm6",
    "tdpbf16ps tmm3, tmm5, tmm7",
    "sub {a}, {row_tile}");

accumulate!(accumulate_2x1:
    "tileloadd tmm6, [{b} + {b_row}]",
    "tileloadd tmm4, [{a} + {a_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "add {a}, {row_tile}",
    "tileloadd tmm5, [{a} + {a_row}]",
    "tdpbf16ps tmm2, tmm5, tmm6",
    "sub {a}, {row_tile}");

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

// Split numbers: each tile is loaded once, and in 2x2 three products lie between two of an
// accumulator.

accumulate!(accumulate_split_2x2:
    "tileloadd tmm6, [{b} + {b_row}]",
    "add {b}, {step}",
    "tileloadd tmm7, [{b} + {b_row}]",
    "tileloadd tmm4, [{a_low} + {a_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "tdpbf16ps tmm1, tmm4, tmm7",
    "add {a_low}, {row_tile}",
    "tileloadd tmm5, [{a_low} + {a_row}]",
    "tdpbf16ps tmm2, tmm5, tmm6",
    "tdpbf16ps tmm3, tmm5, tmm7",
    "sub {a_low}, {row_tile}",
    "tileloadd tmm4, [{a} + {a_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "tdpbf16ps tmm1, tmm4, tmm7",
    "add {a}, {row_tile}",
    "tileloadd tmm5, [{a} + {a_row}]",
    "tdpbf16ps tmm2, tmm5, tmm6",
    "tdpbf16ps tmm3, tmm5, tmm7",
    "sub {a}, {row_tile}",
    "tileloadd tmm6, [{b_low} + {b_row}]",
    "add {b_low}, {step}",
    "tileloadd tmm7, [{b_low} + {b_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "tdpbf16ps tmm1, tmm4, tmm7",
    "tdpbf16ps tmm2, tmm5, tmm6",
    "tdpbf16ps tmm3, tmm5, tmm7");

accumulate!(accumulate_split_2x1:
    "tileloadd tmm6, [{b} + {b_row}]",
    "tileloadd tmm4, [{a_low} + {a_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "add {a_low}, {row_tile}",
    "tileloadd tmm5, [{a_low} + {a_row}]",
    "tdpbf16ps tmm2, tmm5, tmm6",
    "sub {a_low}, {row_tile}",
    "tileloadd tmm4, [{a} + {a_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "add {a}, {row_tile}",
    "tileloadd tmm5, [{a} + {a_row}]",
    "tdpbf16ps tmm2, tmm5, tmm6",
    "sub {a}, {row_tile}",
    "tileloadd tmm7, [{b_low} + {b_row}]",
    "tdpbf16ps tmm0, tmm4, tmm7",
    "tdpbf16ps tmm2, tmm5, tmm7");

accumulate!(accumulate_split_1x4:
    "tileloadd tmm4, [{a_low} + {a_row}]",
    "tileloadd tmm5, [{a} + {a_row}]",
    "tileloadd tmm6, [{b} + {b_row}]",
    "add {b}, {step}",
    "tileloadd tmm7, [{b} + {b_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "tdpbf16ps tmm1, tmm4, tmm7",
    "tdpbf16ps tmm0, tmm5, tmm6",
    "tdpbf16ps tmm1, tmm5, tmm7",
    "tileloadd tmm6, [{b_low} + {b_row}]",
    "add {b_low}, {step}",
    "tileloadd tmm7, [{b_low} + {b_row}]",
    "tdpbf16ps tmm0, tmm5, tmm6",
    "tdpbf16ps tmm1, tmm5, tmm7",
    "add {b}, {step}",
    "tileloadd tmm6, [{b} + {b_row}]",
    "add {b}, {step}",
    "tileloadd tmm7, [{b} + {b_row}]",
    "tdpbf16ps tmm2, tmm4, tmm6",
    "tdpbf16ps tmm3, tmm4, tmm7",
    "tdpbf16ps tmm2, tmm5, tmm6",
    "tdpbf16ps tmm3, tmm5, tmm7",
    "add {b_low}, {step}",
    "tileloadd tmm6, [{b_low} + {b_row}]",
    "add {b_low}, {step}",
    "tileloadd tmm7, [{b_low} + {b_row}]",
    "tdpbf16ps tmm2, tmm5, tmm6",
    "tdpbf16ps tmm3, tmm5, tmm7");

accumulate!(accumulate_split_1x3:
    "tileloadd tmm4, [{a_low} + {a_row}]",
    "tileloadd tmm5, [{a} + {a_row}]",
    "tileloadd tmm6, [{b} + {b_row}]",
    "add {b}, {step}",
    "tileloadd tmm7, [{b} + {b_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "tdpbf16ps tmm1, tmm4, tmm7",
    "tdpbf16ps tmm0, tmm5, tmm6",
    "tdpbf16ps tmm1, tmm5, tmm7",
    "tileloadd tmm6, [{b_low} + {b_row}]",
    "add {b_low}, {step}",
    "tileloadd tmm7, [{b_low} + {b_row}]",
    "tdpbf16ps tmm0, tmm5, tmm6",
    "tdpbf16ps tmm1, tmm5, tmm7",
    "add {b}, {step}",
    "tileloadd tmm6, [{b} + {b_row}]",
    "tdpbf16ps tmm2, tmm4, tmm6",
    "tdpbf16ps tmm2, tmm5, tmm6",
    "add {b_low}, {step}",
    "tileloadd tmm6, [{b_low} + {b_row}]",
    "tdpbf16ps tmm2, tmm5, tmm6");

accumulate!(accumulate_split_1x2:
    "tileloadd tmm4, [{a_low} + {a_row}]",
    "tileloadd tmm5, [{a} + {a_row}]",
    "tileloadd tmm6, [{b} + {b_row}]",
    "add {b}, {step}",
    "tileloadd tmm7, [{b} + {b_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "tdpbf16ps tmm1, tmm4, tmm7",
    "tdpbf16ps tmm0, tmm5, tmm6",
    "tdpbf16ps tmm1, tmm5, tmm7",
    "tileloadd tmm6, [{b_low} + {b_row}]",
    "add {b_low}, {step}",
    "tileloadd tmm7, [{b_low} + {b_row}]",
    "tdpbf16ps tmm0, tmm5, tmm6",
    "tdpbf16ps tmm1, tmm5, tmm7");

accumulate!(accumulate_split_1x1:
    "tileloadd tmm4, [{a_low} + {a_row}]",
    "tileloadd tmm5, [{a} + {a_row}]",
    "tileloadd tmm6, [{b} + {b_row}]",
    "tdpbf16ps tmm0, tmm4, tmm6",
    "tdpbf16ps tmm0, tmm5, tmm6",
    "tileloadd tmm6, [{b_low} + {b_row}]",
    "tdpbf16ps tmm0, tmm5, tmm6");

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
