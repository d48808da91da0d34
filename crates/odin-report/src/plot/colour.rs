//! The colours of plots.

/// Viridis, the perceptually even scale of matplotlib (CC0), at every tenth: also a scale of
/// brightness, and so the same to every colour vision.
const VIRIDIS: [[u8; 3]; 11] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x24, 0x75],
    [0x41, 0x44, 0x87],
    [0x35, 0x5f, 0x8d],
    [0x2a, 0x78, 0x8e],
    [0x21, 0x91, 0x8c],
    [0x22, 0xa8, 0x84],
    [0x44, 0xbf, 0x70],
    [0x7a, 0xd1, 0x51],
    [0xbd, 0xdf, 0x26],
    [0xfd, 0xe7, 0x25],
];

/// Colours for lines that any colour vision tells apart (Okabe and Ito, *Color Universal Design*,
/// 2008), without the yellow, which is too faint on white.
pub(super) const LINES: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
];

/// A colour of the scale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Colour([f64; 3]);

impl Colour {
    /// The colour at `place` in [0, 1], from dark to bright.
    pub(crate) fn at(place: f64) -> Self {
        let place = 10.0 * place.clamp(0.0, 1.0);
        let before = (place as usize).min(9);
        let way = place - before as f64;
        let mixed = |i: usize| {
            let (from, to) = (VIRIDIS[before][i], VIRIDIS[before + 1][i]);
            f64::from(from) + way * (f64::from(to) - f64::from(from))
        };
        Self([mixed(0), mixed(1), mixed(2)])
    }

    pub(crate) fn rgb(self) -> [u8; 3] {
        self.0.map(|value| value.round() as u8)
    }

    pub(super) fn hex(self) -> String {
        let [r, g, b] = self.rgb();
        format!("#{r:02x}{g:02x}{b:02x}")
    }

    /// Black or white, whichever has more contrast to this (Web Content Accessibility Guidelines
    /// 2.1, relative luminance).
    pub(super) fn ink(self) -> &'static str {
        let [r, g, b] = self.0.map(|value| {
            let value = value / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        });
        let luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        if luminance > 0.179 {
            "#000000"
        } else {
            "#ffffff"
        }
    }
}
