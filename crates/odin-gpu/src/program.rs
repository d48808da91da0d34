//! The program that an engine has made of a graph, for people to read.

/// One step: operators that are fused to one compute shader.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProgramStep {
    /// The operators in order, such as `batchnormalization relu > conv 1x1 > add`.
    pub what: String,
    /// The layer of the model that it comes from, as its file names it; empty if the file has no
    /// names.
    pub origin: String,
    /// The shape of the result for one image, without the batch axis.
    pub shape: Vec<usize>,
    /// Floating-point operations for one image: a multiply-add counts as two. Only matrix products
    /// and convolutions are counted. Steps that compute parts of one result share them evenly, as
    /// they do what follows.
    pub flops: u64,
    /// Bytes read and written for one image, each value once, whatever caches make of it.
    pub bytes: u64,
    /// Bytes of weights, read once for all images of a batch.
    pub weight_bytes: u64,
    /// Which of the shaders it runs, counted from 0 in the order of their first use.
    pub shader: usize,
}

/// A program and its cost.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Program {
    /// The steps, in the order of execution.
    pub steps: Vec<ProgramStep>,
    /// The number of different shaders.
    pub shaders: usize,
    /// Bytes on the device for the values of one image.
    pub image_bytes: u64,
    /// Bytes on the device for weights and parameters.
    pub weight_bytes: u64,
    /// Bytes that are downloaded of one image.
    pub output_bytes: u64,
    /// The most images at a time that the device's limits allow.
    pub images_at_a_time: usize,
}
