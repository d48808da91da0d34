//! BMP: the headers of Windows and of OS/2 1.x; palettes, bit fields, run-length encoding.
//!
//! The file names where its pixels begin, and what lies between that and the palette is skipped.
//! Rows are stored from the bottom, unless the height is negative. Alpha is not read.

use super::decode::{Decoded, Encoded, Levels, damaged, unsupported};
use crate::error::Error;

mod runs;

/// Where the fields lie in the file.
const PIXELS_AT: usize = 10;
const HEADER: usize = 14;
const MASKS: usize = 54;

/// The length of the header of OS/2 1.x, with sides of 16 bits and palettes of 3 bytes a colour.
const CORE: usize = 12;

const CUT: Fault = Fault::Damaged("it ends too early");

pub(super) fn is_bmp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"BM")
}

pub(super) fn decode(file: &Encoded<'_>) -> Result<Decoded, Error> {
    let Encoded { bytes, name, .. } = *file;
    let error = |fault| match fault {
        Fault::Damaged(cause) => damaged(name, cause),
        Fault::Unsupported(cause) => unsupported(name, cause),
    };
    let header = Header::read(bytes).map_err(error)?;
    let (height, width) = (header.height, header.width);
    file.check_pixels(height, width)?;
    let samples = header.samples(bytes).map_err(error)?;
    Ok(Decoded {
        height,
        width,
        levels: Levels {
            samples,
            per_pixel: 3,
        },
    })
}

/// Why a file is not decoded.
enum Fault {
    Damaged(&'static str),
    Unsupported(String),
}

/// How pixels are stored.
#[derive(Clone, Copy)]
enum Encoding {
    /// Places in the palette, packed into bytes.
    Indexed,
    /// Such places in runs.
    RunLength,
    /// Red, green and blue side by side in 16, 24 or 32 bits, at the masks.
    Direct([u32; 3]),
}

struct Header {
    height: usize,
    width: usize,
    top_down: bool,
    /// Bits per pixel.
    depth: usize,
    encoding: Encoding,
    /// Where the palette begins, its entries and the bytes of each.
    palette: (usize, usize, usize),
    /// Where the pixels begin.
    pixels: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Fault> {
        match u32_at(bytes, HEADER)? {
            12 => Self::core(bytes),
            size @ (40 | 52 | 56 | 108 | 124) => Self::info(bytes, size as usize),
            size => {
                let cause = format!("a BMP header of {size} bytes is not known");
                Err(Fault::Unsupported(cause))
            }
        }
    }

    fn core(bytes: &[u8]) -> Result<Self, Fault> {
        let [width, height, planes, depth] = [18, 20, 22, 24].map(|at| u16_at(bytes, at));
        check_planes(planes?)?;
        let depth = usize::from(depth?);
        Ok(Self {
            height: height?.into(),
            width: width?.into(),
            top_down: false,
            depth,
            encoding: encoding(bytes, 0, depth)?,
            palette: (HEADER + CORE, 1 << depth.min(8), 3),
            pixels: u32_at(bytes, PIXELS_AT)? as usize,
        })
    }

    fn info(bytes: &[u8], size: usize) -> Result<Self, Fault> {
        let [width, height, compression, colours] = [18, 22, 30, 46].map(|at| u32_at(bytes, at));
        let (width, height, colours) = (width?.cast_signed(), height?.cast_signed(), colours?);
        check_planes(u16_at(bytes, 26)?)?;
        let depth = usize::from(u16_at(bytes, 28)?);
        let encoding = encoding(bytes, compression?, depth)?;
        let top_down = height < 0;
        if top_down && matches!(encoding, Encoding::RunLength) {
            return Err(Fault::Damaged("its runs begin at the top"));
        }
        let most = 1 << depth.min(8);
        let entries = if colours == 0 { most } else { colours as usize };
        if entries > most && !matches!(encoding, Encoding::Direct(_)) {
            return Err(Fault::Damaged("its palette is too long"));
        }
        let width = usize::try_from(width).map_err(|_| Fault::Damaged("its width is negative"))?;
        Ok(Self {
            height: height.unsigned_abs() as usize,
            width,
            top_down,
            depth,
            encoding,
            palette: (HEADER + size, entries, 4),
            pixels: u32_at(bytes, PIXELS_AT)? as usize,
        })
    }

    /// RGB from the top.
    fn samples(&self, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        let pixels = bytes.get(self.pixels..).ok_or(CUT)?;
        match self.encoding {
            Encoding::Indexed => {
                let palette = self.palette(bytes)?;
                let depth = self.depth;
                self.rows(pixels, |row, x| palette[index(row, x, depth)])
            }
            Encoding::RunLength => runs::decode(self, pixels, &self.palette(bytes)?),
            Encoding::Direct(masks) => {
                let [red, green, blue] = masks.map(|mask| Field::new(mask, self.depth));
                let fields = [red?, green?, blue?];
                let size = self.depth / 8;
                self.rows(pixels, |row, x| {
                    let pixel = &row[x * size..][..size];
                    let pixel = pixel.iter().rev();
                    let pixel = pixel.fold(0, |value, &byte| value << 8 | u32::from(byte));
                    [0, 1, 2].map(|c| fields[c].level(pixel))
                })
            }
        }
    }

    /// 256 colours; those past the end are black.
    fn palette(&self, bytes: &[u8]) -> Result<[[u8; 3]; 256], Fault> {
        let (start, entries, size) = self.palette;
        let stored = bytes.get(start..start + entries * size).ok_or(CUT)?;
        let mut palette = [[0; 3]; 256];
        for (colour, entry) in palette.iter_mut().zip(stored.chunks_exact(size)) {
            *colour = [entry[2], entry[1], entry[0]];
        }
        Ok(palette)
    }

    /// Pixels in rows of whole words of 4 bytes; `colour` takes a row and a column.
    fn rows(
        &self,
        pixels: &[u8],
        colour: impl Fn(&[u8], usize) -> [u8; 3],
    ) -> Result<Vec<u8>, Fault> {
        let stride = (self.depth * self.width).div_ceil(32) * 4;
        let pixels = pixels.get(..stride * self.height).ok_or(CUT)?;
        let mut samples = vec![0; 3 * self.width * self.height];
        for (y, out) in samples.chunks_exact_mut(3 * self.width).enumerate() {
            let stored = if self.top_down {
                y
            } else {
                self.height - 1 - y
            };
            let row = &pixels[stride * stored..][..stride];
            let (out, _) = out.as_chunks_mut::<3>();
            for (x, out) in out.iter_mut().enumerate() {
                *out = colour(row, x);
            }
        }
        Ok(samples)
    }
}

/// The place in the palette of the pixel `x` of a row.
fn index(row: &[u8], x: usize, depth: usize) -> usize {
    let bit = x * depth;
    let shift = 8 - depth - bit % 8;
    usize::from(row[bit / 8] >> shift) & ((1 << depth) - 1)
}

/// One colour of a pixel that is stored directly.
struct Field {
    shift: u32,
    /// The largest value, of 8 bits at most: lower ones are dropped.
    most: u32,
    /// The level of each value.
    levels: [u8; 256],
}

impl Field {
    fn new(mask: u32, depth: usize) -> Result<Self, Fault> {
        let (shift, bits) = (mask.trailing_zeros(), mask.count_ones());
        let is_one_run = bits + shift + mask.leading_zeros() == 32;
        if mask == 0 || !is_one_run || (bits + shift) as usize > depth {
            return Err(Fault::Damaged("a mask of its colours is no run of bits"));
        }
        let kept = bits.min(8);
        let most = (1 << kept) - 1;
        let mut levels = [0; 256];
        for (value, level) in (0..=most).zip(&mut levels) {
            *level = ((value * 255 + most / 2) / most) as u8;
        }
        Ok(Self {
            shift: shift + bits - kept,
            most,
            levels,
        })
    }

    fn level(&self, pixel: u32) -> u8 {
        self.levels[(pixel >> self.shift & self.most) as usize]
    }
}

fn encoding(bytes: &[u8], compression: u32, depth: usize) -> Result<Encoding, Fault> {
    match (compression, depth) {
        (0, 1 | 2 | 4 | 8) => Ok(Encoding::Indexed),
        (0, 16) => Ok(Encoding::Direct([0x7c00, 0x03e0, 0x001f])),
        (0, 24 | 32) => Ok(Encoding::Direct([0xff_0000, 0xff00, 0xff])),
        (1, 8) | (2, 4) => Ok(Encoding::RunLength),
        (3, 16 | 32) => {
            let [red, green, blue] = [0, 4, 8].map(|at| u32_at(bytes, MASKS + at));
            Ok(Encoding::Direct([red?, green?, blue?]))
        }
        (0..=3, _) => Err(Fault::Damaged("it has no such number of bits per pixel")),
        _ => {
            let cause = format!("the compression {compression} of a BMP is not read");
            Err(Fault::Unsupported(cause))
        }
    }
}

fn check_planes(planes: u16) -> Result<(), Fault> {
    match planes {
        1 => Ok(()),
        _ => Err(Fault::Damaged("it has not one plane")),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Fault> {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    field.map(|&field| u16::from_le_bytes(field)).ok_or(CUT)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Fault> {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    field.map(|&field| u32::from_le_bytes(field)).ok_or(CUT)
}
