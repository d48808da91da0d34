//! The bytes of a summary.
//!
//! | bytes | what |
//! |---|---|
//! | 7 | `ODIN-TS` |
//! | 1 | version: 3 |
//! | LEB128, and for each 1 and its length | the methods that it is made for, by name, in the order of [`Method::ALL`](crate::Method::ALL) |
//! | 32 | the network |
//! | 1 | labels: 0 without images, 1 without labels, 2 with labels |
//! | 3 LEB128 | classes C, features D, images n |
//! | C LEB128 | images that are predicted to be of each class |
//! | C LEB128 | with labels: images of each class |
//! | LEB128 | 1 more than how many features of all images are negative; 0 where that is not known |
//! | LEB128 | to how many images at most scores are fitted that need single images, K |
//!
//! Then what is kept, in this order, numbers in little-endian order:
//!
//! | what | bytes |
//! |---|---|
//! | sums of the softmax of each class that is predicted | C f64 each |
//! | the sum of the features | D f64 |
//! | the sum of the features of each class that has an image | D f64 each |
//! | products about the means of the classes, on and below the diagonal, row by row | D (D + 1) / 2 f64 |
//! | the same sums and products of the features divided by their norm | as those |
//! | how many images of each class are classified correctly | C LEB128 |
//! | the sum of the features of those, of each class that has one | D f64 each |
//! | with labels: the number of rows of the logit of the label and all logits, and those rows, in their order | LEB128, and C + 1 f32 each |
//! | the number of draws of features, and for each, the seeds rising: | LEB128 |
//! | the seed, how many are drawn at most | 2 LEB128 |
//! | the share that is drawn | f64 |
//! | the number of rows of the largest logit and the features, and those rows, in their order | LEB128, and D + 1 f32 each |
//! | for ViM, of more than K images: the sum of the features, and products about their mean as above | D (D + 3) / 2 f64 |
//! | whether activations are rounded to 16 binary digits | 1 |
//! | the number of different activations, and for each its ordered bits less those before it, and its count | LEB128 |
//!
//! Where a method needs them, the feature maps follow:
//!
//! | what | bytes |
//! |---|---|
//! | the number of images whose maps are in it | LEB128 |
//! | their activations, rounded to 12 binary digits, as those above | LEB128 |
//!
//! and AdaSCALE's shifts:
//!
//! | what | bytes |
//! |---|---|
//! | o, ε, k₁, k₂, λ | f64 each |
//! | the number of images whose shifts are known, and of those that are kept | 2 LEB128 |
//! | a hash of the image's features, rising, and the shift | u64, f64 each |
//!
//! and the Gaussians of classes, of each class that has an image:
//!
//! | what | bytes |
//! |---|---|
//! | the sum of its features, and products about its mean as above | D (D + 3) / 2 f64 |
//!
//! Versions 1 and 2 are read. They had the rows and shifts of all images, the latter rising and without
//! hashes; no K, no number of rows, no draws, no products for ViM, and nothing of activations where there
//! were rows of features. Version 1 did not say how many features are negative, and version 2 only where
//! features were read, without 1 more.

use nalgebra::DMatrix;

use super::sample::{compare, mixed};
use super::{
    Draw, Keeps, Levels, MAX_COUNT, Moments, Patterns, Sample, Shifts, TrainingSummary, coarse,
    levels::from_ordered_bits,
};
use crate::activation_shift::ActivationShift;
use crate::error::{Error, ErrorKind};
use crate::method::Method;

const MAGIC: &[u8; 7] = b"ODIN-TS";
/// What is written. Before version 2 it was not known how many features are negative, and before version
/// 3 the rows of all images were kept.
const VERSION: u8 = 3;

impl TrainingSummary {
    /// The summary as bytes, which [`from_bytes`](Self::from_bytes) reads on any machine. Those of
    /// what is kept of single images, and of counts, do not depend on the order of the images.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        write_number(&mut bytes, self.methods.len() as u64);
        for method in &self.methods {
            bytes.push(method.name().len() as u8);
            bytes.extend(method.name().as_bytes());
        }
        bytes.extend(self.network);
        bytes.push(match self.labelled {
            None => 0,
            Some(labelled) => 1 + u8::from(labelled),
        });
        let by_label = self.class_images.iter().filter(|_| self.has_labels());
        let numbers = [self.classes as u64, self.features as u64, self.images];
        let counts = self.predicted_images.iter().chain(by_label);
        for &number in numbers.iter().chain(counts) {
            write_number(&mut bytes, number);
        }
        write_number(&mut bytes, self.negative.map_or(0, |negative| negative + 1));
        write_number(&mut bytes, self.kept_images);
        self.write_sums(&mut bytes);
        self.write_images(&mut bytes);
        bytes
    }

    fn write_sums(&self, bytes: &mut Vec<u8>) {
        let typical = self.typical.iter().flatten();
        write_doubles(bytes, typical.chain(&self.sum));
        for moments in [&self.moments, &self.unit_moments].into_iter().flatten() {
            write_moments(bytes, moments);
        }
        for &images in self.patterns.images() {
            write_number(bytes, images);
        }
        write_doubles(bytes, self.patterns.sums().iter().flatten());
    }

    fn write_images(&self, bytes: &mut Vec<u8>) {
        if self.keeps.has(Keeps::LOGITS) && self.has_labels() {
            write_sample(bytes, &self.logits);
        }
        if self.keeps.has(Keeps::FEATURES) && self.features > 0 {
            self.write_rows(bytes);
        }
        if self.keeps.has(Keeps::ACTIVATIONS) {
            let levels = self.levels.settled();
            bytes.push(levels.is_coarse().into());
            write_levels(bytes, &levels);
        }
        if self.keeps.has(Keeps::MAP_ACTIVATIONS) {
            write_number(bytes, self.mapped_images);
            write_levels(bytes, &self.map_levels.settled());
        }
        if self.keeps.has(Keeps::SHIFTS) {
            let numbers = self.activation_shift.numbers();
            numbers.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
            let shifts = self.shifts.kept();
            write_number(bytes, self.shifts.images());
            write_number(bytes, shifts.len() as u64);
            for value in shifts.into_iter().flat_map(|(hash, shift)| [hash, shift]) {
                bytes.extend(value.to_le_bytes());
            }
        }
        for (_, moments) in self.class_moments.iter() {
            write_moments(bytes, moments);
        }
    }

    fn write_rows(&self, bytes: &mut Vec<u8>) {
        write_number(bytes, self.rows.samples().len() as u64);
        for sample in self.rows.samples() {
            let Draw { seed, most, share } = sample.draw();
            write_number(bytes, seed);
            write_number(bytes, most);
            bytes.extend(share.to_le_bytes());
            write_sample(bytes, sample);
        }
        if let Some(spread) = self.rows.spread() {
            write_moments(bytes, spread);
        }
    }

    /// The summary of these bytes. They are checked; memory is bounded by their number.
    ///
    /// # Errors
    /// [`ErrorKind::Summary`] when they are no summary of this version, end early or late, or hold
    /// what no images give: a number that is not finite, counts that do not add up, rows out of
    /// their order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader {
            bytes,
            offset: 0,
            version: VERSION,
        };
        let mut summary = reader.header()?;
        reader.counts(&mut summary)?;
        reader.typical(&mut summary)?;
        reader.sums(&mut summary)?;
        reader.patterns(&mut summary)?;
        reader.banks(&mut summary)?;
        reader.activations(&mut summary)?;
        reader.maps(&mut summary)?;
        reader.shifts(&mut summary)?;
        reader.classes(&mut summary)?;
        match reader.rest() {
            0 => Ok(summary),
            _ => Err(reader.error("the end after the last part", "more bytes")),
        }
    }
}

fn write_moments(bytes: &mut Vec<u8>, moments: &Moments) {
    write_doubles(bytes, moments.sums().iter().flatten());
    let products = moments.within();
    for row in 0..products.nrows() {
        write_doubles(bytes, products.view((row, 0), (1, row + 1)).iter());
    }
}

fn write_sample(bytes: &mut Vec<u8>, sample: &Sample) {
    let rows = sample.ordered();
    write_number(bytes, rows.len() as u64);
    for value in rows.into_iter().flatten() {
        bytes.extend(value.to_le_bytes());
    }
}

/// Of settled ones.
fn write_levels(bytes: &mut Vec<u8>, levels: &Levels) {
    write_number(bytes, levels.len() as u64);
    let mut before = 0;
    for (key, count) in levels.iter() {
        write_number(bytes, u64::from(key - before));
        write_number(bytes, count);
        before = key;
    }
}

/// Writes a number as LEB128: seven bits a byte, the lowest first, all bytes but the last with the
/// highest bit set.
fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn write_doubles<'a>(bytes: &mut Vec<u8>, values: impl Iterator<Item = &'a f64>) {
    bytes.extend(values.flat_map(|value| value.to_le_bytes()));
}

/// The largest sum of a feature that so many images can have.
fn largest_sum(images: u64) -> f64 {
    1.001 * images as f64 * f64::from(f32::MAX)
}

#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    version: u8,
}

impl<'a> Reader<'a> {
    /// What is kept, of no image yet.
    fn header(&mut self) -> Result<TrainingSummary, Error> {
        if self.take(MAGIC.len() as u64).ok() != Some(MAGIC) {
            self.offset = 0;
            return Err(self.error("a summary, which begins with ODIN-TS", "other bytes"));
        }
        let start = *self;
        self.version = self.byte()?;
        if !(1..=VERSION).contains(&self.version) {
            let found = format!("version {}", self.version);
            return Err(start.error("version 1, 2 or 3", &found));
        }
        let methods = self.methods()?;
        let start = *self;
        let network = self.take(32)?;
        let labels = self.byte()?;
        let (classes, features, images) = (self.number()?, self.number()?, self.number()?);
        // Each class has a count of a byte or more.
        let classes = self.size(classes, 1)?;
        let features = usize::try_from(features).ok();
        let keeps = Keeps::of_methods(&methods, features.unwrap_or_default());
        let features = features.filter(|features| keeps.features() || *features == 0);
        let labelled = match (labels, images) {
            (0, 0) => Some(None),
            (1, 1..) => Some(Some(false)),
            (2, 1..) => Some(Some(true)),
            _ => None,
        };
        let (Some(features), Some(labelled)) = (features, labelled) else {
            return Err(start.error("a summary that there can be", "another"));
        };
        for part in [Keeps::PRODUCTS, Keeps::UNIT_PRODUCTS] {
            // As many as are allocated.
            if keeps.has(part) {
                let triangle = features as u64 * (features as u64 + 1) / 2;
                self.size(triangle, 8)?;
            }
        }
        if keeps.has(Keeps::SUM) {
            self.size(features as u64, 8)?;
        }
        let mut summary = TrainingSummary::new(&methods, classes, features);
        summary.labelled = labelled;
        summary.images = summary.images_with(images)?;
        for (to, from) in summary.network.iter_mut().zip(network) {
            *to = *from;
        }
        Ok(summary)
    }

    fn methods(&mut self) -> Result<Vec<Method>, Error> {
        let start = *self;
        let mut methods = Vec::new();
        for _ in 0..self.number()? {
            let length = self.byte()?;
            let name = std::str::from_utf8(self.take(length.into())?).ok();
            let method = name.and_then(|name| name.parse().ok());
            let method = method.filter(|method| methods.last().is_none_or(|last| last < method));
            methods.extend(method);
            if method.is_none() {
                return Err(start.error("the names of scores in their order", "others"));
            }
        }
        Ok(methods)
    }

    fn counts(&mut self, summary: &mut TrainingSummary) -> Result<(), Error> {
        for predicted in &mut summary.predicted_images {
            *predicted = self.number()?;
        }
        if summary.has_labels() {
            for labelled in &mut summary.class_images {
                *labelled = self.number()?;
            }
        } else {
            summary.class_images.clone_from(&summary.predicted_images);
        }
        for counts in [&summary.predicted_images, &summary.class_images] {
            let sum = counts.iter().try_fold(0u64, |sum, &n| sum.checked_add(n));
            if sum != Some(summary.images) {
                return Err(self.error("as many images in all classes as there are", "others"));
            }
        }
        self.negative(summary)?;
        if self.version >= 3 {
            let start = *self;
            let kept_images = self.number()?;
            if kept_images == 0 {
                return Err(start.error("one kept image or more", "none"));
            }
            let summary_keeping = std::mem::replace(summary, TrainingSummary::new(&[], 0, 0));
            *summary = summary_keeping.keeping(kept_images, &[]);
        }
        Ok(())
    }

    fn negative(&mut self, summary: &mut TrainingSummary) -> Result<(), Error> {
        let start = *self;
        let read = summary.negative.is_some();
        summary.negative = match self.version {
            1 => None,
            2 if read => Some(self.number()?),
            2 => return Err(start.error("version 1, because no features are read", "version 2")),
            _ => self.number()?.checked_sub(1),
        };
        let most = summary.images * summary.features as u64;
        match summary.negative {
            Some(_) if !read => Err(start.error("0, because no features are read", "more")),
            Some(negative) if negative > most => {
                Err(start.error("as many negative features as there are, or fewer", "more"))
            }
            _ => Ok(()),
        }
    }

    fn typical(&mut self, summary: &mut TrainingSummary) -> Result<(), Error> {
        let length = summary.classes as u64;
        for (sums, &images) in summary.typical.iter_mut().zip(&summary.predicted_images) {
            if images == 0 {
                continue;
            }
            let start = *self;
            *sums = self.doubles(length, images as f64)?;
            let total: f64 = sums.iter().sum();
            let is_sum = (total - images as f64).abs() <= 1e-6 * images as f64;
            if !is_sum || sums.iter().any(|sum| *sum < 0.0) {
                return Err(start.error("sums of as many softmaxes as there are images", "others"));
            }
        }
        Ok(())
    }

    fn sums(&mut self, summary: &mut TrainingSummary) -> Result<(), Error> {
        if summary.keeps.has(Keeps::SUM) {
            let features = summary.features as u64;
            summary.sum = self.doubles(features, largest_sum(summary.images))?;
        }
        if summary.moments.is_some() {
            summary.moments = Some(self.moments(summary)?);
        }
        if summary.unit_moments.is_some() {
            summary.unit_moments = Some(self.moments(summary)?);
        }
        Ok(())
    }

    fn moments(&mut self, summary: &TrainingSummary) -> Result<Moments, Error> {
        let sums = self.class_sums(summary.features, &summary.class_images)?;
        let products = self.products(summary.features, 4.0 * largest_sum(summary.images))?;
        Ok(Moments::of(sums, products))
    }

    /// The sum of the features of each class; empty for one without an image.
    fn class_sums(&mut self, features: usize, images: &[u64]) -> Result<Vec<Vec<f64>>, Error> {
        let of_class = |&images: &u64| match images {
            0 => Ok(Vec::new()),
            _ => self.doubles(features as u64, largest_sum(images)),
        };
        images.iter().map(of_class).collect()
    }

    fn patterns(&mut self, summary: &mut TrainingSummary) -> Result<(), Error> {
        let start = *self;
        let counts = summary.patterns.images().iter().map(|_| self.number());
        let images = counts.collect::<Result<Vec<u64>, Error>>()?;
        let of_class = summary.class_images.iter().zip(&summary.predicted_images);
        if images.iter().zip(of_class).any(|(n, (a, b))| n > a.min(b)) {
            return Err(start.error(
                "as many correctly classified images as there can be",
                "more",
            ));
        }
        let sums = self.class_sums(summary.features, &images)?;
        summary.patterns = Patterns::of(sums, images);
        Ok(())
    }

    fn classes(&mut self, summary: &mut TrainingSummary) -> Result<(), Error> {
        if summary.class_moments.is_kept() {
            for (class, &images) in summary.class_images.iter().enumerate() {
                if images > 0 {
                    let sums = self.class_sums(summary.features, &[images])?;
                    let products = self.products(summary.features, 4.0 * largest_sum(images))?;
                    summary
                        .class_moments
                        .set(class, Moments::of(sums, products));
                }
            }
        }
        Ok(())
    }

    fn products(&mut self, features: usize, largest: f64) -> Result<DMatrix<f64>, Error> {
        let start = *self;
        let largest = largest * f64::from(f32::MAX);
        let triangle = features as u64 * (features as u64 + 1) / 2;
        let mut values = self.doubles(triangle, largest)?.into_iter();
        let mut products = DMatrix::zeros(features, features);
        for row in 0..features {
            for column in 0..=row {
                products[(row, column)] = values.next().unwrap_or_default();
            }
        }
        match products.diagonal().iter().any(|square| *square < 0.0) {
            true => Err(start.error("squares from 0", "others")),
            false => Ok(products),
        }
    }

    fn banks(&mut self, summary: &mut TrainingSummary) -> Result<(), Error> {
        let images = summary.images;
        if summary.keeps.has(Keeps::LOGITS) && summary.has_labels() {
            self.sample(&mut summary.logits, summary.classes, images)?;
        }
        if summary.keeps.has(Keeps::FEATURES) && summary.features > 0 {
            match self.version {
                1 | 2 => self.all_rows(summary)?,
                _ => self.rows(summary)?,
            }
        }
        Ok(())
    }

    /// Of a version that kept all rows, and counted no activations beside them.
    fn all_rows(&mut self, summary: &mut TrainingSummary) -> Result<(), Error> {
        let counts = summary.keeps.has(Keeps::ACTIVATIONS);
        let (rows, levels) = (&mut summary.rows, &mut summary.levels);
        self.bank(summary.features, summary.images, |first, features| {
            rows.push(first, features);
            if counts {
                levels.add(features);
            }
        })
    }

    fn rows(&mut self, summary: &mut TrainingSummary) -> Result<(), Error> {
        let (features, images) = (summary.features, summary.images);
        let start = *self;
        let count = self.number()?;
        // Each has a seed, two numbers and a share.
        let (count, mut draws, mut samples) = (self.size(count, 11)?, Vec::new(), Vec::new());
        for _ in 0..count {
            let (seed, most) = (self.number()?, self.number()?);
            let share = f64::from_le_bytes(self.eight()?);
            let draw = Draw { seed, most, share };
            let rises = draws.last().is_none_or(|last: &Draw| last.seed < seed);
            if !rises || most == 0 || !(share > 0.0 && share <= 1.0) {
                return Err(start.error("draws of rising seeds and shares up to 1", "others"));
            }
            let mut sample = Sample::new(draw, features + 1);
            self.sample(&mut sample, features, images)?;
            draws.push(draw);
            samples.push(sample);
        }
        summary.rows = summary.rows_of(summary.kept_images, &draws);
        summary.rows.set_samples(samples);
        if summary.rows.needs_spread() {
            let sums = self.class_sums(features, &[images])?;
            let products = self.products(features, 4.0 * largest_sum(images))?;
            summary.rows.set_spread(Moments::of(sums, products));
        }
        Ok(())
    }

    /// The rows that are drawn of so many, of `others` values and one before them.
    fn sample(&mut self, sample: &mut Sample, others: usize, images: u64) -> Result<(), Error> {
        let start = *self;
        let count = if self.version < 3 {
            images
        } else {
            self.number()?
        };
        self.bank(others, count, |first, others| sample.push(first, others))?;
        match self.version < 3 || sample.set_seen(images) {
            true => Ok(()),
            false => Err(start.error("as many rows as are drawn", "others")),
        }
    }

    /// `rows` of `others` values and one before them, which `take` is given.
    fn bank(
        &mut self,
        others: usize,
        rows: u64,
        mut take: impl FnMut(f32, &[f32]),
    ) -> Result<(), Error> {
        let width = (others as u64).saturating_add(1).saturating_mul(4);
        let start = *self;
        let bytes = self.take(width.saturating_mul(rows))?;
        let mut before: Vec<f32> = Vec::new();
        for row in bytes.chunks_exact(width as usize) {
            let (values, _) = row.as_chunks::<4>();
            let row: Vec<f32> = values.iter().map(|b| f32::from_le_bytes(*b)).collect();
            let rises = before.is_empty() || compare(&before, &row).is_le();
            if !rises || row.iter().any(|value| !value.is_finite()) {
                return Err(start.error("rows of finite numbers in their order", "others"));
            }
            take(row[0], &row[1..]);
            before = row;
        }
        Ok(())
    }

    fn activations(&mut self, summary: &mut TrainingSummary) -> Result<(), Error> {
        let in_rows = self.version < 3 && summary.keeps.has(Keeps::FEATURES);
        if !summary.keeps.has(Keeps::ACTIVATIONS) || in_rows {
            return Ok(());
        }
        let start = *self;
        let coarse = match self.version {
            1 | 2 => 0,
            _ => self.byte()?,
        };
        let can_be: fn(f32) -> bool = match coarse {
            0 => |_| true,
            _ => Levels::can_be_coarse,
        };
        let (levels, sum) = self.levels(coarse == 1, |value| value.is_finite() && can_be(value))?;
        let as_said = self.version < 3 || levels.is_coarse() == (coarse == 1);
        if coarse > 1 || !as_said {
            return Err(start.error("whether activations are rounded", "another number"));
        }
        if sum != u128::from(summary.images) * summary.features as u128 {
            return Err(self.error("as many activations as the images have", "others"));
        }
        summary.levels = levels;
        Ok(())
    }

    fn maps(&mut self, summary: &mut TrainingSummary) -> Result<(), Error> {
        if !summary.keeps.has(Keeps::MAP_ACTIVATIONS) {
            return Ok(());
        }
        let start = *self;
        let mapped = self.number()?;
        let is_coarse =
            |value: f32| value.is_finite() && coarse(value).to_bits() == value.to_bits();
        let (levels, sum) = self.levels(false, is_coarse)?;
        let of_images = match mapped {
            0 => sum == 0,
            _ => sum > 0 && sum.is_multiple_of(u128::from(mapped)),
        };
        if mapped > summary.images || sum > u128::from(MAX_COUNT) || !of_images {
            return Err(start.error("as many activations as the feature maps have", "others"));
        }
        (summary.map_levels, summary.mapped_images) = (levels, mapped);
        Ok(())
    }

    fn shifts(&mut self, summary: &mut TrainingSummary) -> Result<(), Error> {
        if !summary.keeps.has(Keeps::SHIFTS) {
            return Ok(());
        }
        let start = *self;
        let mut numbers = [0.0; ActivationShift::NUMBERS];
        for number in &mut numbers {
            *number = f64::from_le_bytes(self.eight()?);
        }
        summary.activation_shift = ActivationShift::from_numbers(numbers)
            .map_err(|_| start.error("parameters of AdaSCALE in their ranges", "others"))?;
        summary.shifts = match self.version {
            1 | 2 => self.all_shifts(summary)?,
            _ => self.drawn_shifts(summary)?,
        };
        Ok(())
    }

    /// Of a version that kept all, without hashes: they get some of their own, by which those of equal
    /// shifts differ.
    fn all_shifts(&mut self, summary: &TrainingSummary) -> Result<Shifts, Error> {
        let start = *self;
        let count = self.number()?;
        let shifts = self.doubles(count, f64::MAX)?;
        let rise = shifts.is_sorted() && shifts.iter().all(|shift| shift.is_sign_positive());
        if count > summary.images || !rise {
            return Err(start.error("rising shifts of the images", "others"));
        }
        let mut kept = summary.shifts.clone();
        for (place, shift) in (0..).zip(shifts) {
            kept.push(mixed(mixed(0, shift.to_bits()), place), shift);
        }
        Ok(kept)
    }

    fn drawn_shifts(&mut self, summary: &TrainingSummary) -> Result<Shifts, Error> {
        let start = *self;
        let (images, count) = (self.number()?, self.number()?);
        let length = self.size(count, 16)?;
        let mut values = Vec::with_capacity(length);
        for _ in 0..length {
            let hash = u64::from_le_bytes(self.eight()?);
            values.push((hash, u64::from_le_bytes(self.eight()?)));
        }
        let can_be = |&(_, bits): &(u64, u64)| {
            let shift = f64::from_bits(bits);
            shift.is_finite() && shift.is_sign_positive()
        };
        let drawn = count == images.min(summary.kept_images) && values.is_sorted();
        if images > summary.images || !drawn || !values.iter().all(can_be) {
            return Err(start.error("shifts of the images, by their hashes", "others"));
        }
        Ok(Shifts::of(summary.kept_images, images, values))
    }

    /// Levels of values that can be, and how many values there are.
    fn levels(
        &mut self,
        coarse: bool,
        can_be: impl Fn(f32) -> bool,
    ) -> Result<(Levels, u128), Error> {
        let length = self.number()?;
        // Each has a key and a count.
        let length = self.size(length, 2)?;
        let (mut keys, mut counts) = (Vec::with_capacity(length), Vec::with_capacity(length));
        let (mut before, mut sum) = (None, 0u128);
        for _ in 0..length {
            let start = *self;
            let (step, count) = (self.number()?, self.number()?);
            let key = u64::from(before.unwrap_or(0)).checked_add(step);
            let key = key.and_then(|key| u32::try_from(key).ok());
            let key = key.filter(|&key| {
                before.is_none_or(|before| before < key) && can_be(from_ordered_bits(key))
            });
            let (Some(key), 1..) = (key, count) else {
                return Err(start.error(
                    "a finite activation above the last, with a count",
                    "another",
                ));
            };
            keys.push(key);
            counts.push(count);
            (before, sum) = (Some(key), sum + u128::from(count));
        }
        Ok((Levels::of(keys, counts, coarse), sum))
    }

    /// So many numbers, each up to `largest` in magnitude.
    fn doubles(&mut self, count: u64, largest: f64) -> Result<Vec<f64>, Error> {
        let start = *self;
        let bytes = self.take(count.saturating_mul(8))?;
        let (values, _) = bytes.as_chunks::<8>();
        let values: Vec<f64> = values.iter().map(|b| f64::from_le_bytes(*b)).collect();
        match values.iter().all(|value| value.abs() <= largest) {
            true => Ok(values),
            false => Err(start.error("sums that the images can have", "others")),
        }
    }

    /// A number of things of so many bytes or more, of which there are still as many.
    fn size(&self, count: u64, bytes: u64) -> Result<usize, Error> {
        let there = count
            .checked_mul(bytes)
            .filter(|all| *all <= self.rest() as u64);
        match (there, usize::try_from(count)) {
            (Some(_), Ok(count)) => Ok(count),
            _ => Err(self.error(&format!("{count} entries"), "fewer bytes")),
        }
    }

    fn rest(&self) -> usize {
        self.bytes.len() - self.offset
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Error> {
        let count = self.size(count, 1)?;
        let taken = &self.bytes[self.offset..][..count];
        self.offset += count;
        Ok(taken)
    }

    fn eight(&mut self) -> Result<[u8; 8], Error> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    /// A number in the shortest form of LEB128.
    fn number(&mut self) -> Result<u64, Error> {
        let start = *self;
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            let overlong = byte == 0 && shift > 0;
            if overlong || (part << shift) >> shift != part {
                break;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(start.error("a number of up to 64 bits in its shortest form", "another"))
    }

    fn error(&self, expected: &str, found: &str) -> Error {
        Error::new(
            ErrorKind::Summary,
            format!(
                "the bytes of a summary have at offset {} {found}; expected {expected}: they are \
                 damaged, or were not written by this version",
                self.offset
            ),
        )
    }
}
