//! Compiles a checkpoint or ONNX file to a detector, at T = 1000 and ε = 0.0014:
//!
//!     cargo run --example compile -- MODEL MEAN STD INPUT DETECTOR.onnx
//!     cargo run --example compile -- net.pth 0.485,0.456,0.406 0.229,0.224,0.225 pixels-u8 net.odin.onnx

use odin::{Classifier, CompileOptions, Normalization, Setting, compile};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    run(&arguments)
}

pub(crate) fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [model, mean, std, input, detector] = arguments else {
        return Err("expected MODEL MEAN STD INPUT DETECTOR.onnx".into());
    };
    let normalization = Normalization::new(&numbers(mean)?, &numbers(std)?)?;
    let classifier = Classifier::open(model, normalization)?;
    let options = CompileOptions::default()
        .setting(Setting::new(1000.0, 0.0014)?)
        .input(input.parse()?);
    std::fs::write(detector, compile(&classifier, &options)?)?;
    Ok(())
}

fn numbers(list: &str) -> Result<Vec<f32>, std::num::ParseFloatError> {
    list.split(',').map(str::parse).collect()
}
