//! What cannot be answered gets the right status, and a message that says why.

use crate::client::{Client, Sent, get, levels, png, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::time::Duration;

const JSON: &str = "application/json";
const INFER: &str = "/v2/models/detector/infer";

fn infer(body: serde_json::Value) -> Sent {
    post(INFER, JSON, body.to_string())
}

fn input(change: impl FnOnce(&mut serde_json::Value)) -> Sent {
    let mut input = json!({"name": "pixels_uint8", "datatype": "UINT8", "shape": [1, 8, 8, 1], "data": vec![7; 64]});
    change(&mut input);
    infer(json!({ "inputs": [input] }))
}

fn binary(head: serde_json::Value, length: &str, raw: &[u8]) -> Sent {
    let body = [head.to_string().as_bytes(), raw].concat();
    post(INFER, "application/octet-stream", body).with("inference-header-content-length", length)
}

#[test]
fn requests_that_cannot_be_answered() {
    let client = Client::new(|_| {});
    let raw = json!({"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 9}}]});
    let raw_length = raw.to_string().len().to_string();
    let gif = b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;";
    let cases: Vec<(Sent, u16, &str)> = vec![
        (get("/nowhere"), 404, "no such route"),
        (get("/v2/models/detector/config"), 404, "no such route"),
        (get("/v2/models/detector/stats"), 404, "no such route"),
        (
            post("/v2/repository/index", JSON, "{}"),
            404,
            "no such route",
        ),
        (get("/v1/score"), 405, "not for this method"),
        (get("/v2/models/cat"), 404, "there are detector (version "),
        (get("/v2/models/cat/ready"), 404, "no such detector"),
        (
            get("/v2/models/detector/versions/1"),
            404,
            "no such detector",
        ),
        (get("/v2/models/%ff"), 400, "UTF-8"),
        (
            post(
                "/v1/score",
                "multipart/form-data; boundary=b",
                "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\r\n--b--\r\n",
            ),
            400,
            "field 0 of the form is no file",
        ),
        (
            post("/v1/score", "application/x-www-form-urlencoded", "x"),
            400,
            "no PNG",
        ),
        (
            post("/v1/score?detector=cat", "image/png", ""),
            404,
            "no such detector",
        ),
        (
            post("/v1/score", "text/plain", "x"),
            415,
            "content type is none of",
        ),
        (post("/v1/score", "image/png", ""), 400, "empty"),
        (
            post("/v1/score", "image/png", "x"),
            400,
            "the image is no PNG",
        ),
        (post("/v1/score", "image/gif", gif), 400, "pixels"),
        (post("/v1/score", JSON, "{"), 400, "the body is not"),
        (
            post("/v1/score", JSON, r#"{"images": []}"#),
            400,
            "no image",
        ),
        (
            post("/v1/score", JSON, r#"{"images": ["%"]}"#),
            400,
            "no Base64",
        ),
        (
            post("/v1/score", JSON, r#"{"images": [7]}"#),
            400,
            "the body is not",
        ),
        (
            post("/v1/score", JSON, r#"{"images": [], "T": 1}"#),
            400,
            "unknown field",
        ),
        (
            post("/v1/score", JSON, "[".repeat(100_000)),
            400,
            "the body is not",
        ),
        (
            post("/v1/score", "multipart/form-data", "x"),
            400,
            "boundary",
        ),
        (
            post("/v1/score", "multipart/form-data; boundary=b", "x"),
            400,
            "the form cannot be read",
        ),
        (
            post("/v1/score", "multipart/form-data; boundary=b", "--b--\r\n"),
            400,
            "no image",
        ),
        (
            post("/v1/score", "image/png", "x").with("content-encoding", "br"),
            415,
            "encoding",
        ),
        (
            post("/v1/score", "image/png", "x").with("content-encoding", "gzip"),
            400,
            "decompress",
        ),
        (
            post("/v1/explore?temperature=0", "image/png", "x"),
            400,
            "temperature",
        ),
        (
            post("/v1/explore?temperature=NaN", "image/png", "x"),
            400,
            "temperature",
        ),
        (
            post("/v1/explore?magnitude=1.5", "image/png", "x"),
            400,
            "magnitude",
        ),
        (
            post("/v1/explore?magnitude=x", "image/png", "x"),
            400,
            "magnitude",
        ),
        (
            post("/v1/explore", "image/png", "x"),
            400,
            "the image is no PNG",
        ),
        (post("/v1/explore", "text/plain", "x"), 415, "content type"),
        (post(INFER, "text/plain", "{}"), 415, "content type"),
        (post(INFER, JSON, "{}"), 400, "inputs"),
        (infer(json!({"inputs": []})), 400, "0 inputs"),
        (infer(json!({"inputs": 1})), 400, "no inference request"),
        (input(|i| i["name"] = json!("x")), 400, "inputs are images"),
        (
            input(|i| i["datatype"] = json!("FP16")),
            400,
            "datatype FP16",
        ),
        (
            input(|i| i["datatype"] = json!("FP32")),
            400,
            "the datatype is FP32",
        ),
        (
            input(|i| i["datatype"] = json!("FP64")),
            400,
            "no input has the datatype FP64",
        ),
        (
            input(|i| i["shape"] = json!([2, 8, 8, 1])),
            400,
            "does not fit 64 bytes",
        ),
        (
            input(|i| i["shape"] = json!([u64::MAX, 8, 8, 1])),
            400,
            "does not fit",
        ),
        (
            input(|i| i["shape"] = json!([-1, 8, 8, 1])),
            400,
            "no inference request",
        ),
        (
            input(|i| i["shape"] = json!([64])),
            400,
            "expected [N, H, W]",
        ),
        (input(|i| i["shape"] = json!([1, 4, 16, 1])), 400, "4x16"),
        (
            input(|i| i["shape"] = json!([0, 8, 8, 1])),
            400,
            "pixels_uint8",
        ),
        (input(|i| i["data"] = json!([256])), 400, "from 0 to 255"),
        (input(|i| i["data"] = json!([0.5])), 400, "from 0 to 255"),
        (input(|i| i["data"] = json!(["x"])), 400, "from 0 to 255"),
        (input(|i| i["data"] = json!({})), 400, "data cannot be read"),
        (input(|i| i["data"] = json!(null)), 400, "neither data nor"),
        (
            input(|i| i["parameters"] = json!({"binary_data_size": 1})),
            400,
            "as JSON and in binary",
        ),
        (
            infer(
                json!({"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": ["eHl6"]}]}),
            ),
            400,
            "image 0: image 0 is no PNG",
        ),
        (
            infer(
                json!({"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": [7]}]}),
            ),
            400,
            "strings of Base64",
        ),
        (
            infer(json!({"inputs": [], "outputs": [{"name": "x"}]})),
            400,
            "there is no output x; there are prediction",
        ),
        (
            infer(
                json!({"inputs": [], "outputs": [{"name": "odin", "parameters": {"binary_data": 1}}]}),
            ),
            400,
            "the parameter binary_data is 1, not true or false",
        ),
        (
            infer(
                json!({"inputs": [], "outputs": [{"name": "odin", "parameters": {"shared_memory_region": "x"}}]}),
            ),
            400,
            "no shared memory",
        ),
        (
            infer(json!({"inputs": [], "outputs": vec![json!({"name": "odin"}); 65]})),
            400,
            "at most 64 elements",
        ),
        (
            infer(
                json!({"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": vec![""; 129]}]}),
            ),
            413,
            "more than 128 images",
        ),
        (
            post(
                "/v1/score",
                JSON,
                json!({"images": vec![""; 129]}).to_string(),
            ),
            413,
            "more than 128 images",
        ),
        (
            binary(raw.clone(), &raw_length, b"\x09\0\0\0hello"),
            400,
            "end within an element",
        ),
        (
            binary(raw.clone(), &raw_length, b"short"),
            400,
            "more than the 5 bytes that are left",
        ),
        (
            binary(raw.clone(), &raw_length, b"\x05\0\0\0hello and more"),
            400,
            "bytes follow the tensors",
        ),
        (binary(raw.clone(), "99999", b""), 400, "within the body"),
        (binary(raw.clone(), "-1", b""), 400, "within the body"),
        (binary(raw, "3", b""), 400, "no inference request"),
    ];
    for (sent, status, expected) in cases {
        let shown = format!(
            "{} {} {:?}",
            sent.method,
            sent.path,
            String::from_utf8_lossy(&sent.body[..sent.body.len().min(200)])
        );
        let answer = client.send(sent);
        let error = answer.error();
        assert_eq!(answer.status, status, "{shown}: {error}");
        assert!(error.contains(expected), "{shown}: {error}");
    }
}

/// An image of another shape fails no other that is in its batch.
#[test]
fn an_image_of_another_shape_fails_alone() {
    let client = Client::new(|options| options.batching.wait = Duration::from_millis(200));
    let good = png(&levels("near.npy", 1)[0]);
    let wrong =
        b"GIF89a\x01\0\x01\0\x80\0\0\x80\x80\x80\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    let sent = |i: usize| match i % 2 {
        0 => post("/v1/score", "image/png", good.clone()),
        _ => post("/v1/score", "image/gif", wrong),
    };
    for (i, answer) in client
        .send_all((0..8).map(sent).collect())
        .iter()
        .enumerate()
    {
        match i % 2 {
            0 => assert_eq!(answer.status, 200),
            _ => {
                assert_eq!(answer.status, 400);
                assert!(
                    answer.error().starts_with("the image is 1x1"),
                    "{}",
                    answer.error()
                );
            }
        }
    }
    let answer = client.send(post("/v1/explore", "image/gif", wrong));
    assert_eq!(answer.status, 400);
    let images = json!({"images": [STANDARD.encode(wrong), STANDARD.encode(&good)]});
    let answer = client
        .send(post("/v1/score", JSON, images.to_string()))
        .json();
    assert!(answer["results"][0]["error"].is_string());
    assert!(answer["results"][1]["score"].is_number());
}

/// One bad image of several is an error of its own.
#[test]
fn one_bad_image_spoils_no_other() {
    let client = Client::new(|_| {});
    let file = png(&levels("near.npy", 1)[0]);
    let part = |name: &str, file: &[u8]| {
        let head = format!(
            "--b\r\nContent-Disposition: form-data; name=\"x\"; filename=\"{name}\"\r\n\r\n"
        );
        [head.as_bytes(), file, b"\r\n"].concat()
    };
    let form = [
        part("../a.png", &file),
        part("b.png", b"no image"),
        part("c.png", &file),
        b"--b--\r\n".to_vec(),
    ]
    .concat();
    let answer = client.send(post("/v1/score", "multipart/form-data; boundary=b", form));
    assert_eq!(answer.status, 200);
    let results = answer.json()["results"].clone();
    assert_eq!(results[0]["name"], "../a.png");
    assert_eq!(results[0]["score"], results[2]["score"]);
    assert!(
        results[1]["error"]
            .as_str()
            .unwrap()
            .contains("b.png is no PNG")
    );
    assert!(results[1]["score"].is_null());
}

#[test]
fn requests_keep_their_identifier() {
    let client = Client::new(|_| {});
    let id = |given: Option<&str>| {
        let mut sent = get("/info");
        if let Some(given) = given {
            sent = sent.with("x-request-id", given);
        }
        client.send(sent).headers["x-request-id"]
            .to_str()
            .unwrap()
            .to_string()
    };
    assert_eq!(id(Some("from-the-proxy_7.a")), "from-the-proxy_7.a");
    let made = id(None);
    assert_ne!(made, id(None));
    for strange in ["", "two words", "<b>", &"x".repeat(65)] {
        assert_ne!(id(Some(strange)), strange);
    }
}

#[test]
fn a_token_is_asked_for_where_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "s3cret\n").unwrap();
    let client = Client::new(|options| options.token_file = Some(path));
    for open in ["/", "/page.js", "/v2/health/live", "/v2/health/ready"] {
        assert_eq!(client.send(get(open)).status, 200, "{open}");
    }
    for closed in [
        "/info",
        "/metrics",
        "/v2",
        "/openapi.json",
        "/nowhere",
        "/page.js/",
    ] {
        let answer = client.send(get(closed));
        assert_eq!(answer.status, 401, "{closed}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        assert!(answer.error().contains("carries no token"));
        let wrong = client.send(get(closed).with("authorization", "Bearer s3cre7"));
        assert_eq!(wrong.status, 401, "{closed}");
    }
    let allowed = client.send(get("/info").with("authorization", "Bearer s3cret"));
    assert_eq!(allowed.status, 200);
    let document = client.send(get("/openapi.json").with("authorization", "Bearer s3cret"));
    assert_eq!(
        document.json()["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
}
