//! Transposed convolutions, in the form that runtimes execute fastest.

use super::encoder::Encoder;
use super::form::Form;
use super::weights::equivalent_window;
use odin_graph::ValueId;
use odin_graph::op::{ConvTranspose, Window};

impl Encoder<'_> {
    /// A transposed convolution of stride 1 becomes a convolution with flipped, transposed weights,
    /// which runtimes compute faster; any other stays as it is.
    pub(super) fn conv_transpose(
        &mut self,
        value: ValueId,
        form: Form,
        conv: &ConvTranspose,
        name: &str,
    ) -> Form {
        match equivalent_window(conv) {
            Some(window) => {
                let form = form.replace_input(1, |w| self.turned(value, w, conv, name));
                form.operator("Conv")
                    .window(&window)
                    .int("group", conv.groups as i64)
            }
            None => {
                let (window, output_padding) = with_equal_pads(conv)
                    .unwrap_or_else(|| (conv.window.clone(), conv.output_padding.clone()));
                form.window(&window)
                    .ints("output_padding", output_padding)
                    .int("group", conv.groups as i64)
            }
        }
    }

    /// The weights `[C, M/groups, kernel...]` of a transposed convolution as those
    /// `[M, C/groups, kernel...]` of the convolution that it equals: reversed along every
    /// spatial axis, inputs and outputs exchanged in each group.
    fn turned(&mut self, value: ValueId, w: String, conv: &ConvTranspose, name: &str) -> String {
        let mut w = w;
        for (axis, &extent) in conv.window.kernel.iter().enumerate() {
            if extent > 1 {
                let backwards: Vec<i64> = (0..extent as i64).rev().collect();
                let order = self.integers(&backwards, &format!("backwards/{extent}"));
                let gather = Form::new("Gather").input(w).input(order);
                let gather = gather.int("axis", axis as i64 + 2);
                w = self.add(gather, &format!("{name}/Gather"));
            }
        }
        let operand = self.graph.node(value).operands[1];
        let shape = self.graph.shape(operand).at(1);
        let (inputs, outputs) = (shape[0] / conv.groups, shape[1]);
        if inputs == 1 && outputs == 1 {
            return w;
        }
        let spatial = 2..shape.len();
        if conv.groups == 1 {
            let exchange = [1, 0].into_iter().chain(spatial);
            let transpose = Form::new("Transpose").input(w).ints("perm", exchange);
            return self.add(transpose, &format!("{name}/Transpose"));
        }
        let extents = |first: &[usize]| -> Vec<i64> {
            let all = first.iter().chain(&conv.window.kernel);
            all.map(|&extent| extent as i64).collect()
        };
        let apart = extents(&[conv.groups, inputs, outputs]);
        let joined = extents(&[conv.groups * outputs, inputs]);
        let apart = self.integers(&apart, &format!("{name}/groups"));
        let joined = self.integers(&joined, &format!("{name}/channels"));
        let exchange = [0, 2, 1].into_iter().chain(3..shape.len() + 1);
        let w = Form::new("Reshape").input(w).input(apart);
        let w = self.add(w, &format!("{name}/Reshape"));
        let w = Form::new("Transpose").input(w).ints("perm", exchange);
        let w = self.add(w, &format!("{name}/Transpose"));
        let w = Form::new("Reshape").input(w).input(joined);
        self.add(w, &format!("{name}/Reshape"))
    }
}

/// The same with as much padding at the end as at the beginning, where the output padding can make
/// up for the difference: cutting off less is appending more. ONNX Runtime's CUDA provider leaves
/// unequal pads to the CPU.
fn with_equal_pads(conv: &ConvTranspose) -> Option<(Window, Vec<usize>)> {
    let mut window = conv.window.clone();
    let pads = window.pads_begin.iter().zip(&window.pads_end);
    let output_padding = pads
        .zip(&conv.output_padding)
        .zip(&window.strides)
        .map(|(((begin, end), appended), stride)| {
            let appended = (appended + begin).checked_sub(*end)?;
            (appended < *stride).then_some(appended)
        })
        .collect::<Option<Vec<usize>>>()?;
    window.pads_end.clone_from(&window.pads_begin);
    Some((window, output_padding))
}
