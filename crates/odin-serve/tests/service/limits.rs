//! What a request, and what all of them together, may take.

use crate::client::{Client, levels, png, post};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::time::Duration;

#[test]
fn requests_are_held_to_their_limits() {
    let client = Client::new(|options| {
        options.limits.images = 2;
        options.limits.body_bytes = 4000;
        options.limits.pixels = 63;
    });
    let file = png(&levels("near.npy", 1)[0]);
    let answer = client.send(post("/v1/score", "image/png", file));
    assert_eq!(answer.status, 400);
    let error = answer.error();
    assert!(
        error.contains("8x8") && error.contains("63 pixels"),
        "{error}"
    );

    let three = r#"{"images": ["", "", ""]}"#;
    let answer = client.send(post("/v1/score", "application/json", three));
    assert_eq!(answer.status, 413);
    assert!(answer.error().contains("more than 2 images"));

    for told in [true, false] {
        let mut sent = post("/v1/score", "image/png", vec![0; 4001]);
        if told {
            sent = sent.with("content-length", "4001");
        }
        let answer = client.send(sent);
        assert_eq!(answer.status, 413);
        assert!(answer.error().contains("more than 4000 bytes"));
    }

    // A million zeros in a thousand bytes.
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&vec![0; 1_000_000]).unwrap();
    let sent = post("/v1/score", "image/png", packed.finish().unwrap());
    let answer = client.send(sent.with("content-encoding", "gzip"));
    assert_eq!(answer.status, 413);
}

#[test]
fn compressed_bodies_are_read() {
    let client = Client::new(|_| {});
    let file = png(&levels("near.npy", 1)[0]);
    let plain = client.send(post("/v1/score", "image/png", file.clone()));
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&file).unwrap();
    let sent = post("/v1/score", "image/png", packed.finish().unwrap());
    let answer = client.send(sent.with("content-encoding", "gzip"));
    assert_eq!((answer.status, answer.json()), (200, plain.json()));
}

/// While images wait for their batch the queue is full; afterwards there is room again.
#[test]
fn a_full_queue_refuses_and_recovers() {
    let client = Client::new(|options| {
        options.limits.queue = 3;
        options.limits.images = 3;
        options.batching.wait = Duration::from_millis(400);
    });
    let file = png(&levels("near.npy", 1)[0]);
    let sent = post("/v1/score", "image/png", file);
    let answers = client.send_all(vec![sent.clone(); 10]);
    let of = |status: u16| answers.iter().filter(move |answer| answer.status == status);
    assert_eq!((of(200).count(), of(429).count()), (3, 7));
    for refused in of(429) {
        assert_eq!(refused.headers["retry-after"], "1");
        assert!(refused.error().contains("queue of images is full"));
    }
    assert_eq!(client.send(sent).status, 200);
}

#[test]
fn bodies_together_are_bounded() {
    let client = Client::new(|options| {
        options.limits.body_bytes = 1 << 20;
        options.limits.buffered_bytes = 1 << 20;
        options.batching.wait = Duration::from_millis(300);
    });
    let mut file = png(&levels("near.npy", 1)[0]);
    // What follows the image is read and ignored.
    file.resize(600 << 10, 0);
    let answers = client.send_all(vec![post("/v1/score", "image/png", file.clone()); 4]);
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 429).count(),
        3,
        "{statuses:?}"
    );
    assert_eq!(
        client.send(post("/v1/score", "image/png", file)).status,
        200
    );
}

#[test]
fn scores_that_take_too_long_are_given_up() {
    let client = Client::new(|options| {
        options.limits.time = Duration::from_millis(50);
        options.batching.wait = Duration::from_secs(2);
    });
    let file = png(&levels("near.npy", 1)[0]);
    let answer = client.send(post("/v1/score", "image/png", file));
    assert_eq!(answer.status, 504);
    assert!(answer.error().contains("within 0.05 s"));
}
