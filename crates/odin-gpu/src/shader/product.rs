//! Matrix products in tiles: convolutions as implicit matrix products, their adjoints, and products
//! of matrices.
//!
//! The result has rows and columns: output channels and positions of a convolution, or output
//! features and tokens. Columns of all images lie side by side, so that small images fill tiles
//! too. A workgroup computes a tile, each invocation a block of it in registers; the operands go
//! through workgroup memory, a few steps of depth at a time, and are summed in the order of depth,
//! whatever the batch.

use super::expression::{Expression, Leaf};
use super::operand::{Operand, Place};
use super::{Grid, Kernel, Shader, Weights, word};
use std::fmt::Write;

/// How a result is cut: the rows, columns and depth of a tile, and the rows and columns that an
/// invocation computes, multiples of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tile {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) depth: usize,
    block: (usize, usize),
}

impl Tile {
    const fn new(rows: usize, columns: usize, depth: usize, block: (usize, usize)) -> Self {
        Self {
            rows,
            columns,
            depth,
            block,
        }
    }

    /// The tile for this many rows: few rows are not padded to many.
    pub(crate) fn of_rows(rows: usize) -> Self {
        const LARGE: Tile = Tile::new(128, 128, 8, (8, 8));
        const MEDIUM: Tile = Tile::new(64, 64, 16, (4, 4));
        match rows {
            0..=16 => Self::new(16, 128, 16, (4, 4)),
            17..=32 => Self::new(32, 128, 8, (4, 4)),
            33..=48 => Self::new(48, 64, 16, (4, 4)),
            49..=64 => MEDIUM,
            _ => {
                let padded = |tile: Tile| rows.next_multiple_of(tile.rows);
                match padded(LARGE) * 5 <= padded(MEDIUM) * 6 {
                    true => LARGE,
                    false => MEDIUM,
                }
            }
        }
    }

    fn threads(self) -> usize {
        self.rows / self.block.0 * (self.columns / self.block.1)
    }
}

/// The left operand.
pub(crate) enum Rows {
    /// A constant, packed by [`pack`](crate::lower::pack) for the tile.
    Packed(Weights),
    /// A value `[..., rows, depth]` by its strides.
    Strided(Operand),
}

/// The right operand.
pub(crate) enum Columns {
    /// The elements under the taps of a window, of an image `x [N, C, height, width]`.
    Taps(Operand, Taps),
    /// All channels at a position: a 1x1 convolution of an expression of this shape.
    Plane(Expression),
    /// A value `[..., columns, depth]` by its strides.
    Matrix(Operand),
}

/// Where a convolution reads and writes, height and width: output positions form a grid, and each
/// reads `x` at `position · stride + first + tap · step`, and is written at
/// `position · out_stride + out_first`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taps {
    pub(crate) grid: [usize; 2],
    pub(crate) count: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) first: [isize; 2],
    pub(crate) step: [isize; 2],
    pub(crate) out_stride: [usize; 2],
    pub(crate) out_first: [usize; 2],
}

/// The sizes of a product for one image.
pub(crate) struct Product {
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    /// Independent products: groups of channels, or matrices.
    pub(crate) products: usize,
    /// Whether the columns of all images lie side by side: the left operand is the same for all.
    pub(crate) is_merged: bool,
    /// The shape of the result.
    pub(crate) shape: Vec<usize>,
    pub(crate) tile: Tile,
}

/// The operands of a product.
pub(crate) struct Inputs {
    pub(crate) rows: Rows,
    pub(crate) columns: Columns,
}

/// Computes a product, and applies the expressions to each element of the result.
pub(crate) fn product(p: &Product, inputs: &Inputs, then: &[Expression], output: Place) -> Kernel {
    let writer = Writer::new(p, inputs);
    writer.kernel(then, output)
}

/// The writer of a product's shader.
struct Writer<'a> {
    p: &'a Product,
    inputs: &'a Inputs,
    shader: Shader,
    rows: String,
    depth: String,
    columns: String,
}

impl<'a> Writer<'a> {
    fn new(p: &'a Product, inputs: &'a Inputs) -> Self {
        let mut shader = Shader::default();
        let [rows, depth] = [p.rows, p.depth].map(|n| shader.param(n));
        // A divisor of column numbers, so a literal.
        let columns = format!("{}u", p.columns);
        Self {
            p,
            inputs,
            shader,
            rows,
            depth,
            columns,
        }
    }

    fn kernel(mut self, then: &[Expression], output: Place) -> Kernel {
        let tile = self.p.tile;
        let (rows_loaded, load_rows) = self.load_rows();
        let (columns_loaded, load_columns) = self.load_columns();
        let store = self.store(then, output);
        let (zero, block) = self.block();
        let products = self.shader.param(self.p.products);
        let (z, image, all) = match self.p.is_merged {
            true => (
                "group.z".to_string(),
                "0u".to_string(),
                format!("{} * run.images", self.columns),
            ),
            false => (
                format!("group.z % {products}"),
                format!("group.z / {products}"),
                self.columns.clone(),
            ),
        };
        let (row_threads, threads) = (tile.rows / tile.block.0, tile.threads());
        let column_threads = tile.columns / tile.block.1;
        // Neighbouring invocations write neighbouring elements.
        let (ty, tx) = match self.inputs.columns {
            Columns::Matrix(_) => (
                format!("local % {row_threads}u"),
                format!("local / {row_threads}u"),
            ),
            _ => (
                format!("local / {column_threads}u"),
                format!("local % {column_threads}u"),
            ),
        };
        let entry = format!(
            "
var<workgroup> left: array<vec4<f32>, {left_size}>;
var<workgroup> right: array<vec4<f32>, {right_size}>;
@compute @workgroup_size({threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {{
  let rows = {rows};
  let depth = {depth};
  let row_tiles = (rows + {tile_rows}u - 1u) / {tile_rows}u;
  let number = group.y * groups.x + group.x;
  let first_row = (number % row_tiles) * {tile_rows}u;
  let first_column = (number / row_tiles) * {tile_columns}u;
  let z = {z};
  let own_image = {image};
  let columns = {all};
  if (first_column >= columns) {{ return; }}
  let ty = {ty};
  let tx = {tx};
{rows_loaded}{columns_loaded}{zero}  for (var k0 = 0u; k0 < depth; k0 += {tile_depth}u) {{
{load_rows}{load_columns}    workgroupBarrier();
    for (var k = 0u; k < {tile_depth}u; k++) {{
{block}    }}
    workgroupBarrier();
  }}
{store}}}
",
            left_size = tile.depth * tile.rows / 4,
            right_size = tile.depth * tile.columns / 4,
            rows = self.rows,
            depth = self.depth,
            tile_rows = tile.rows,
            tile_columns = tile.columns,
            tile_depth = tile.depth,
        );
        let grid = Grid::Columns {
            row_tiles: self.p.rows.div_ceil(tile.rows),
            per_image: self.p.columns,
            tile: tile.columns,
            products: self.p.products,
            is_merged: self.p.is_merged,
        };
        self.shader.finish(&entry, grid)
    }

    /// Sets of four elements of the left operand that an invocation loads: what is computed once,
    /// and the loads of a step of depth.
    fn load_rows(&mut self) -> (String, String) {
        let tile = self.p.tile;
        let quads = tile.rows / 4;
        let (mut once, mut each) = (String::new(), String::new());
        match &self.inputs.rows {
            Rows::Packed(weights) => {
                self.shader.bind_packed(weights.clone());
                let padded = self.p.rows.next_multiple_of(tile.rows) / 4;
                let steps = self.p.depth.next_multiple_of(tile.depth);
                let [padded, steps] = [padded, steps].map(|n| self.shader.param(n));
                let _ = writeln!(
                    once,
                    "  let packed = z * {steps} * {padded} + first_row / 4u;"
                );
                self.for_each_quad(&mut each, tile.depth * quads, |text, e| {
                    let _ = writeln!(
                        text,
                        "left[{e}] = weights[packed + (k0 + {e} / {quads}u) * {padded} + {e} % {quads}u];"
                    );
                });
            }
            Rows::Strided(operand) => {
                let reader = self.shader.reader(operand);
                let stride = operand.strides.last().copied().unwrap_or(0);
                let row = operand.without_last(1).offset("r");
                let name = self.shader.name("row");
                let (rows, depth) = (&self.rows, &self.depth);
                let element = reader.at(&format!("base + {row} + k * {stride}u"));
                self.shader.write(&format!(
                    "fn {name}(base: u32, z: u32, m: u32, k: u32) -> f32 {{
  if (m >= {rows} || k >= {depth}) {{ return 0.0f; }}
  let r = z * {rows} + m;
  return {element};
}}
"
                ));
                let _ = writeln!(once, "  let row_base = {};", reader.base("own_image"));
                // Neighbouring invocations read neighbouring elements.
                let (k, q) = match stride {
                    1 => ("%", "/"),
                    _ => ("/", "%"),
                };
                let by = if stride == 1 { tile.depth } else { quads };
                self.for_each_quad(&mut each, tile.depth * quads, |text, e| {
                    let at = |j: usize| format!("{name}(row_base, z, m + {j}u, k)");
                    let _ = writeln!(
                        text,
                        "let k = k0 + {e} {k} {by}u; let q = {e} {q} {by}u; let m = first_row + q * 4u;
      left[(k - k0) * {quads}u + q] = vec4<f32>({}, {}, {}, {});",
                        at(0),
                        at(1),
                        at(2),
                        at(3)
                    );
                });
            }
        }
        (once, each)
    }

    /// As [`Writer::load_rows`], of the right operand.
    fn load_columns(&mut self) -> (String, String) {
        let tile = self.p.tile;
        let quads = tile.columns / 4;
        let count = tile.depth * quads;
        let loads = count.div_ceil(tile.threads());
        let is_matrix = matches!(self.inputs.columns, Columns::Matrix(_));
        let element = self.column_function();
        let (mut once, mut each) = (String::new(), String::new());
        // Matrices are read along the depth, images along positions. In the latter case all sets of
        // an invocation are of the same columns.
        let sets = if is_matrix { loads } else { 1 };
        for set in 0..sets {
            let q = match is_matrix {
                true => format!("(local + {}u) / {}u", set * tile.threads(), tile.depth),
                false => format!("local % {quads}u"),
            };
            for j in 0..4 {
                let _ = writeln!(
                    once,
                    "  let at{set}_{j} = column(min(first_column + ({q}) * 4u + {j}u, columns - 1u), own_image, z);"
                );
            }
        }
        for n in 0..loads {
            let e = format!("(local + {}u)", n * tile.threads());
            let (k, q, set) = match is_matrix {
                true => (
                    format!("{e} % {}u", tile.depth),
                    format!("{e} / {}u", tile.depth),
                    n,
                ),
                false => (format!("{e} / {quads}u"), format!("local % {quads}u"), 0),
            };
            let guard = match (n + 1) * tile.threads() > count {
                true => format!("if ({e} < {count}u) "),
                false => String::new(),
            };
            let at = |j: usize| format!("{element}(at{set}_{j}, step)");
            let _ = writeln!(
                each,
                "    {guard}{{
      let k = {k};
      let step = depth_step(k0 + k);
      right[k * {quads}u + {q}] = vec4<f32>({}, {}, {}, {});
    }}",
                at(0),
                at(1),
                at(2),
                at(3)
            );
        }
        (once, each)
    }

    /// Loads of sets of four, as many as the tile has, each by one invocation.
    fn for_each_quad(&self, text: &mut String, count: usize, body: impl Fn(&mut String, &str)) {
        let threads = self.p.tile.threads();
        for n in 0..count.div_ceil(threads) {
            let e = format!("(local + {}u)", n * threads);
            let guard = match (n + 1) * threads > count {
                true => format!("if ({e} < {count}u) "),
                false => String::new(),
            };
            let _ = write!(text, "    {guard}{{ ");
            body(text, &e);
            text.push_str("    }\n");
        }
    }

    /// Writes `column`, what is known of a column; `depth_step`, what is known of a step of depth;
    /// and the function of both that reads an element, whose name it returns.
    fn column_function(&mut self) -> String {
        match &self.inputs.columns {
            Columns::Taps(x, taps) => self.taps(x, taps),
            Columns::Plane(x) => self.plane(x),
            Columns::Matrix(x) => self.matrix(x),
        }
    }

    /// The image of column `n`, and its number there, as statements.
    fn split(&self) -> String {
        let columns = &self.columns;
        match self.p.is_merged {
            true => format!("let img = n / {columns}; let p = n % {columns};"),
            false => "let img = own; let p = n;".to_string(),
        }
    }

    fn taps(&mut self, x: &Operand, taps: &Taps) -> String {
        let reader = self.shader.reader(x);
        let [_, channels, height, width] = extents(&x.shape);
        let each = channels / self.p.products.max(1);
        let [channels, each] = [channels, each].map(|n| self.shader.param(n));
        let depth = &self.depth;
        let grid = (taps.grid[0] * taps.grid[1]).max(1);
        let wrapped = |n: isize| n as i32 as u32;
        let [[y_first, x_first], [y_step, x_step]] =
            [taps.first, taps.step].map(|both| both.map(wrapped));
        let text = format!(
            "
struct Column {{ base: u32, y: u32, x: u32 }}
struct Step {{ channel: u32, dy: u32, dx: u32, inside: bool }}
fn column(n: u32, own: u32, z: u32) -> Column {{
  {split}
  let q = p % {grid}u;
  return Column({base} + (p / {grid}u * {channels} + z * {each}) * {plane}u,
    q / {grid_width}u * {y_stride}u + {y_first}u, q % {grid_width}u * {x_stride}u + {x_first}u);
}}
fn depth_step(k: u32) -> Step {{
  let tap = k % {taps_all}u;
  return Step(k / {taps_all}u * {plane}u, tap / {taps_wide}u * {y_step}u, tap % {taps_wide}u * {x_step}u, k < {depth});
}}
fn element(at: Column, step: Step) -> f32 {{
  let y = at.y + step.dy;
  let x = at.x + step.dx;
  if (y >= {height}u || x >= {width}u || !step.inside) {{ return 0.0f; }}
  return {element};
}}
",
            split = self.split(),
            base = reader.base("img"),
            plane = height * width,
            grid_width = taps.grid[1].max(1),
            y_stride = taps.stride[0],
            x_stride = taps.stride[1],
            taps_all = (taps.count[0] * taps.count[1]).max(1),
            taps_wide = taps.count[1].max(1),
            element = reader.at(&format!("at.base + step.channel + y * {width}u + x")),
        );
        self.shader.write(&text);
        "element".to_string()
    }

    fn plane(&mut self, x: &Expression) -> String {
        let [_, channels, height, width] = extents(&x.shape);
        let each = channels / self.p.products.max(1);
        let [channels, each] = [channels, each].map(|n| self.shader.param(n));
        let plane = height * width;
        // The image is not needed where an operand alone is read.
        let (field, start, value, element);
        match (&x.leaves[..], &x.instructions[..]) {
            ([Leaf::Operand(operand)], []) => {
                let reader = self.shader.reader(operand);
                (field, start) = ("", reader.base("img"));
                value = String::new();
                element = reader.at("at.first + step.offset");
            }
            _ => {
                (field, start) = (", img: u32", "0u".to_string());
                value = ", img".to_string();
                element = format!(
                    "{}(at.img, at.first + step.offset)",
                    x.write(&mut self.shader)
                );
            }
        }
        let depth = &self.depth;
        let text = format!(
            "
struct Column {{ first: u32{field} }}
struct Step {{ offset: u32, inside: bool }}
fn column(n: u32, own: u32, z: u32) -> Column {{
  {split}
  return Column({start} + (p / {plane}u * {channels} + z * {each}) * {plane}u + p % {plane}u{value});
}}
fn depth_step(k: u32) -> Step {{ return Step(k * {plane}u, k < {depth}); }}
fn element(at: Column, step: Step) -> f32 {{
  if (!step.inside) {{ return 0.0f; }}
  return {element};
}}
",
            split = self.split(),
        );
        self.shader.write(&text);
        "element".to_string()
    }

    fn matrix(&mut self, x: &Operand) -> String {
        let reader = self.shader.reader(x);
        let stride = x.strides.last().copied().unwrap_or(0);
        let first = x.without_last(1).offset("r");
        let (depth, columns) = (&self.depth, &self.columns);
        let text = format!(
            "
struct Column {{ first: u32 }}
struct Step {{ offset: u32, inside: bool }}
fn column(n: u32, own: u32, z: u32) -> Column {{
  {split}
  let r = z * {columns} + p;
  return Column({base} + {first});
}}
fn depth_step(k: u32) -> Step {{ return Step(k * {stride}u, k < {depth}); }}
fn element(at: Column, step: Step) -> f32 {{
  if (!step.inside) {{ return 0.0f; }}
  return {element};
}}
",
            split = self.split(),
            base = reader.base("img"),
            element = reader.at("at.first + step.offset"),
        );
        self.shader.write(&text);
        "element".to_string()
    }

    /// The accumulators of an invocation, set to zero, and the step of depth `k` in registers.
    fn block(&self) -> (String, String) {
        let tile = self.p.tile;
        let (row_quads, column_quads) = (tile.block.0 / 4, tile.block.1 / 4);
        let (mut zero, mut text) = (String::new(), String::new());
        let apart = |extent: usize, block: usize| extent / block;
        for i in 0..row_quads {
            let _ = writeln!(
                text,
                "      let a{i} = left[k * {}u + {}u + ty];",
                tile.rows / 4,
                i * apart(tile.rows, tile.block.0)
            );
        }
        for j in 0..column_quads {
            let _ = writeln!(
                text,
                "      let b{j} = right[k * {}u + {}u + tx];",
                tile.columns / 4,
                j * apart(tile.columns, tile.block.1)
            );
        }
        for row in 0..tile.block.0 {
            for j in 0..column_quads {
                let _ = writeln!(zero, "  var c{row}_{j} = vec4<f32>();");
                let lane = ["x", "y", "z", "w"][row % 4];
                let _ = writeln!(
                    text,
                    "      c{row}_{j} = fma(vec4<f32>(a{}.{lane}), b{j}, c{row}_{j});",
                    row / 4
                );
            }
        }
        (zero, text)
    }

    /// The stores of an invocation's results.
    fn store(&mut self, then: &[Expression], output: Place) -> String {
        let tile = self.p.tile;
        let functions: Vec<String> = then.iter().map(|e| e.write(&mut self.shader)).collect();
        let mut value = "x".to_string();
        for function in functions {
            value = format!("{function}(img, i, {value})");
        }
        let stored = word(super::result_type(then), &value);
        let to = self.shader.place(output);
        let (position, row_step) = self.position();
        let split = self.split();
        // Where a column of the result begins, and one element of it.
        self.shader.write(&format!(
            "
struct Target {{ img: u32, first: u32 }}
fn target_of(n: u32, own: u32, z: u32) -> Target {{
  {split}
  return Target(img, {position});
}}
fn put(to: Target, m: u32, x: f32) {{
  let img = to.img;
  let i = to.first + m * {row_step};
  arena[{to} + i] = {stored};
}}
"
        ));
        stores(tile)
    }

    /// Where column `p` of product `z` begins in the result, and the distance of its rows.
    fn position(&mut self) -> (String, String) {
        let rows = self.rows.clone();
        let columns = &self.columns;
        if let Columns::Matrix(_) = self.inputs.columns {
            return (format!("(z * {columns} + p) * {rows}"), "1u".to_string());
        }
        let [_, channels, height, width] = extents(&self.p.shape);
        let channels = self.shader.param(channels);
        let plane = height * width;
        let (grid, at) = match &self.inputs.columns {
            Columns::Taps(_, taps) if taps.out_stride != [1, 1] || taps.grid != [height, width] => {
                let [rows_wide, grid_wide] = [width, taps.grid[1].max(1)];
                let grid = (taps.grid[0] * taps.grid[1]).max(1);
                let q = format!("(p % {grid}u)");
                let at = format!(
                    "({q} / {grid_wide}u * {}u + {}u) * {rows_wide}u + {q} % {grid_wide}u * {}u + {}u",
                    taps.out_stride[0], taps.out_first[0], taps.out_stride[1], taps.out_first[1]
                );
                (grid, at)
            }
            _ => (plane.max(1), format!("p % {}u", plane.max(1))),
        };
        let first = format!("(p / {grid}u * {channels} + z * {rows}) * {plane}u + {at}");
        (first, format!("{plane}u"))
    }
}

/// The column of a tile that entry `j` of a block is, without the part of the invocation.
fn column_of(tile: Tile, j: usize) -> usize {
    j / 4 * (tile.columns / tile.block.1) * 4 + j % 4
}

/// As [`column_of`], of rows.
fn row_of(tile: Tile, i: usize) -> usize {
    i / 4 * (tile.rows / tile.block.0) * 4 + i % 4
}

/// A block row by row. The rows are a loop, so that the text of the expressions is there once for
/// each column, not for each element, which compilers take long for; and a row is taken from its
/// registers by a branch that all invocations take alike, since an index would move them to memory.
fn stores(tile: Tile) -> String {
    let (rows, columns) = tile.block;
    let quads = columns / 4;
    let mut text = String::new();
    for j in 0..columns {
        let column = column_of(tile, j);
        let _ = writeln!(
            text,
            "  let n{j} = first_column + {column}u + tx * 4u;
  let to{j} = target_of(min(n{j}, columns - 1u), own_image, z);"
        );
    }
    let take = |row: usize| {
        let take = |j| format!("row_{j} = c{row}_{j}; ");
        (0..quads).map(take).collect::<String>()
    };
    let names: String = (0..quads)
        .map(|j| format!("var row_{j}: vec4<f32>; "))
        .collect();
    let cases: String = (1..rows)
        .map(|row| format!("      case {row}u: {{ {}}}\n", take(row)))
        .collect();
    let _ = write!(
        text,
        "  for (var i = 0u; i < {rows}u; i++) {{
    let m = first_row + i / 4u * {run}u + i % 4u + ty * 4u;
    if (m >= rows) {{ break; }}
    {names}
    switch i {{
{cases}      default: {{ {first}}}
    }}
",
        run = row_of(tile, 4),
        first = take(0),
    );
    for j in 0..columns {
        let lane = ["x", "y", "z", "w"][j % 4];
        let quad = j / 4;
        let _ = writeln!(
            text,
            "    if (n{j} < columns) {{ put(to{j}, m, row_{quad}.{lane}); }}"
        );
    }
    text.push_str("  }\n");
    text
}

/// Four extents of an image; missing spatial axes count as one.
fn extents(shape: &[usize]) -> [usize; 4] {
    let at = |axis: usize| shape.get(axis).copied().unwrap_or(1);
    match shape.len() {
        3 => [at(0), at(1), 1, at(2)],
        _ => [at(0), at(1), at(2), at(3)],
    }
}
