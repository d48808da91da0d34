//! Which tensors of a checkpoint are the network: all of them, or those behind one beginning of their
//! names where others lie beside it, such as the weights of a loss in a Lightning checkpoint.

use super::net::{Params, common_prefix, mismatch};
use super::{Family, STEMS, recognise, unknown};
use crate::checkpoint::meant;
use crate::{Checkpoint, Error};
use odin_error::{first_shown, shown};

/// Beginnings of names that are tried.
const MAX_PREFIXES: usize = 64;

/// A network's weights.
pub(super) struct Part<'a> {
    pub(super) params: Params<'a>,
    pub(super) family: &'static Family,
    /// Which weights were taken, where there are others.
    pub(super) notices: Vec<String>,
}

/// The network in a checkpoint.
pub(super) fn choose(checkpoint: &Checkpoint) -> Result<Part<'_>, Error> {
    let (prefix, family) = match &checkpoint.part {
        Some(wanted) => asked_for(checkpoint, wanted)?,
        None => only_one(checkpoint)?,
    };
    let aside = beside(checkpoint, prefix);
    let mut notices: Vec<String> = of_keys(checkpoint).into_iter().collect();
    if !aside.is_empty() {
        notices.push(format!(
            "the network is what lies under `{}`; left aside: {}",
            shown(title(prefix)),
            listed(&aside)
        ));
    }
    Ok(Part {
        params: Params::new(checkpoint, prefix),
        family,
        notices,
    })
}

type Choice<'a> = (&'a str, &'static Family);

fn only_one(checkpoint: &Checkpoint) -> Result<Choice<'_>, Error> {
    let common = common_prefix(checkpoint);
    if let Some(family) = recognise(&Params::new(checkpoint, common)) {
        return Ok((common, family));
    }
    let (prefix, family) = match choices(checkpoint)[..] {
        [] => return Err(unknown(checkpoint)),
        [only] => only,
        [(first, _), (second, _), ..] => {
            return Err(mismatch(format!(
                "several networks, under `{}` and `{}`; say which `weights` are meant",
                shown(title(first)),
                shown(title(second))
            )));
        }
    };
    // A vector may weigh the classes of a loss or be a count; what has more axes may be a layer.
    let layers = beside(checkpoint, prefix).into_iter();
    let layers: Vec<&str> = layers
        .filter(|name| checkpoint.get(name).is_some_and(|t| t.shape().len() > 1))
        .collect();
    match layers.is_empty() {
        true => Ok((prefix, family)),
        false => Err(mismatch(format!(
            "beside the network under `{prefix}` lie tensors that may be layers of it: {}; if they \
             are not, ask for the `weights` `{prefix}`",
            listed(&layers),
            prefix = shown(title(prefix)),
        ))),
    }
}

fn asked_for<'a>(checkpoint: &'a Checkpoint, wanted: &str) -> Result<Choice<'a>, Error> {
    let choices = choices(checkpoint);
    let names = choices.iter().map(|(prefix, _)| title(prefix).to_owned());
    let mut names: Vec<String> = names.collect();
    match meant(wanted, &names)[..] {
        [one] => Ok(choices[one]),
        [_, _, ..] => Err(mismatch(format!(
            "the weights `{}` may be any of {:?}; give the whole name",
            shown(wanted),
            first_shown(names.iter().map(String::as_str))
        ))),
        [] => {
            names.extend(checkpoint.key.clone());
            names.extend(checkpoint.others.iter().cloned());
            names.retain(|name| !name.is_empty());
            Err(mismatch(match names.is_empty() {
                true => format!(
                    "there are no weights `{}`: the file holds those of one network",
                    shown(wanted)
                ),
                false => format!(
                    "there are no weights `{}`; the file has {:?}",
                    shown(wanted),
                    first_shown(names.iter().map(String::as_str))
                ),
            }))
        }
    }
}

/// What is in front of a first convolution and begins the names of a known network.
fn choices(checkpoint: &Checkpoint) -> Vec<Choice<'_>> {
    let names = checkpoint.tensors().map(|(name, _)| name);
    let fronts = names.flat_map(|name| STEMS.iter().filter_map(|stem| name.strip_suffix(stem)));
    let mut fronts: Vec<&str> = fronts
        .filter(|front| front.is_empty() || front.ends_with('.'))
        .collect();
    // Blocks have such convolutions as well, and lie deeper.
    fronts.sort_unstable_by_key(|front| (front.matches('.').count(), *front));
    fronts.dedup();
    let tried = fronts.into_iter().take(MAX_PREFIXES);
    let known = tried.filter_map(|front| {
        let family = recognise(&Params::new(checkpoint, front))?;
        Some((front, family))
    });
    known.collect()
}

/// The names that do not begin like this.
fn beside<'a>(checkpoint: &'a Checkpoint, prefix: &str) -> Vec<&'a str> {
    let names = checkpoint.tensors().map(|(name, _)| name);
    names.filter(|name| !name.starts_with(prefix)).collect()
}

/// A note where the file has other weights under another key.
fn of_keys(checkpoint: &Checkpoint) -> Option<String> {
    let others = first_shown(checkpoint.others.iter().map(String::as_str));
    let first = others.first()?;
    Some(format!(
        "the weights are those under `{}`; there are others under {others:?}, which `weights` set \
         to {first:?} takes",
        shown(checkpoint.key.as_deref().unwrap_or_default())
    ))
}

fn title(prefix: &str) -> &str {
    prefix.trim_end_matches('.')
}

fn listed(names: &[&str]) -> String {
    let first = names
        .iter()
        .take(5)
        .map(|name| format!("`{}`", shown(name)));
    let first = first.collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=5 => first,
        n => format!("{first} and {} more", n - 5),
    }
}
