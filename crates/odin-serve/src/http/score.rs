//! `POST /v1/score`: images in, decisions out.

use super::{App, OfDetector, Parameters, content_type};
use crate::base64_images;
use crate::batcher::Judged;
use crate::body::{Received, receive};
use crate::codes::NotJudged;
use crate::detectors::Served;
use crate::few;
use crate::images;
use crate::info::{DetectorInfo, DetectorName};
use crate::options::Limits;
use crate::refusal::{Reason, Refusal};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream;
use odin::{Images, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use utoipa::ToSchema;

/// Images as JSON.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImagesBody<'a> {
    #[serde(borrow)]
    #[schema(value_type = Vec<ImageBody>, min_items = 1)]
    images: &'a RawValue,
}

/// An encoded image in Base64, with or without a name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum ImageBody {
    Data(String),
    Named(NamedImage),
}

/// An encoded image in Base64 and its name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NamedImage {
    /// What the answer calls it.
    name: String,
    data: String,
}

/// Files of a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct FormBody {
    #[schema(value_type = Vec<String>, format = Binary)]
    images: Vec<Vec<u8>>,
}

/// Decisions about the images of a request, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Scored {
    detector: DetectorName,
    results: Vec<ImageResult>,
}

/// What is said of an image.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum ImageResult {
    Decided(Decided),
    Failed(Failed),
}

/// A decision about an image.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Decided {
    name: String,
    /// The index of the predicted class.
    prediction: usize,
    /// Its name, where the model has names.
    class: Option<String>,
    /// All scores; high means in-distribution.
    #[schema(example = json!({"odin": 0.1002, "msp": 0.93}))]
    scores: BTreeMap<String, f64>,
    /// The score that decides, and its value.
    #[schema(example = "odin")]
    decides_by: String,
    score: f64,
    /// The threshold for the predicted class.
    threshold: f64,
    /// The percentage of the calibration's in-distribution scores that are not above it.
    percentile: f64,
    /// The conformal p-value: of in-distribution images, at most the share p has a p-value of p or
    /// less.
    p_value: f64,
    /// Whether the score reaches the threshold.
    is_in_distribution: bool,
}

/// What is wrong with an image; the others of the request have decisions all the same.
#[derive(Debug, Serialize, ToSchema)]
struct Failed {
    name: String,
    error: String,
}

/// Judges images.
///
/// The body is an encoded image (PNG, JPEG, BMP, WebP, GIF), a form with any number of such files,
/// or JSON with images in Base64.
#[utoipa::path(post, path = "/v1/score", tag = "plain",
    params(("detector" = Option<String>, Query, description = "The detector's name; not needed where there is one")),
    request_body(content(
        (ImagesBody = "application/json"),
        (FormBody = "multipart/form-data"),
        (Vec<u8> = "application/octet-stream"),
        (Vec<u8> = "image/png"),
        (Vec<u8> = "image/jpeg"),
        (Vec<u8> = "image/webp"),
        (Vec<u8> = "image/bmp"),
        (Vec<u8> = "image/gif"),
    )),
    responses(
        (status = 200, description = "A decision, or what is wrong, for each image", body = Scored),
        NotJudged,
    ))]
pub(super) async fn score(
    State(shared): App,
    Parameters(of): Parameters<OfDetector>,
    request: Request,
) -> Result<Json<Scored>, Refusal> {
    let served = shared.detector(of.detector.as_deref())?;
    let (parts, body) = request.into_parts();
    let kind = Kind::of(&parts.headers)?;
    let Received { bytes, room: _room } = receive(&shared, &parts.headers, body).await?;
    let size = bytes.len();
    let read = {
        let (served, limits) = (Arc::clone(&served), shared.service.limits);
        move || images(&served, kind, &parts.headers, bytes, &limits)
    };
    let (names, images) = shared.service.parse(size, read).await?;
    if let (Kind::Image, [name]) = (kind, &names[..]) {
        let verdict = shared.service.judge_one(&served, images).await?;
        let decided = Decided::new(&served.info, name.clone(), &verdict);
        return Ok(scored(&served, vec![ImageResult::Decided(decided)]));
    }
    let judged = shared.service.judge(&served, images).await?;
    let results = names.into_iter().zip(judged);
    let results = results.map(|(name, judged)| ImageResult::new(&served.info, name, judged));
    Ok(scored(&served, results.collect()))
}

fn scored(served: &Served, results: Vec<ImageResult>) -> Json<Scored> {
    let detector = served.info.short();
    Json(Scored { detector, results })
}

impl ImageResult {
    fn new(info: &DetectorInfo, name: String, judged: Judged) -> Self {
        match judged {
            Ok(verdict) => Self::Decided(Decided::new(info, name, &verdict)),
            Err(error) => Self::Failed(Failed { name, error }),
        }
    }
}

impl Decided {
    pub(super) fn new(info: &DetectorInfo, name: String, verdict: &Verdict) -> Self {
        let (score, decision) = (&verdict.score, verdict.decision);
        let named = info.scores.iter();
        let named = named.filter_map(|name| Some((name.clone(), score.get(name)?)));
        Self {
            name,
            prediction: score.prediction,
            class: info.class(score.prediction).map(str::to_string),
            scores: named.collect(),
            decides_by: info.decides_by.clone(),
            score: decision.score,
            threshold: decision.threshold,
            percentile: decision.percentile,
            p_value: decision.p_value,
            is_in_distribution: decision.is_in_distribution,
        }
    }
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Image,
    Form,
    Json,
}

impl Kind {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        match content_type(headers).as_str() {
            "application/json" => Ok(Self::Json),
            "multipart/form-data" => Ok(Self::Form),
            // What curl says of --data-binary.
            "" | "application/octet-stream" | "application/x-www-form-urlencoded" => {
                Ok(Self::Image)
            }
            other if other.starts_with("image/") => Ok(Self::Image),
            _ => Err(Refusal::new(
                Reason::ContentType,
                "the content type is none of image/…, application/octet-stream, multipart/form-data, application/json",
            )),
        }
    }
}

/// The images of a body, with their names.
fn images(
    served: &Served,
    kind: Kind,
    headers: &HeaderMap,
    body: Bytes,
    limits: &Limits,
) -> Result<(Vec<String>, Images), Refusal> {
    let files = match kind {
        Kind::Image => vec![("the image".to_string(), body)],
        Kind::Form => {
            let form = form(headers, body, limits.images).now_or_never();
            form.unwrap_or_else(|| Err(Refusal::internal("the form was not read whole")))?
        }
        Kind::Json => json(&body, limits.images)?,
    };
    let names = files.iter().map(|(name, _)| name.clone()).collect();
    let images = images::encoded(served, files, limits.pixels)?;
    Ok((names, images))
}

/// The files of a form, all of which is there; fields that are no files are refused, since nothing
/// reads them.
async fn form(
    headers: &HeaderMap,
    body: Bytes,
    most: usize,
) -> Result<Vec<(String, Bytes)>, Refusal> {
    let broken = |e: multer::Error| Refusal::invalid(format!("the form cannot be read: {e}"));
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(broken)?;
    let body = stream::iter([Ok::<_, Infallible>(body)]);
    let mut form = multer::Multipart::new(body, boundary);
    let mut files = Vec::new();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if files.len() == most {
            return Err(too_many(most));
        }
        let place = files.len();
        let Some(name) = field.file_name().map(odin_error::shown) else {
            let message = format!("field {place} of the form is no file: it has no file name");
            return Err(Refusal::invalid(message));
        };
        files.push((name, field.bytes().await.map_err(broken)?));
    }
    match files.is_empty() {
        true => Err(Refusal::invalid("the form has no image")),
        false => Ok(files),
    }
}

fn json(body: &[u8], most: usize) -> Result<Vec<(String, Bytes)>, Refusal> {
    let unreadable = |e: serde_json::Error| {
        let expected = r#"{"images": [Base64 or {"name", "data"}, …]}"#;
        Refusal::invalid(format!("the body is not {expected}: {e}"))
    };
    let body: ImagesBody<'_> = serde_json::from_slice(body).map_err(unreadable)?;
    let images = few::at_most(body.images.get(), most).map_err(unreadable)?;
    let images = images.ok_or_else(|| too_many(most))?;
    if images.is_empty() {
        return Err(Refusal::invalid("the request has no image"));
    }
    let files = images.into_iter().enumerate();
    files.map(|(place, image)| file(place, image)).collect()
}

fn file(place: usize, image: ImageBody) -> Result<(String, Bytes), Refusal> {
    let (name, data) = match image {
        ImageBody::Data(data) => (format!("image {place}"), data),
        ImageBody::Named(NamedImage { name, data }) => (odin_error::shown(&name), data),
    };
    let bytes = base64_images::decode(&data)
        .map_err(|e| Refusal::invalid(format!("{name} is no Base64: {e}")))?;
    Ok((name, Bytes::from(bytes)))
}

fn too_many(most: usize) -> Refusal {
    let message = format!("the request has more than {most} images; send several requests");
    Refusal::new(Reason::TooLarge, message)
}
