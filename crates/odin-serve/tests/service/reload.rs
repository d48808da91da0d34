//! Detectors that are opened anew while the service runs, and its end.

use crate::client::{Client, demo, get, levels, png, post};
use odin::CalibratedDetector;
use std::path::{Path, PathBuf};

/// A copy of the demonstration's detector in a folder of its own.
fn copied(folder: &Path) -> PathBuf {
    std::fs::copy(demo("model.safetensors"), folder.join("model.safetensors")).unwrap();
    let path = folder.join("mine.toml");
    std::fs::copy(demo("detector.toml"), &path).unwrap();
    path
}

#[test]
fn detectors_are_opened_anew_or_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = copied(folder.path());
    let client = Client::of(path.clone(), |_| {});
    let version = || client.send(get("/info")).json()["detectors"][0]["version"].clone();
    let file = png(&levels("near.npy", 1)[0]);
    let judged = || {
        client
            .send(post("/v1/score", "image/png", file.clone()))
            .json()
    };
    let (before, first) = (version(), judged());
    assert_eq!(first["detector"]["name"], "mine");

    let other = CalibratedDetector::options().scores(["odin"]);
    let other = other.open(&path).unwrap();
    std::fs::write(&path, "broken").unwrap();
    let reloader = client.server.reloader();
    let error = client.run(reloader.reload()).unwrap_err().to_string();
    assert!(error.contains("mine.toml"), "{error}");
    assert_eq!(judged(), first);

    other.save(&path).unwrap();
    client.run(reloader.reload()).unwrap();
    assert_ne!(version(), before);
    let after = judged();
    assert_eq!(after["results"][0]["score"], first["results"][0]["score"]);
    assert_ne!(after["results"][0]["scores"], first["results"][0]["scores"]);

    // The same again: what was counted goes on.
    client.run(reloader.reload()).unwrap();
    let text = String::from_utf8(client.send(get("/metrics")).body).unwrap();
    assert!(
        text.contains("odin_window_images{detector=\"mine\"} 1.0"),
        "{text}"
    );
}

#[test]
fn the_end_waits_for_requests_that_have_begun() {
    use std::io::{Read, Write};
    use std::time::Duration;
    let client = Client::new(|options| {
        options.address.set_port(0);
        options.batching.wait = Duration::from_millis(300);
    });
    let file = png(&levels("near.npy", 1)[0]);
    let Client { server, .. } = client;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bound = runtime.block_on(server.bind()).unwrap();
    let address = bound.address();
    let (end, ending) = tokio::sync::oneshot::channel::<()>();
    let running = std::thread::spawn(move || {
        runtime.block_on(bound.run(async {
            let _ = ending.await;
        }))
    });
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {}\r\n\r\n",
        file.len()
    );
    stream
        .write_all(&[head.as_bytes(), &file].concat())
        .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    end.send(()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("\"is_in_distribution\""), "{answer}");
    assert_eq!(running.join().unwrap(), 0);
    assert!(std::net::TcpStream::connect(address).is_err());
}
