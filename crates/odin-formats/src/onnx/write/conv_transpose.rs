//! Transposed convolutions, in the form that runtimes execute fastest.

use super::encoder::Encoder;
use super::form::Form;
use super::weights::equivalent_window;
use odin_graph::ValueId;
use odin_graph::op::ConvTranspose;

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
            None => form
                .window(&conv.window)
                .ints("output_padding", conv.output_padding.iter().copied())
                .int("group", conv.groups as i64),
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
