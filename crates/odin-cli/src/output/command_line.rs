//! The command line as a shell takes it, for reports that say how to repeat them, and options of a
//! command as the next one takes them.

use crate::args::{DeviceOptions, FIT_IMAGES, NetworkOptions, RunOptions, ScoreOptions};
use std::ffi::OsString;
use std::fmt::Display;

/// `odin` and its arguments, those in quotes that a shell would change.
pub(crate) fn command_line(arguments: &[OsString]) -> String {
    let arguments = arguments.iter().skip(1);
    let quoted = arguments.map(|argument| quoted(&argument.to_string_lossy()));
    std::iter::once("odin".to_string())
        .chain(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

/// An option with its value, and a space before it.
pub(crate) fn option(name: &str, value: impl Display) -> String {
    let value = quoted(&value.to_string());
    // Else it would be taken for an option itself.
    let separator = if value.starts_with('-') { '=' } else { ' ' };
    format!(" {name}{separator}{value}")
}

/// The options that say how the network and images are read, and where it runs, as they were given.
pub(crate) fn kept_options(run: &RunOptions) -> String {
    let transform = run
        .transform
        .as_ref()
        .map(|t| option("--transform", t.notation()));
    let skip_bad = run.skip_bad.then(|| " --skip-bad".to_string());
    let of_images = transform.into_iter().chain(skip_bad);
    let of_device = device_options(&run.compute.device).into_iter();
    let of_network = network_options(&run.network).into_iter();
    of_images.chain(of_device).chain(of_network).collect()
}

/// The options that say what scores are fitted to, as they were given.
pub(crate) fn fit_options(scores: &ScoreOptions) -> String {
    let set = scores.fit_on.as_ref().map(|name| option("--fit-on", name));
    let count = scores.fit_images;
    let count = (count != FIT_IMAGES).then(|| option("--fit-images", count));
    set.into_iter().chain(count).collect()
}

fn device_options(device: &DeviceOptions) -> Vec<String> {
    let named = device.device != odin::Device::default() && device.gpu.is_none();
    let library = device.onnxruntime.as_ref();
    let engines = device.engine_cache.as_ref();
    let options = [
        named.then(|| option("--device", device.device)),
        device.gpu.map(|gpu| option("--gpu", gpu)),
        library.map(|path| option("--onnxruntime", path.display())),
        engines.map(|path| option("--engine-cache", path.display())),
    ];
    options.into_iter().flatten().collect()
}

fn network_options(network: &NetworkOptions) -> Vec<String> {
    let list = |name: &str, values: &[f32]| {
        let values: Vec<String> = values.iter().map(f32::to_string).collect();
        (!values.is_empty()).then(|| option(name, values.join(",")))
    };
    let config = network.model_config.as_ref();
    let registry = &network.registry;
    let data_dir = Some(&registry.data_dir).filter(|dir| dir.as_os_str() != "data");
    let options = [
        config.map(|path| option("--model-config", path.display())),
        list("--mean", &network.mean),
        list("--std", &network.std),
        network.scale.map(|scale| option("--scale", scale)),
        network.channels.map(|order| option("--channels", order)),
        network.image_size.map(|size| option("--image-size", size)),
        network.layout.map(|layout| option("--layout", layout)),
        network.output.as_ref().map(|name| option("--output", name)),
        network
            .weights
            .as_ref()
            .map(|name| option("--weights", name)),
        network.multi_label.map(|is| format!(" --multi-label={is}")),
        data_dir.map(|dir| option("--data-dir", dir.display())),
    ];
    let files = registry.files.iter();
    let files = files.map(|file| option("--registry", file.display()));
    options.into_iter().flatten().chain(files).collect()
}

fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match !argument.is_empty() && argument.chars().all(is_plain) {
        true => argument.to_string(),
        false => format!("'{}'", argument.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_change_is_quoted() {
        let arguments = [
            "x",
            "eval",
            "--nn=a.pth",
            "my set/",
            "it's",
            "",
            "$(rm)",
            "é",
        ];
        let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
        let expected = r"odin eval --nn=a.pth 'my set/' 'it'\''s' '' '$(rm)' 'é'";
        assert_eq!(command_line(&arguments), expected);
    }
}
