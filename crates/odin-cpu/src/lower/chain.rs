//! Chains of elementwise operators on values of the graph: what becomes an epilogue or a prologue.

use crate::kernels::epilogue::Activation;
use odin_graph::ValueId;

/// As [`crate::kernels::epilogue::Epilogue`], of values of the graph. A mask is named by the
/// comparison whose result it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain {
    pub(crate) scale: Option<Vec<f32>>,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) mask: Option<ValueId>,
    pub(crate) addend: Option<ValueId>,
    pub(crate) activation: Activation<ValueId>,
    /// The comparison whose result is saved as sign bits.
    pub(crate) saved_signs: Option<ValueId>,
}

/// One operator of a chain.
pub(super) enum Link {
    /// Scale and shift, per channel.
    Affine(Vec<f32>, Vec<f32>),
    Add(ValueId),
    Mask(ValueId),
    /// A mask that holds of the value before already.
    Masked,
    /// With the comparison that reads the signs of the result, if there is one.
    Relu(Option<ValueId>),
    /// With its bounds, and the comparison that names its sign bits, if they are read.
    Clip([f32; 2], Option<ValueId>),
}

impl Chain {
    /// Appends an operator; `false` if the fixed order of an epilogue does not allow it.
    pub(super) fn push(&mut self, link: &Link) -> bool {
        let open = self.activation == Activation::None;
        match link {
            Link::Affine(scale, bias) => {
                let keeps_zero = self.mask.is_none() || bias.iter().all(|&b| b == 0.0);
                if !open || self.addend.is_some() || !keeps_zero || self.scale.is_some() {
                    return false;
                }
                let earlier = self.bias.take();
                let shifted = |c: usize| match &earlier {
                    Some(earlier) => earlier[c] * scale[c] + bias[c],
                    None => bias[c],
                };
                self.bias = Some((0..scale.len()).map(shifted).collect());
                self.scale = Some(scale.clone());
            }
            Link::Add(value) => {
                if !open || self.addend.is_some() {
                    return false;
                }
                self.addend = Some(*value);
            }
            Link::Mask(mask) => match (self.mask, self.addend, open) {
                (_, _, false) => return false,
                (None, None, true) => self.mask = Some(*mask),
                _ => self.activation = Activation::Mask(*mask),
            },
            Link::Masked => {}
            Link::Relu(saved_signs) => {
                if !open {
                    return false;
                }
                self.activation = Activation::Relu;
                self.saved_signs = *saved_signs;
            }
            Link::Clip(bounds, saved_signs) => {
                if !open {
                    return false;
                }
                self.activation = Activation::Clip(*bounds);
                self.saved_signs = *saved_signs;
            }
        }
        true
    }

    /// Whether it is the identity.
    pub(crate) fn is_empty(&self) -> bool {
        let affine = self.scale.is_some() || self.bias.is_some();
        let active = self.activation != Activation::None || self.saved_signs.is_some();
        !affine && self.is_unary() && !active
    }

    /// Whether it has no operand but the value that it is applied to.
    pub(super) fn is_unary(&self) -> bool {
        self.operands().next().is_none()
    }

    /// The further values that it reads, in the order in which kernels number them.
    pub(crate) fn operands(&self) -> impl Iterator<Item = ValueId> + use<> {
        let mask = match self.activation {
            Activation::Mask(mask) => Some(mask),
            _ => None,
        };
        [self.mask, self.addend, mask].into_iter().flatten()
    }
}
