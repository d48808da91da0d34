//! What networks gave for images, kept on disk: another run with other scores does without the
//! network.

use super::backend::Backend;
use crate::{Classifier, Error, ErrorKind, Precision};
use odin_scores::Needs;
use redb::{Database, DatabaseError, Durability, ReadableDatabase, TableDefinition};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The file in the folder of a cache.
const FILE: &str = "outputs.redb";
/// Bytes of the database that are held in memory.
const MEMORY: usize = 64 << 20;
/// So many batches are written before the disk is waited for: what a crash loses.
const BATCHES_IN_FLIGHT: usize = 32;

/// Keys are hashes, values `f32` in little-endian order.
const OUTPUTS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("outputs");

/// A cache of what networks gave for images: logits, features of the last linear layer, logits of
/// perturbed images, and what else scores read. A detector that is [built with it](crate::DetectorBuilder::cache) runs its
/// network only for images whose outputs are not there, and gives the same scores to the bit.
///
/// An output is found by the network (the hash of its file and its preprocessing), the engine and its precision, for
/// perturbed images temperature and magnitude, and the values of the network's input; so that no
/// change of a file, a transform or a setting is overlooked. The cache grows with every image; to
/// empty it, delete its folder. One process at a time uses it. A clone shares it.
#[derive(Debug, Clone)]
pub struct OutputCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    path: PathBuf,
    batches: AtomicUsize,
    found: AtomicUsize,
    computed: AtomicUsize,
}

/// An output of a network for an image, and the parameters that it depends on beside the image.
pub(super) type Kind<'a> = (&'a str, &'a [f32]);

/// The outputs of an image, one for each kind.
pub(super) type Outputs = Vec<Vec<f32>>;

/// The outputs of a batch, cut into those of each image.
pub(super) fn of_images(outputs: &[&[f32]], images: usize) -> Vec<Outputs> {
    let part = |values: &&[f32], i: usize| {
        let width = values.len() / images;
        values[i * width..][..width].to_vec()
    };
    let of_image = |i: usize| outputs.iter().map(|values| part(values, i)).collect();
    (0..images).map(of_image).collect()
}

/// What tells networks, engines and precisions apart. Other precisions than exact depend on the
/// instructions, too.
pub(super) fn network_key(
    classifier: &Classifier,
    engine: &Backend,
    precision: Precision,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(classifier.fingerprint());
    hash.update(engine.name());
    if precision != Precision::Exact {
        hash.update(precision.as_str());
        hash.update(engine.instructions().unwrap_or_default());
    }
    hash.finalize().into()
}

/// What features of shifted images depend on beside the image, to the bit.
pub(super) fn shift_key(needs: Needs) -> Vec<f32> {
    let of_number = |number: f64| {
        let bits = number.to_bits();
        [(bits >> 32) as u32, bits as u32].map(f32::from_bits)
    };
    let numbers = needs.shift.map(|shift| [shift.share, shift.step]);
    numbers.into_iter().flatten().flat_map(of_number).collect()
}

impl OutputCache {
    /// Opens the cache in a folder, which is made where it is not there.
    ///
    /// # Errors
    /// When the folder or its file cannot be made or read, the file is damaged or no cache, or
    /// another process uses it.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref();
        let path = folder.join(FILE);
        std::fs::create_dir_all(folder)
            .map_err(|e| Error::from_cause(ErrorKind::Io, e).about(folder.display()))?;
        let opened = Database::builder().set_cache_size(MEMORY).create(&path);
        let database = opened.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => Error::new(
                ErrorKind::Io,
                format!(
                    "{}: another process uses this cache; wait for it, or name another folder",
                    path.display()
                ),
            ),
            error => unusable(&path, error),
        })?;
        Ok(Self(Arc::new(Inner {
            database,
            path,
            batches: AtomicUsize::new(0),
            found: AtomicUsize::new(0),
            computed: AtomicUsize::new(0),
        })))
    }

    /// For how many images the network did not have to run since the cache was opened.
    pub fn found(&self) -> usize {
        self.0.found.load(Ordering::Relaxed)
    }

    /// For how many images it had to.
    pub fn computed(&self) -> usize {
        self.0.computed.load(Ordering::Relaxed)
    }

    /// For each input of a network, the outputs of these kinds: those that are there, and those that
    /// `compute` gives for the inputs that have none, which are kept.
    pub(super) fn outputs(
        &self,
        network: &[u8; 32],
        inputs: &[&[f32]],
        kinds: &[Kind<'_>],
        compute: impl FnOnce(&[f32], usize) -> Result<Vec<Outputs>, Error>,
    ) -> Result<Vec<Outputs>, Error> {
        let known = self.find(network, inputs, kinds)?;
        let unknown = inputs
            .iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none());
        let unknown: Vec<&[f32]> = unknown.map(|(input, _)| *input).collect();
        let computed = match unknown.len() {
            0 => Vec::new(),
            count => compute(&unknown.concat(), count)?,
        };
        self.keep(network, &unknown, kinds, &computed)?;
        let found = inputs.len() - unknown.len();
        self.0.found.fetch_add(found, Ordering::Relaxed);
        self.0.computed.fetch_add(unknown.len(), Ordering::Relaxed);
        let mut computed = computed.into_iter();
        let outputs = known
            .into_iter()
            .map(|known| known.or_else(|| computed.next()));
        Ok(outputs.flatten().collect())
    }

    fn find(
        &self,
        network: &[u8; 32],
        inputs: &[&[f32]],
        kinds: &[Kind<'_>],
    ) -> Result<Vec<Option<Outputs>>, Error> {
        let failed = |e: redb::Error| unusable(&self.0.path, e);
        let transaction = self.0.database.begin_read().map_err(|e| failed(e.into()))?;
        let table = match transaction.open_table(OUTPUTS) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(vec![None; inputs.len()]),
            Err(error) => return Err(failed(error.into())),
        };
        let find = |input: &&[f32]| {
            let image = image_hash(network, input);
            let mut outputs = Vec::with_capacity(kinds.len());
            for kind in kinds {
                let found = redb::ReadableTable::get(&table, key(&image, kind));
                match found.map_err(|e| failed(e.into()))? {
                    Some(bytes) => outputs.push(numbers(bytes.value())),
                    None => return Ok(None),
                }
            }
            Ok(Some(outputs))
        };
        inputs.iter().map(find).collect()
    }

    fn keep(
        &self,
        network: &[u8; 32],
        inputs: &[&[f32]],
        kinds: &[Kind<'_>],
        outputs: &[Outputs],
    ) -> Result<(), Error> {
        let keep = || -> Result<(), redb::Error> {
            let mut transaction = self.0.database.begin_write()?;
            let batch = self.0.batches.fetch_add(1, Ordering::Relaxed);
            if batch % BATCHES_IN_FLIGHT != BATCHES_IN_FLIGHT - 1 {
                transaction.set_durability(Durability::None)?;
            }
            {
                let mut table = transaction.open_table(OUTPUTS)?;
                for (input, outputs) in inputs.iter().zip(outputs) {
                    let image = image_hash(network, input);
                    for (kind, values) in kinds.iter().zip(outputs) {
                        table.insert(key(&image, kind), &bytes(values)[..])?;
                    }
                }
            }
            Ok(transaction.commit()?)
        };
        keep().map_err(|e| unusable(&self.0.path, e))
    }
}

impl Drop for Inner {
    /// What is in flight is written. Where it cannot be, the next run computes it again.
    fn drop(&mut self) {
        if let Ok(transaction) = self.database.begin_write() {
            let _ = transaction.commit();
        }
    }
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> Error {
    let problem = format!(
        "{}: the cache cannot be used: {error}; where it is damaged, delete it",
        path.display()
    );
    Error::new(ErrorKind::Io, problem)
}

fn image_hash(network: &[u8; 32], input: &[f32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(network);
    hash.update(bytes(input));
    hash.finalize().into()
}

fn key(image: &[u8; 32], (name, parameters): &Kind<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(image);
    hash.update(name);
    hash.update(bytes(parameters));
    hash.finalize().into()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<4>();
    chunks
        .iter()
        .map(|chunk| f32::from_le_bytes(*chunk))
        .collect()
}
