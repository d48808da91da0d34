//! `POST /v1/explore`: the score of an image at another setting, and what ODIN does to it.

use super::score::Kind;
use super::{App, Parameters};
use crate::body::receive;
use crate::codes::NotJudged;
use crate::detectors::Served;
use crate::images;
use crate::info::{DetectorName, SettingInfo};
use crate::refusal::{Reason, Refusal};
use axum::Json;
use axum::extract::{Request, State};
use odin::{Image, Images, Score, Setting};
use odin_report::{Picture, gradient_sign, gradient_size};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// The setting to explore.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Explore {
    /// The detector's name; not needed where there is one.
    detector: Option<String>,
    /// The temperature T; that of the detector unless given.
    #[param(minimum = 1e-6, maximum = 1e6)]
    temperature: Option<f64>,
    /// The magnitude ε; that of the detector unless given.
    #[param(minimum = 0.0, maximum = 1.0)]
    magnitude: Option<f64>,
}

/// An image at a setting.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Explored {
    detector: DetectorName,
    setting: SettingInfo,
    /// Whether this is the setting of the detector: its threshold holds for no other.
    calibrated: bool,
    prediction: usize,
    class: Option<String>,
    /// All scores; high means in-distribution.
    scores: BTreeMap<String, f64>,
    /// The score of ODIN at magnitude 0: without the perturbation; null of a detector that does not
    /// compute ODIN.
    unperturbed: Option<f64>,
    /// The score that decides.
    score: f64,
    pictures: Pictures,
}

/// Pictures as `data:` URLs of PNG files; of measurements there is none.
#[derive(Debug, Serialize, ToSchema)]
struct Pictures {
    /// What the network sees.
    input: Option<String>,
    /// The same after ODIN's perturbation.
    perturbed: Option<String>,
    /// Where ODIN makes the image brighter (orange) and darker (blue).
    gradient_sign: Option<String>,
    /// How large the gradient is, from dark (none) to bright.
    gradient_size: Option<String>,
}

/// Scores an image at another temperature and magnitude.
#[utoipa::path(post, path = "/v1/explore", tag = "plain", params(Explore),
    request_body(content(
        (Vec<u8> = "application/octet-stream"),
        (Vec<u8> = "image/png"),
        (Vec<u8> = "image/jpeg"),
        (Vec<u8> = "image/webp"),
        (Vec<u8> = "image/bmp"),
        (Vec<u8> = "image/gif"),
    )),
    responses(
        (status = 200, description = "The scores at the setting", body = Explored),
        NotJudged,
    ))]
pub(super) async fn explore(
    State(shared): App,
    Parameters(wanted): Parameters<Explore>,
    request: Request,
) -> Result<Json<Explored>, Refusal> {
    let served = shared.detector(wanted.detector.as_deref())?;
    let setting = setting(&served, &wanted)?;
    let (parts, body) = request.into_parts();
    if Kind::of(&parts.headers)? != Kind::Image {
        let message = "the content type is neither image/… nor application/octet-stream";
        return Err(Refusal::new(Reason::ContentType, message));
    }
    let received = receive(&shared, &parts.headers, body).await?;
    let file = vec![("the image".to_string(), received.bytes.clone())];
    let images = images::encoded(&served, file, shared.service.limits.pixels)?;
    let work = {
        let served = Arc::clone(&served);
        move || explored(&served, &images, setting)
    };
    shared.service.work(&served, work).await.map(Json)
}

fn setting(served: &Served, wanted: &Explore) -> Result<Setting, Refusal> {
    let own = served.detector.record().setting;
    let temperature = wanted.temperature.unwrap_or(own.temperature);
    let magnitude = wanted.magnitude.unwrap_or(own.magnitude);
    if !((1e-6..=1e6).contains(&temperature) && (0.0..=1.0).contains(&magnitude)) {
        let message = "the temperature is from 1e-6 to 1e6, the magnitude from 0 to 1";
        return Err(Refusal::invalid(message));
    }
    let setting = Setting::new(temperature, magnitude).map_err(invalid)?;
    Ok(setting.with_precision(own.precision))
}

fn explored(served: &Served, images: &Images, setting: Setting) -> Result<Explored, Refusal> {
    let image = served.prepared(images, 0).map_err(invalid)?;
    let (info, record) = (&served.info, served.detector.record());
    let score = score_at(served, &image, setting)?;
    let still = Setting::new(setting.temperature, 0.0).map_err(invalid)?;
    let still = still.with_precision(setting.precision);
    let unperturbed = score_at(served, &image, still)?.odin();
    let named = score.iter().map(|(name, value)| (name.to_string(), value));
    Ok(Explored {
        detector: info.short(),
        setting: SettingInfo::of(setting, served.detector.detector()),
        calibrated: setting == record.setting,
        prediction: score.prediction,
        class: info.class(score.prediction).map(str::to_string),
        unperturbed,
        score: score.get(&info.decides_by).unwrap_or(f64::NAN),
        scores: named
            .filter(|(name, _)| info.scores.contains(name))
            .collect(),
        pictures: pictures(served, image, setting)?,
    })
}

fn score_at(served: &Served, image: &Image, setting: Setting) -> Result<Score, Refusal> {
    let detector = served.detector.detector();
    let detector = detector.with_setting(setting).map_err(invalid)?;
    let scores = detector.score_prepared(std::slice::from_ref(image));
    let score = scores.map_err(failed)?.into_iter().next();
    score
        .ok_or_else(|| Refusal::internal("the engine gave no score"))?
        .map_err(invalid)
}

fn pictures(served: &Served, mut image: Image, setting: Setting) -> Result<Pictures, Refusal> {
    let gradient = served.gradient().map_err(failed)?;
    let gradient = gradient.at(setting.temperature).map_err(invalid)?;
    let gradients = gradient.of_prepared(std::slice::from_ref(&image));
    let gradient = gradients
        .map_err(failed)?
        .into_iter()
        .next()
        .unwrap_or_default();
    let url = |picture: Option<Picture>| picture.and_then(|picture| picture.data_uri());
    let [input, sign, size] = [
        url(Picture::of(&image)),
        url(gradient_sign(&image, &gradient)),
        url(gradient_size(&image, &gradient)),
    ];
    for (pixel, gradient) in image.pixels.iter_mut().zip(&gradient) {
        let sign = f32::from(*gradient > 0.0) - f32::from(*gradient < 0.0);
        *pixel += setting.magnitude as f32 * sign;
    }
    Ok(Pictures {
        input,
        perturbed: url(Picture::of(&image)),
        gradient_sign: sign,
        gradient_size: size,
    })
}

fn invalid(error: odin::Error) -> Refusal {
    Refusal::invalid(error.to_string())
}

fn failed(error: odin::Error) -> Refusal {
    Refusal::new(Reason::Internal, error.to_string())
}
