//! Every route gives what the library gives, bit for bit.

use crate::client::{Client, Sent, demo, get, levels, png, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use odin::{CalibratedDetector, Verdict};
use serde_json::{Value, json};

const COUNT: usize = 12;

fn expected() -> Vec<Verdict> {
    let detector = CalibratedDetector::open(demo("detector.toml")).unwrap();
    let images = detector
        .open_images(demo("near.npy"))
        .unwrap()
        .range(0..COUNT);
    detector.judge(&images).map(Result::unwrap).collect()
}

fn check_plain(results: &Value, expected: &[Verdict]) {
    let results = results["results"].as_array().unwrap();
    assert_eq!(results.len(), expected.len());
    for (result, verdict) in results.iter().zip(expected) {
        let (score, decision) = (&verdict.score, verdict.decision);
        assert_eq!(result["prediction"], score.prediction);
        for (name, value) in result["scores"].as_object().unwrap() {
            assert_eq!(value.as_f64(), score.get(name), "{name}");
        }
        assert_eq!(result["score"], decision.score);
        assert_eq!(result["percentile"], decision.percentile);
        assert_eq!(result["p_value"], decision.p_value);
        assert_eq!(result["threshold"], decision.threshold);
        assert_eq!(result["is_in_distribution"], decision.is_in_distribution);
    }
}

fn check_tensors(response: &Value, expected: &[Verdict]) {
    let output = |name: &str| {
        let outputs = response["outputs"].as_array().unwrap();
        let found = outputs
            .iter()
            .find(|output| output["name"] == name)
            .unwrap();
        assert_eq!(found["shape"], json!([expected.len()]));
        found["data"].clone()
    };
    let all = |of: &dyn Fn(&Verdict) -> Value| Value::Array(expected.iter().map(of).collect());
    assert_eq!(output("prediction"), all(&|v| json!(v.score.prediction)));
    assert_eq!(
        output("class"),
        all(&|v| json!(v.score.prediction.to_string()))
    );
    assert_eq!(output("odin"), all(&|v| json!(v.score.odin())));
    assert_eq!(output("percentile"), all(&|v| json!(v.decision.percentile)));
    assert_eq!(output("p_value"), all(&|v| json!(v.decision.p_value)));
    let decided = all(&|v| json!(v.decision.is_in_distribution));
    assert_eq!(output("is_in_distribution"), decided);
}

#[test]
fn plain_routes_give_the_scores_of_the_library() {
    let client = Client::new(|_| {});
    let expected = expected();
    let files: Vec<Vec<u8>> = levels("near.npy", COUNT).iter().map(|l| png(l)).collect();

    let alone = files
        .iter()
        .map(|file| post("/v1/score", "image/png", file.clone()));
    for (answer, verdict) in client.send_all(alone.collect()).iter().zip(&expected) {
        assert_eq!(answer.status, 200);
        check_plain(&answer.json(), std::slice::from_ref(verdict));
    }

    let encoded: Vec<String> = files.iter().map(|file| STANDARD.encode(file)).collect();
    let json = json!({ "images": encoded }).to_string();
    check_plain(
        &client
            .send(post("/v1/score", "application/json", json))
            .json(),
        &expected,
    );

    let (content_type, form) = form(&files);
    let answer = client.send(post("/v1/score?detector=detector", &content_type, form));
    check_plain(&answer.json(), &expected);
    assert_eq!(answer.json()["results"][1]["name"], "1.png");
}

fn form(files: &[Vec<u8>]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (i, file) in files.iter().enumerate() {
        let head = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{i}.png\"\r\n\r\n"
        );
        body.extend(head.as_bytes());
        body.extend(file);
        body.extend(b"\r\n");
    }
    body.extend(b"--edge--\r\n");
    ("multipart/form-data; boundary=edge".to_string(), body)
}

const INFER: &str = "/v2/models/detector/infer";

fn infer(input: Value) -> Sent {
    let body = json!({ "id": "seven", "inputs": [input] }).to_string();
    post(INFER, "application/json", body)
}

#[test]
fn the_protocol_gives_the_scores_of_the_library() {
    let client = Client::new(|_| {});
    let expected = expected();
    let levels = levels("near.npy", COUNT);
    let files: Vec<String> = levels.iter().map(|l| STANDARD.encode(png(l))).collect();
    let flat = levels.concat();
    let units: Vec<f32> = flat.iter().map(|&level| f32::from(level) / 255.0).collect();
    let nested: Vec<Vec<&[u8]>> = levels.iter().map(|l| l.chunks(8).collect()).collect();
    let inputs = [
        json!({"name": "images", "datatype": "BYTES", "shape": [COUNT], "data": files}),
        json!({"name": "pixels_uint8", "datatype": "UINT8", "shape": [COUNT, 8, 8, 1], "data": flat}),
        json!({"name": "pixels_uint8", "datatype": "UINT8", "shape": [COUNT, 8, 8], "data": nested}),
        json!({"name": "pixels_float32", "datatype": "FP32", "shape": [COUNT, 1, 8, 8], "data": units}),
    ];
    for input in inputs {
        let answer = client.send(infer(input));
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        let response = answer.json();
        assert_eq!(response["id"], "seven");
        assert_eq!(response["model_name"], "detector");
        check_tensors(&response, &expected);
    }
}

/// As `tritonclient` asks by default: tensors in binary form both ways.
#[test]
fn tensors_travel_in_binary_form() {
    let client = Client::new(|_| {});
    let expected = expected();
    let mut raw = Vec::new();
    for levels in levels("near.npy", COUNT) {
        let file = png(&levels);
        raw.extend((file.len() as u32).to_le_bytes());
        raw.extend(file);
    }
    let head = json!({
        "inputs": [{"name": "images", "datatype": "BYTES", "shape": [COUNT],
            "parameters": {"binary_data_size": raw.len()}}],
        "outputs": [{"name": "odin", "parameters": {"binary_data": true}},
            {"name": "class", "parameters": {"binary_data": true}},
            {"name": "is_in_distribution", "parameters": {"binary_data": true}},
            {"name": "prediction"}],
    });
    let head = head.to_string();
    let body = [head.as_bytes(), &raw].concat();
    let sent = post(INFER, "application/octet-stream", body);
    let answer = client.send(sent.with("inference-header-content-length", head.len().to_string()));
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    let length = answer.headers["inference-header-content-length"]
        .to_str()
        .unwrap();
    let (head, raw) = answer.body.split_at(length.parse().unwrap());
    let head: Value = serde_json::from_slice(head).unwrap();
    let of = |place: usize, name: &str, size: usize| {
        assert_eq!(head["outputs"][place]["name"], name);
        assert_eq!(
            head["outputs"][place]["parameters"]["binary_data_size"],
            size
        );
        assert!(head["outputs"][place]["data"].is_null());
    };
    of(0, "odin", 8 * COUNT);
    of(1, "class", 5 * COUNT);
    of(2, "is_in_distribution", COUNT);
    assert_eq!(head["outputs"][3]["data"].as_array().unwrap().len(), COUNT);
    let scores = expected
        .iter()
        .flat_map(|v| v.score.odin().unwrap().to_le_bytes());
    let classes = expected.iter().flat_map(|v| {
        [
            &1u32.to_le_bytes()[..],
            v.score.prediction.to_string().as_bytes(),
        ]
        .concat()
    });
    let decided = expected
        .iter()
        .map(|v| u8::from(v.decision.is_in_distribution));
    let whole: Vec<u8> = scores.chain(classes).chain(decided).collect();
    assert_eq!(raw, whole);
}

#[test]
fn exploring_at_the_calibrated_setting_gives_the_calibrated_score() {
    let client = Client::new(|_| {});
    let expected = expected();
    let file = png(&levels("near.npy", 1)[0]);
    let explore = |query: &str| {
        let path = format!("/v1/explore?{query}");
        let answer = client.send(post(&path, "image/png", file.clone()));
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        answer.json()
    };
    let calibrated = explore("");
    assert_eq!(calibrated["calibrated"], true);
    assert_eq!(calibrated["score"], expected[0].decision.score);
    let still = explore("magnitude=0");
    assert_eq!(still["calibrated"], false);
    assert_eq!(still["scores"]["odin"], still["unperturbed"]);
    assert_eq!(still["pictures"]["input"], still["pictures"]["perturbed"]);
    // ODIN makes the network surer of an image.
    let moved = explore("magnitude=0.02&temperature=10");
    assert!(moved["scores"]["odin"].as_f64() > moved["unperturbed"].as_f64());
    assert_ne!(moved["pictures"]["input"], moved["pictures"]["perturbed"]);
    for picture in ["gradient_sign", "gradient_size"] {
        let url = moved["pictures"][picture].as_str().unwrap();
        assert!(url.starts_with("data:image/png;base64,"), "{url}");
    }
}

#[test]
fn what_is_served_is_described() {
    let client = Client::new(|_| {});
    let info = client.send(get("/info")).json();
    let detector = &info["detectors"][0];
    let version = detector["version"].as_str().unwrap();
    assert_eq!(detector["name"], "detector");
    assert_eq!(detector["checksum"].as_str().unwrap()[..16], *version);
    assert_eq!(
        detector["input"],
        json!({"channels": 1, "height": 8, "width": 8})
    );
    assert_eq!(detector["decides_by"], "odin");
    let counts = detector["histogram"]["counts"].as_array().unwrap();
    let images: u64 = counts.iter().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(detector["calibrated_on"]["in_images"], images);

    let model = client.send(get("/v2/models/detector")).json();
    let same = client
        .send(get(&format!("/v2/models/detector/versions/{version}")))
        .json();
    assert_eq!(model, same);
    let names = |kind: &str| -> Vec<String> {
        let tensors = model[kind].as_array().unwrap().iter();
        tensors
            .map(|t| t["name"].as_str().unwrap().to_string())
            .collect()
    };
    assert_eq!(
        names("inputs"),
        ["images", "pixels_uint8", "pixels_float32"]
    );
    assert!(names("outputs").contains(&"p_value".to_string()));
    for path in [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/detector/ready",
    ] {
        assert_eq!(client.send(get(path)).status, 200, "{path}");
    }

    let document = client.send(get("/openapi.json")).json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/v1/score",
        "/v1/explore",
        "/info",
        "/metrics",
        "/v2/models/{name}/infer",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    for (path, kind) in [
        ("/", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
        ("/favicon.svg", "image/svg+xml"),
    ] {
        let answer = client.send(get(path));
        let headers = &answer.headers;
        assert!(
            headers["content-type"].to_str().unwrap().starts_with(kind),
            "{path}"
        );
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'"),
            "{policy}"
        );
    }
}

#[test]
fn metrics_count_what_was_judged_and_see_drift() {
    let client = Client::new(|options| options.window = 50);
    for levels in levels("near.npy", 60) {
        let answer = client.send(post("/v1/score", "image/png", png(&levels)));
        assert_eq!(answer.status, 200);
    }
    assert_eq!(
        client
            .send(post("/v1/score", "image/png", "no image"))
            .status,
        400
    );
    let answer = client.send(get("/metrics"));
    let kind = answer.headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = String::from_utf8(answer.body).unwrap();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .trim()
            .parse()
            .unwrap()
    };
    let known = value("odin_images_total{detector=\"detector\",decision=\"in_distribution\"}");
    let rejected = value("odin_images_total{detector=\"detector\",decision=\"rejected\"}");
    assert_eq!(known + rejected, 60.0);
    assert_eq!(
        value("odin_images_total{detector=\"detector\",decision=\"failed\"}"),
        1.0
    );
    assert_eq!(value("odin_score_count{detector=\"detector\"}"), 60.0);
    assert_eq!(value("odin_window_images{detector=\"detector\"}"), 50.0);
    // These are not the classes that the network knows.
    assert!(value("odin_rejected_share{detector=\"detector\"}") > 0.3);
    assert!(value("odin_drift_p_value{detector=\"detector\"}") < 1e-6);
    assert_eq!(
        value("odin_requests_total{route=\"/v1/score\",status=\"200\"}"),
        60.0
    );
    assert_eq!(value("odin_refused_total{reason=\"invalid\"}"), 1.0);
    assert_eq!(value("odin_queue_images"), 0.0);
    assert!(text.ends_with("# EOF\n"));
}

/// A detector that was calibrated without ODIN runs none of its passes, and says so.
#[test]
fn a_detector_by_another_score_has_no_odin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("by-energy.toml");
    let open = CalibratedDetector::options().scores(["energy"]);
    open.open(demo("detector.toml"))
        .unwrap()
        .save(&path)
        .unwrap();
    let client = Client::of(path, |_| {});
    let file = png(&levels("near.npy", 1)[0]);
    let answer = |path: &str| {
        let answer = client.send(post(path, "image/png", file.clone()));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    };
    let expected = &expected()[0].score;
    let scored = answer("/v1/score");
    let result = scored.pointer("/results/0").unwrap_or(&scored);
    let scores = result["scores"].as_object().unwrap();
    assert_eq!(scores.keys().collect::<Vec<_>>(), ["energy"]);
    assert_eq!(scores["energy"], json!(expected.get("energy")));
    let explored = answer("/v1/explore?magnitude=0.002");
    assert_eq!(explored["unperturbed"], json!(null));
    assert_eq!(explored["score"], json!(expected.get("energy")));
}
