//! Draws small grey images in the terminal.

use odin_data::Image;

/// From black to white.
const SHADES: [&str; 5] = ["  ", "░░", "▒▒", "▓▓", "██"];

/// Draws the first channel of an image: a line of text for each row, two columns for each pixel.
pub(crate) fn draw(image: &Image) -> Vec<String> {
    let shade = |value: &f32| SHADES[(value.clamp(0.0, 1.0) * 4.0).round() as usize];
    let rows = image.pixels.chunks(image.width.max(1)).take(image.height);
    rows.map(|row| row.iter().map(shade).collect()).collect()
}

/// Sets blocks of lines side by side, each in a column of `width` characters.
pub(crate) fn side_by_side(blocks: &[Vec<String>], width: usize) -> String {
    let height = blocks.iter().map(Vec::len).max().unwrap_or(0);
    let line = |i: usize| -> String {
        let cell = |block: &Vec<String>| {
            let text = block.get(i).map_or("", String::as_str);
            format!("{text:width$}")
        };
        let line: String = blocks.iter().map(cell).collect();
        format!("{}\n", line.trim_end())
    };
    (0..height).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_lines_of_two_columns_for_each_pixel() {
        let pixels = vec![0.0, 0.25, 0.5, 0.75, 1.0, 2.0];
        let image = Image {
            channels: 1,
            height: 2,
            width: 3,
            pixels,
        };
        assert_eq!(draw(&image), ["  ░░▒▒", "▓▓████"]);
    }

    #[test]
    fn blocks_of_unequal_height_are_aligned() {
        let blocks = [
            vec!["▓▓".to_string(), "x".to_string()],
            vec!["y".to_string()],
        ];
        assert_eq!(side_by_side(&blocks, 4), "▓▓  y\nx\n");
    }
}
