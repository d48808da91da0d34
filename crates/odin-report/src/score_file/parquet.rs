//! Score files as Parquet.

use super::column::ScoreColumn;
use super::detector::{COLUMN, DECIDED_BY, Signature};
use super::finished::Outline;
use super::record::{ScoreFileError, ScoreRecord, ScoreValues, problem, scores_of};
use odin_untrusted::guard::contain;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::Field;
use parquet::schema::types::Type;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

/// Records that are in memory at a time.
const ROW_GROUP: usize = 65_536;

const DAMAGED: &str = "the Parquet file is damaged";

pub(super) struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    scores: usize,
    signature: Option<Signature>,
    records: Vec<ScoreRecord>,
}

impl<W: Write + Send> Writer<W> {
    pub(super) fn new(out: W, scores: &[String], signature: Option<Signature>) -> Result<Self> {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        let schema = Arc::new(schema(scores, signature.is_some())?);
        Ok(Self {
            file: SerializedFileWriter::new(out, schema, Arc::new(properties.build()))?,
            scores: scores.len(),
            signature,
            records: Vec::new(),
        })
    }

    pub(super) fn write(&mut self, record: &ScoreRecord) -> Result<()> {
        self.records.push(record.clone());
        match self.records.len() {
            ROW_GROUP => self.write_group(),
            _ => Ok(()),
        }
    }

    pub(super) fn finish(mut self) -> Result<W> {
        if !self.records.is_empty() {
            self.write_group()?;
        }
        self.file.into_inner()
    }

    fn write_group(&mut self) -> Result<()> {
        let records = std::mem::take(&mut self.records);
        let values = || records.iter().map(|record| record.outcome.as_ref().ok());
        let text = |text: &str| ByteArray::from(text.as_bytes().to_vec());
        let number = |pick: &dyn Fn(&ScoreValues) -> f64| -> Vec<Option<f64>> {
            values().map(|v| v.map(pick)).collect()
        };
        let mut group = self.file.next_row_group()?;
        let files: Vec<ByteArray> = records.iter().map(|record| text(&record.file)).collect();
        if let Some(mut column) = group.next_column()? {
            column
                .typed::<ByteArrayType>()
                .write_batch(&files, None, None)?;
            column.close()?;
        }
        let predictions = values().map(|v| v.map(|v| v.prediction as i64));
        column::<Int64Type>(&mut group, predictions.collect())?;
        let classes = values().map(|v| v.and_then(|v| v.class.as_deref()).map(text));
        column::<ByteArrayType>(&mut group, classes.collect())?;
        for i in 0..self.scores {
            column::<DoubleType>(&mut group, number(&|v| v.scores[i]))?;
        }
        column::<DoubleType>(&mut group, number(&|v| v.percentile))?;
        column::<DoubleType>(&mut group, number(&|v| v.p_value))?;
        let decisions = values().map(|v| v.map(|v| v.is_in_distribution));
        column::<BoolType>(&mut group, decisions.collect())?;
        let errors = records.iter().map(|r| r.outcome.as_ref().err());
        let errors = errors.map(|error| error.map(|error| text(error)));
        column::<ByteArrayType>(&mut group, errors.collect())?;
        if let Some(signature) = &self.signature {
            for cell in [&signature.decided_by, signature.detector.as_str()] {
                column::<ByteArrayType>(&mut group, vec![Some(text(cell)); records.len()])?;
            }
        }
        group.close()?;
        Ok(())
    }
}

/// Writes the next column, which may have gaps.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: Vec<Option<T::T>>,
) -> Result<()> {
    let levels: Vec<i16> = values.iter().map(|v| i16::from(v.is_some())).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    if let Some(mut column) = group.next_column()? {
        column
            .typed::<T>()
            .write_batch(&values, Some(&levels), None)?;
        column.close()?;
    }
    Ok(())
}

fn schema(scores: &[String], signed: bool) -> Result<Type> {
    let field = |name: &str, physical: Physical, repetition: Repetition| -> Result<Arc<Type>> {
        let text = (physical == Physical::BYTE_ARRAY).then_some(LogicalType::String);
        let field = Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_logical_type(text)
            .build()?;
        Ok(Arc::new(field))
    };
    let optional = |name: &str, physical| field(name, physical, Repetition::OPTIONAL);
    let mut fields = vec![
        field("file", Physical::BYTE_ARRAY, Repetition::REQUIRED)?,
        optional("prediction", Physical::INT64)?,
        optional("class", Physical::BYTE_ARRAY)?,
    ];
    for name in scores {
        fields.push(optional(name, Physical::DOUBLE)?);
    }
    fields.push(optional("percentile", Physical::DOUBLE)?);
    fields.push(optional("p_value", Physical::DOUBLE)?);
    fields.push(optional("is_in_distribution", Physical::BOOLEAN)?);
    fields.push(optional("error", Physical::BYTE_ARRAY)?);
    if signed {
        fields.push(optional(DECIDED_BY, Physical::BYTE_ARRAY)?);
        fields.push(optional(COLUMN, Physical::BYTE_ARRAY)?);
    }
    Type::group_type_builder("scores")
        .with_fields(fields)
        .build()
}

pub(super) fn read_column(
    file: File,
    score: &str,
) -> std::result::Result<ScoreColumn, ScoreFileError> {
    contain(|| read(file, score)).unwrap_or_else(|_| Err(problem(DAMAGED)))
}

/// As of CSV.
pub(super) fn decided_by(file: File) -> std::result::Result<Option<String>, ScoreFileError> {
    let first = || {
        let reader = SerializedFileReader::new(file).map_err(problem)?;
        let schema = reader.metadata().file_metadata().schema();
        let columns: Vec<String> = schema
            .get_fields()
            .iter()
            .map(|f| f.name().into())
            .collect();
        let row = reader.get_row_iter(None).map_err(problem)?.next();
        let Some(row) = row.transpose().map_err(problem)? else {
            return Ok(None);
        };
        let mut fields = row.get_column_iter();
        Ok(match fields.find(|(name, _)| *name == DECIDED_BY) {
            Some((_, Field::Str(score))) if columns.contains(score) => Some(score.clone()),
            _ => None,
        })
    };
    contain(first).unwrap_or_else(|_| Err(problem(DAMAGED)))
}

pub(super) fn score_names(file: File) -> std::result::Result<Vec<String>, ScoreFileError> {
    let names = || {
        let reader = SerializedFileReader::new(file).map_err(problem)?;
        let schema = reader.metadata().file_metadata().schema();
        let columns = schema.get_fields().iter();
        Ok(scores_of(columns.map(|field| field.name())))
    };
    contain(names).unwrap_or_else(|_| Err(problem(DAMAGED)))
}

/// As of CSV.
pub(super) fn outline(
    file: File,
    outline: &mut Outline<'_>,
) -> std::result::Result<(), ScoreFileError> {
    let read = std::panic::AssertUnwindSafe(|| read_outline(file, outline));
    let read = std::panic::catch_unwind(read);
    read.unwrap_or_else(|_| Err(problem(DAMAGED)))
}

fn read_outline(file: File, outline: &mut Outline<'_>) -> std::result::Result<(), ScoreFileError> {
    let reader = SerializedFileReader::new(file).map_err(problem)?;
    let schema = reader.metadata().file_metadata().schema();
    outline.columns(schema.get_fields().iter().map(|field| field.name()))?;
    for row in reader.get_row_iter(None).map_err(problem)? {
        let row = row.map_err(problem)?;
        let text = |name: &str| {
            let mut fields = row.get_column_iter();
            match fields.find(|(n, _)| *n == name)? {
                (_, Field::Str(text)) => Some(text.as_str()),
                _ => None,
            }
        };
        outline.record(text("file"), text(COLUMN))?;
    }
    Ok(())
}

fn read(file: File, score: &str) -> std::result::Result<ScoreColumn, ScoreFileError> {
    let reader = SerializedFileReader::new(file).map_err(problem)?;
    let mut column = ScoreColumn::default();
    for row in reader.get_row_iter(None).map_err(problem)? {
        let row = row.map_err(problem)?;
        let field = |name: &str| {
            row.get_column_iter()
                .find(|(n, _)| *n == name)
                .map(|(_, f)| f)
        };
        let value = match field(score) {
            Some(Field::Double(value)) => Some(*value),
            Some(Field::Float(value)) => Some(f64::from(*value)),
            Some(Field::Null) => None,
            Some(other) => return Err(problem(format!("{score} is no number: {other}"))),
            None => {
                let names: Vec<&str> = row.get_column_iter().map(|(n, _)| n.as_str()).collect();
                return Err(problem(format!(
                    "there is no column {score:?}; the columns are {}",
                    names.join(", ")
                )));
            }
        };
        let decision = match field("is_in_distribution") {
            Some(Field::Bool(decision)) => Some(*decision),
            None | Some(Field::Null) => None,
            Some(other) => {
                return Err(problem(format!(
                    "is_in_distribution is neither true nor false: {other}"
                )));
            }
        };
        let detector = match field(COLUMN) {
            Some(Field::Str(detector)) => Some(detector.as_str()),
            _ => None,
        };
        column.push(value, decision, detector);
    }
    Ok(column)
}
