//! A service that cannot start says why.

use crate::client::demo;
use odin::CalibratedDetector;
use odin_serve::{ErrorKind, ServeOptions, Server, TlsFiles};
use std::path::PathBuf;

type Change = fn(&mut ServeOptions);

#[test]
fn what_cannot_be_served_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let copy = folder.path().join("detector.toml");
    std::fs::copy(demo("detector.toml"), &copy).unwrap();
    let own = || vec![demo("detector.toml")];
    let nothing: Change = |_| {};
    let cases: Vec<(Vec<PathBuf>, Change, ErrorKind, &str)> = vec![
        (vec![], nothing, ErrorKind::Detector, "no detector to serve"),
        (
            vec!["there-is.toml".into()],
            nothing,
            ErrorKind::Detector,
            "there-is.toml",
        ),
        (
            vec![file("a b.toml", "")],
            nothing,
            ErrorKind::Detector,
            "rename the file",
        ),
        (
            vec![file("broken.toml", "x")],
            nothing,
            ErrorKind::Detector,
            "broken.toml",
        ),
        (vec![copy], nothing, ErrorKind::Detector, "the model"),
        (
            [own(), own()].concat(),
            nothing,
            ErrorKind::Detector,
            "have the name detector",
        ),
        (
            own(),
            |o| o.limits.queue = 1,
            ErrorKind::Options,
            "contradict",
        ),
        (
            own(),
            |o| o.token_file = Some("no-token".into()),
            ErrorKind::Token,
            "no-token",
        ),
        (
            own(),
            |o| {
                o.tls = Some(TlsFiles {
                    certificate: demo("detector.toml"),
                    key: "no-key".into(),
                });
            },
            ErrorKind::Tls,
            "no certificate in PEM",
        ),
    ];
    for (files, change, kind, expected) in cases {
        let mut options = ServeOptions::default();
        change(&mut options);
        let opened = Server::open(files, CalibratedDetector::options(), options);
        let error = opened.err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = ServeOptions::default();
    options.address = taken.local_addr().unwrap();
    let server = Server::open(
        [demo("detector.toml")],
        CalibratedDetector::options(),
        options,
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(server.unwrap().bind()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Address);
    let address = taken.local_addr().unwrap().to_string();
    assert!(error.to_string().contains(&address), "{error}");
}
