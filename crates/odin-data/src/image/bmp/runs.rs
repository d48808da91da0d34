//! Run-length encoding: pairs of bytes, each a run of one place in the palette (of two that
//! alternate at 4 bits), the count of places that follow as they are, or a step to elsewhere.

use super::{CUT, Fault, Header, index};

const OUTSIDE: Fault = Fault::Damaged("its runs leave the image");

enum Step<'a> {
    /// To the row above.
    Row,
    /// To the right and up.
    Skip(usize, usize),
    End,
    /// The same places again and again, up to the end of the row: some programs write longer ones.
    Run(&'a [u8], usize),
    Literal(&'a [u8], usize),
}

/// RGB from the top; pixels that are skipped stay black.
pub(super) fn decode(
    header: &Header,
    mut pixels: &[u8],
    palette: &[[u8; 3]; 256],
) -> Result<Vec<u8>, Fault> {
    let (height, width, depth) = (header.height, header.width, header.depth);
    let mut samples = vec![0; 3 * width * height];
    let (colours, _) = samples.as_chunks_mut::<3>();
    // Rows are counted from the bottom.
    let (mut x, mut y) = (0, 0);
    while y < height {
        let (places, count) = match step(&mut pixels, depth)? {
            Step::End => break,
            Step::Row => {
                (x, y) = (0, y + 1);
                continue;
            }
            Step::Skip(right, up) => {
                (x, y) = (x + right, y + up);
                if x > width || y >= height {
                    return Err(OUTSIDE);
                }
                continue;
            }
            Step::Run(places, count) => (places, count.min(width - x)),
            Step::Literal(_, count) if x + count > width => return Err(OUTSIDE),
            Step::Literal(places, count) => (places, count),
        };
        let row = &mut colours[(height - 1 - y) * width..][x..x + count];
        let places = (0..places.len() * 8 / depth).map(|i| index(places, i, depth));
        for (colour, place) in row.iter_mut().zip(places.cycle()) {
            *colour = palette[place];
        }
        x += count;
    }
    Ok(samples)
}

fn step<'a>(pixels: &mut &'a [u8], depth: usize) -> Result<Step<'a>, Fault> {
    let pair = take(pixels, 2)?;
    Ok(match (pair[0], pair[1]) {
        (0, 0) => Step::Row,
        (0, 1) => Step::End,
        (0, 2) => {
            let pair = take(pixels, 2)?;
            Step::Skip(pair[0].into(), pair[1].into())
        }
        (0, count) => {
            let count = usize::from(count);
            // They fill whole words of 2 bytes.
            let places = take(pixels, 2 * (count * depth).div_ceil(16))?;
            Step::Literal(places, count)
        }
        (count, _) => Step::Run(&pair[1..], count.into()),
    })
}

fn take<'a>(pixels: &mut &'a [u8], count: usize) -> Result<&'a [u8], Fault> {
    pixels.split_off(..count).ok_or(CUT)
}
