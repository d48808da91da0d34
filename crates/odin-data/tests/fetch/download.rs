//! Whatever the server does, the file is right or absent.

use std::fs;
use std::time::Duration;

use odin_data::ErrorKind;
use odin_data::fetch::{Check, Fetched, Progress, fetch};
use odin_data::registry::Registry;

use super::bench::{Bench, assert_error, content, sha256, sha256_field};
use super::server::{Reply, Request, rest, well_behaved};

const LEN: usize = 200_000;

type Handler = fn(&Request) -> Reply;

fn file() -> Vec<u8> {
    content(LEN)
}

fn ok(request: &Request) -> Reply {
    well_behaved(request, &file(), "\"v1\"")
}

const OLD: &str = "Mon, 01 Jan 2018 00:00:00 GMT";

/// A reply of 2 January 2018, 0:00.
fn dated(reply: Reply, last_modified: &str) -> Reply {
    reply
        .header("Date", "Tue, 02 Jan 2018 00:00:00 GMT")
        .header("Last-Modified", last_modified)
}

/// The file arrives complete and right.
struct Arrives {
    why: &'static str,
    handler: Handler,
    /// Asked for, in order; 0 is a plain request.
    ranges: &'static [usize],
}

const ARRIVES: &[Arrives] = &[
    Arrives {
        why: "at once",
        handler: ok,
        ranges: &[0],
    },
    Arrives {
        why: "without a length",
        handler: |_| Reply::new(200, file()).without_length(),
        ranges: &[0],
    },
    Arrives {
        why: "cut three times, each time continued",
        handler: |r| match r.number {
            0..3 => ok(r).cut_after(50_000),
            _ => ok(r),
        },
        ranges: &[0, 50_000, 100_000, 150_000],
    },
    Arrives {
        why: "the server stalls once",
        handler: |r| match r.number {
            0 => ok(r).stall_after(70_000),
            _ => ok(r),
        },
        ranges: &[0, 70_000],
    },
    Arrives {
        why: "the server stalls before its first byte",
        handler: |r| match r.number {
            0 => ok(r).stall_after(0),
            _ => ok(r),
        },
        ranges: &[0, 0],
    },
    Arrives {
        why: "the server hangs up once",
        handler: |r| match r.number {
            0 => Reply::hang_up(),
            _ => ok(r),
        },
        ranges: &[0, 0],
    },
    Arrives {
        why: "a range is answered with the whole file",
        handler: |r| match r.number {
            0 => ok(r).cut_after(1000),
            _ => Reply::new(200, file()),
        },
        ranges: &[0, 1000],
    },
    Arrives {
        why: "a range is answered with 416",
        handler: |r| match r.range {
            None if r.number == 0 => ok(r).cut_after(1000),
            Some(_) => Reply::new(416, "").header("Content-Range", format!("bytes */{LEN}")),
            None => ok(r),
        },
        ranges: &[0, 1000, 0],
    },
    Arrives {
        why: "a range is answered from another place",
        handler: |r| match (r.number, r.range) {
            (0, _) => ok(r).cut_after(1000),
            (_, Some(from)) => rest(&file(), from + 1).header("ETag", "\"v1\""),
            (_, None) => ok(r),
        },
        ranges: &[0, 1000, 0],
    },
    Arrives {
        why: "a range is answered without Content-Range",
        handler: |r| match (r.number, r.range) {
            (0, _) => ok(r).cut_after(1000),
            (_, Some(from)) => Reply::new(206, &file()[from..]).header("ETag", "\"v1\""),
            (_, None) => ok(r),
        },
        ranges: &[0, 1000, 0],
    },
    Arrives {
        why: "the file changed, the server honours If-Range",
        handler: |r| match r.number {
            0 => well_behaved(r, &content(LEN + 5), "\"v0\"").cut_after(1000),
            _ => ok(r),
        },
        ranges: &[0, 1000],
    },
    Arrives {
        why: "the file changed, the server ignores If-Range, the tag tells",
        handler: |r| match (r.number, r.range) {
            (0, _) => Reply::new(200, vec![7; LEN])
                .header("ETag", "\"v0\"")
                .cut_after(1000),
            (_, Some(from)) => rest(&file(), from).header("ETag", "\"v1\""),
            (_, None) => ok(r),
        },
        ranges: &[0, 1000, 0],
    },
    Arrives {
        why: "cut, and continued by its date",
        handler: |r| match (r.number, r.range) {
            (0, _) => dated(Reply::new(200, file()), OLD).cut_after(1000),
            (_, Some(from)) => dated(rest(&file(), from), OLD),
            (_, None) => ok(r),
        },
        ranges: &[0, 1000],
    },
    Arrives {
        why: "the file changed, the date tells",
        handler: |r| match (r.number, r.range) {
            (0, _) => dated(Reply::new(200, vec![7; LEN]), OLD).cut_after(1000),
            (_, Some(from)) => dated(rest(&file(), from), "Mon, 01 Jan 2018 00:00:01 GMT"),
            (_, None) => ok(r),
        },
        ranges: &[0, 1000, 0],
    },
    Arrives {
        why: "the file changed, the server ignores If-Range, only its length tells",
        handler: |r| match (r.number, r.range) {
            (0, _) => well_behaved(r, &vec![7; LEN + 5], "\"v1\"").cut_after(1000),
            (_, Some(from)) => rest(&file(), from).header("ETag", "\"v1\""),
            (_, None) => ok(r),
        },
        ranges: &[0, 1000, 0],
    },
    Arrives {
        why: "the file changed, the server swears that it did not, only the checksum tells",
        handler: |r| match (r.number, r.range) {
            (0, _) => well_behaved(r, &vec![7; LEN], "\"v1\"").cut_after(1000),
            _ => ok(r),
        },
        ranges: &[0, 1000, 0],
    },
    Arrives {
        why: "a rest that is shorter than its range",
        handler: |r| match (r.number, r.range) {
            (0, _) => ok(r).cut_after(1000),
            (_, Some(from)) => {
                let mut reply = ok(r);
                reply.body.truncate(LEN - from - 1);
                reply
            }
            (_, None) => ok(r),
        },
        ranges: &[0, 1000, 0],
    },
    Arrives {
        why: "a rest that is longer than its range",
        handler: |r| match (r.number, r.range) {
            (0, _) => ok(r).cut_after(1000),
            (_, Some(_)) => {
                let mut reply = ok(r).chunked();
                reply.body.push(0);
                reply
            }
            (_, None) => ok(r),
        },
        ranges: &[0, 1000, 0],
    },
    Arrives {
        why: "redirected",
        handler: |r| match r.line.as_str() {
            "GET /a" => Reply::new(302, "").header("Location", "/elsewhere"),
            _ => ok(r),
        },
        ranges: &[0, 0],
    },
    Arrives {
        why: "not found, then the second address",
        handler: |r| match r.line.as_str() {
            "GET /a" => Reply::new(404, "<html>no</html>").header("Content-Type", "text/html"),
            _ => ok(r),
        },
        ranges: &[0, 0],
    },
    Arrives {
        why: "failing, retried, then the second address",
        handler: |r| match r.line.as_str() {
            "GET /a" => Reply::new(500, ""),
            _ => ok(r),
        },
        ranges: &[0, 0, 0, 0, 0],
    },
    Arrives {
        why: "busy once",
        handler: |r| match r.number {
            0 => Reply::new(503, ""),
            _ => ok(r),
        },
        ranges: &[0, 0],
    },
    Arrives {
        why: "a web page, then the second address",
        handler: |r| match r.line.as_str() {
            "GET /a" => Reply::new(200, "\n <!DOCTYPE HTML><title>gone</title>"),
            _ => ok(r),
        },
        ranges: &[0, 0],
    },
    Arrives {
        why: "wrong content, then the second address",
        handler: |r| match r.line.as_str() {
            "GET /a" => Reply::new(200, content(LEN - 1)),
            _ => ok(r),
        },
        ranges: &[0, 0],
    },
    Arrives {
        why: "redirected in a circle, then the second address",
        handler: |r| match r.line.as_str() {
            "GET /b" => ok(r),
            _ => Reply::new(302, "").header("Location", "/a"),
        },
        ranges: &[0, 0, 0, 0],
    },
];

#[test]
fn the_file_arrives_whatever_the_server_does() {
    for case in ARRIVES {
        let mut bench = Bench::new(case.handler);
        bench.options.max_redirects = 2;
        let fetched = bench
            .fetch("thing.bin", &sha256_field(&file()))
            .unwrap_or_else(|error| panic!("{}: {error}", case.why));
        let path = bench.path("thing.bin");
        match fetched {
            Fetched::Downloaded {
                path: at, check, ..
            } => {
                assert_eq!((at, check), (path.clone(), Check::Registry), "{}", case.why);
            }
            other => panic!("{}: {other:?}", case.why),
        }
        assert!(
            fs::read(path).unwrap() == file(),
            "{}: wrong bytes",
            case.why
        );
        assert_eq!(bench.names(), ["thing.bin"], "{}", case.why);
        assert_eq!(bench.ranges(), case.ranges, "{}", case.why);
    }
}

/// Nothing arrives, and the message says why.
struct Fails {
    why: &'static str,
    file: &'static str,
    fields: &'static str,
    handler: Handler,
    kind: ErrorKind,
    words: &'static [&'static str],
    /// What is left in the data folder.
    left: &'static [&'static str],
}

const ZEROS: &str = "sha256 = '0000000000000000000000000000000000000000000000000000000000000000'";
const PART: &[&str] = &["thing.bin.part", "thing.bin.part.toml"];

const FAILS: &[Fails] = &[
    Fails {
        why: "wrong checksum",
        file: "thing.bin",
        fields: ZEROS,
        handler: ok,
        kind: ErrorKind::Checksum,
        words: &[
            "sha256",
            "expected 00000000",
            "/a",
            "/b",
            "rebuild",
            "random-crop:32",
        ],
        left: &[],
    },
    Fails {
        why: "wrong md5",
        file: "thing.bin",
        fields: "md5 = '00000000000000000000000000000000'",
        handler: ok,
        kind: ErrorKind::Checksum,
        words: &["md5", "expected 00000000"],
        left: &[],
    },
    Fails {
        why: "wrong git blob sha1",
        file: "thing.bin",
        fields: "git_blob_sha1 = '0000000000000000000000000000000000000000'",
        handler: ok,
        kind: ErrorKind::Checksum,
        words: &["git blob sha1", "expected 00000000"],
        left: &[],
    },
    Fails {
        why: "wrong start of the sha256",
        file: "thing.bin",
        fields: "sha256_prefix = '00000000'",
        handler: ok,
        kind: ErrorKind::Checksum,
        words: &["starts with 00000000"],
        left: &[],
    },
    Fails {
        why: "wrong size",
        file: "thing.bin",
        fields: "size = 5",
        handler: ok,
        kind: ErrorKind::Network,
        words: &["200000 bytes, expected 5"],
        left: &[],
    },
    Fails {
        why: "wrong size that shows late",
        file: "thing.bin",
        fields: "size = 5",
        handler: |r| ok(r).without_length(),
        kind: ErrorKind::Network,
        words: &["larger than 5 bytes"],
        left: &[],
    },
    Fails {
        why: "smaller than it should be",
        file: "thing.bin",
        fields: "size = 200001",
        handler: |r| ok(r).without_length(),
        kind: ErrorKind::Checksum,
        words: &["it has 200000 bytes, expected 200001"],
        left: &[],
    },
    Fails {
        why: "too large for a file of unknown size",
        file: "thing.bin",
        fields: "",
        handler: |_| Reply::new(200, content(LEN + 1)),
        kind: ErrorKind::Network,
        words: &["larger than 200000 bytes", "not known"],
        left: &[],
    },
    Fails {
        why: "a dead link that answers with a page",
        file: "thing.tar.gz",
        fields: "",
        handler: |_| Reply::new(200, "gone").header("Content-Type", "text/html; charset=utf-8"),
        kind: ErrorKind::Network,
        words: &["web page", "open http://", "save it as", "thing.tar.gz"],
        left: &[],
    },
    Fails {
        why: "not the promised format",
        file: "thing.tar.gz",
        fields: "",
        handler: ok,
        kind: ErrorKind::Network,
        words: &["not a gzip file"],
        left: &[],
    },
    Fails {
        why: "an empty file",
        file: "thing.bin",
        fields: "",
        handler: |_| Reply::new(200, ""),
        kind: ErrorKind::Network,
        words: &["empty"],
        left: &[],
    },
    Fails {
        why: "gone everywhere",
        file: "thing.bin",
        fields: "",
        handler: |_| Reply::new(410, ""),
        kind: ErrorKind::Network,
        words: &["410"],
        left: &[],
    },
    Fails {
        why: "a part nobody asked for",
        file: "thing.bin",
        fields: "",
        handler: |_| rest(&file(), 5),
        kind: ErrorKind::Network,
        words: &["206"],
        left: &[],
    },
    Fails {
        why: "its end cannot be told from a cut",
        file: "thing.bin",
        fields: "",
        handler: |_| Reply::new(200, file()).without_length(),
        kind: ErrorKind::Network,
        words: &["does not say how long the file is"],
        left: &[],
    },
    Fails {
        why: "shorter than the size in the registry, and nothing else known",
        file: "thing.bin",
        fields: "size = 200000",
        handler: |_| Reply::new(200, file()).without_length().cut_after(1000),
        kind: ErrorKind::Checksum,
        words: &["it has 1000 bytes, expected 200000"],
        left: &[],
    },
    Fails {
        why: "shorter than it says, and of no known version",
        file: "thing.bin",
        fields: "",
        handler: |_| Reply::new(200, file()).cut_after(1000),
        kind: ErrorKind::Network,
        words: &["given up after 3 retries"],
        left: &[],
    },
    Fails {
        why: "no last chunk",
        file: "thing.bin",
        fields: "",
        handler: |_| Reply::new(200, file()).chunked().cut_after(1000),
        kind: ErrorKind::Network,
        words: &["given up after 3 retries"],
        left: &[],
    },
    Fails {
        why: "cut for ever",
        file: "thing.bin",
        fields: "",
        handler: |r| match r.line.as_str() {
            "GET /a" => Reply::new(404, ""),
            _ => ok(r).cut_after(1000),
        },
        kind: ErrorKind::Network,
        words: &["given up after 3 retries"],
        left: PART,
    },
    Fails {
        why: "stalled for ever",
        file: "thing.bin",
        fields: "",
        handler: |r| match r.line.as_str() {
            "GET /a" => Reply::new(404, ""),
            _ => ok(r).stall_after(1000),
        },
        kind: ErrorKind::Network,
        words: &["stopped sending"],
        left: PART,
    },
];

#[test]
fn failures_are_told_and_leave_no_final_name() {
    for case in FAILS {
        let mut bench = Bench::new(case.handler);
        bench.options.max_download_bytes = LEN as u64;
        println!("{}", case.why);
        bench.fails(case.file, case.fields, case.kind, case.words);
        assert_eq!(bench.names(), case.left, "{}", case.why);
    }
}

#[test]
fn the_next_call_goes_on_where_the_last_one_ended() {
    let mut bench = Bench::new(|r| match r.number {
        0..2 => ok(r).cut_after(60_000),
        _ => ok(r),
    });
    bench.options.retries = 0;
    bench.fails(
        "thing.bin",
        &sha256_field(&file()),
        ErrorKind::Network,
        &["/a", "/b"],
    );
    assert_eq!(bench.names(), PART);
    bench.fetch("thing.bin", &sha256_field(&file())).unwrap();
    assert_eq!(bench.names(), ["thing.bin"]);
    let lines: Vec<_> = bench
        .server
        .requests()
        .into_iter()
        .map(|r| r.line)
        .collect();
    assert_eq!(lines, ["GET /a", "GET /b", "GET /b"]);
    assert_eq!(bench.ranges(), [0, 0, 60_000]);
}

type Headers = &'static [(&'static str, &'static str)];

/// What the first answer says of the version and what the later ones do, in which there is no
/// strong validator that stays.
const OTHER_VERSIONS: &[(&str, Headers, Headers)] = &[
    ("nothing is said", &[], &[]),
    ("a weak tag", &[("ETag", "W/\"v\"")], &[("ETag", "W/\"v\"")]),
    (
        "a date without a clock",
        &[("Last-Modified", OLD)],
        &[("Last-Modified", OLD)],
    ),
    (
        "a date that is too near",
        &[
            ("Last-Modified", OLD),
            ("Date", "Mon, 01 Jan 2018 00:00:59 GMT"),
        ],
        &[("Last-Modified", OLD)],
    ),
    (
        "a date that is no date",
        &[("Last-Modified", "yesterday"), ("Date", OLD)],
        &[("Last-Modified", "yesterday")],
    ),
    ("no tag any more", &[("ETag", "\"v\"")], &[]),
    ("another tag", &[("ETag", "\"v\"")], &[("ETag", "\"w\"")]),
    (
        "no date any more",
        &[
            ("Last-Modified", OLD),
            ("Date", "Tue, 02 Jan 2018 00:00:00 GMT"),
        ],
        &[],
    ),
];

/// Without a checksum nothing but the server's answers can tell. It has another file of the same
/// length after its first answer, and takes no notice of If-Range.
#[test]
fn no_file_is_put_together_from_two_versions() {
    for &(why, first, then) in OTHER_VERSIONS {
        for retries in [0, 3] {
            let mut bench = Bench::new(move |r| {
                let reply = match (r.number, r.range) {
                    (0, _) => Reply::new(200, vec![7; LEN]).cut_after(1000),
                    (_, Some(from)) => rest(&file(), from),
                    (_, None) => Reply::new(200, file()),
                };
                let headers = if r.number == 0 { first } else { then };
                headers
                    .iter()
                    .fold(reply, |reply, (name, value)| reply.header(name, *value))
            });
            bench.options.retries = retries;
            let fetched = bench.fetch("thing.bin", "").unwrap();
            assert!(
                fs::read(bench.path("thing.bin")).unwrap() == file(),
                "{why}"
            );
            let Fetched::Downloaded { check, .. } = fetched else {
                panic!("{why}: {fetched:?}");
            };
            assert_eq!(check, Check::FirstSeen);
            assert!(!check.is_verified());
            assert_eq!(bench.names(), ["checksums.toml", "thing.bin"], "{why}");
        }
    }
}

#[test]
fn a_chunked_file_of_unknown_length_arrives() {
    let bench = Bench::new(|_| Reply::new(200, file()).chunked());
    bench.fetch("thing.bin", "").unwrap();
    assert!(fs::read(bench.path("thing.bin")).unwrap() == file());
}

#[test]
fn a_server_that_is_too_slow_ends_in_an_error() {
    let slowly: Handler = |r| ok(r).one_byte_every(Duration::from_millis(2));
    let mut bench = Bench::new(slowly);
    bench.options.retries = 0;
    bench.options.min_rate = 2000;
    bench.options.rate_time = Duration::from_millis(100);
    let words = ["too slow: less than 2000 bytes a second over 0.1 s"];
    bench.fails("thing.bin", "", ErrorKind::Network, &words);
    bench.options.min_rate = 1;
    bench.options.read_timeout = Duration::from_millis(50);
    bench.fails(
        "thing.bin",
        "",
        ErrorKind::Network,
        &["did not answer in time"],
    );
    assert_eq!(bench.names(), [""; 0]);
}

#[test]
fn without_a_connection_nothing_is_retried() {
    let bench = Bench::new(ok);
    let fields = "urls = ['http://127.0.0.1:1/x', 'http://name.invalid/x']";
    let mut retries = 0;
    let mut count =
        |event: &Progress<'_>| retries += i32::from(matches!(event, Progress::Retrying { .. }));
    let text = format!(
        "[[dataset]]\nname = 'far'\ntitle = 'Far'\nlicence = 'none'\ncitation = 'none'\n\
         hint = 'ask its author'\n[[dataset.file]]\nname = 'far.bin'\n{fields}"
    );
    let mut registry = Registry::embedded().unwrap();
    registry.extend_from_toml(&text, "test.toml").unwrap();
    let far = registry.entry("far").unwrap();
    let error = fetch(far, bench.dir.path(), &bench.options, &mut count).unwrap_err();
    let words = ["127.0.0.1:1", "name.invalid", "far.bin", "ask its author"];
    assert_error(&error, ErrorKind::Network, &words);
    assert_eq!(retries, 0);
}

#[test]
fn all_kinds_of_checksums_are_accepted_together() {
    let bench = Bench::new(|_| Reply::new(200, "abc"));
    let fields = format!(
        "size = 3\nsha256_prefix = 'ba7816bf'\nmd5 = '900150983CD24FB0D6963F7D28E17F72'\n\
         git_blob_sha1 = 'f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f'\nsha256 = '{}'",
        sha256(b"abc")
    );
    bench.fetch("thing.bin", &fields).unwrap();
}

#[test]
fn progress_tells_what_happens() {
    let bench = Bench::new(|r| match (r.line.as_str(), r.number) {
        ("GET /a", 0) => Reply::new(404, ""),
        (_, 1) => ok(r).cut_after(50_000),
        _ => ok(r),
    });
    let mut seen = Vec::new();
    let mut last = 0;
    let mut note = |event: &Progress<'_>| match event {
        Progress::Started {
            resumed_at, total, ..
        } => {
            assert_eq!(*total, Some(LEN as u64));
            seen.push(format!("started at {resumed_at}"));
        }
        Progress::Received { bytes, total } => {
            assert_eq!(*total, Some(LEN as u64));
            assert!(*bytes > last, "{bytes} after {last}");
            last = *bytes;
        }
        Progress::Retrying { .. } => seen.push("retrying".to_owned()),
        Progress::SourceFailed { reason, .. } => seen.push(format!("failed: {reason}")),
        Progress::Verifying { .. } => seen.push("verifying".to_owned()),
        _ => {}
    };
    let fields = sha256_field(&file());
    bench
        .fetch_into(bench.dir.path(), "thing.bin", &fields, &mut note)
        .unwrap();
    assert_eq!(last, LEN as u64);
    assert_eq!(
        seen,
        [
            "failed: the server answered 404 Not Found",
            "started at 0",
            "retrying",
            "started at 50000",
            "verifying"
        ]
    );
}

#[test]
fn a_proxy_is_used_only_where_told() {
    let target = Bench::new(ok);
    let proxy = Bench::new(|_| Reply::new(403, ""));
    let mut bench = target;
    bench.options.retries = 0;
    bench.options.proxy = Some(proxy.server.url(""));
    bench.fails("thing.bin", "", ErrorKind::Network, &[]);
    assert!(bench.server.requests().is_empty());
    assert!(
        proxy.server.requests()[0]
            .line
            .starts_with("CONNECT 127.0.0.1:")
    );
    bench.options.no_proxy = vec!["127.0.0.1".to_owned()];
    bench.fetch("thing.bin", "").unwrap();
    assert_eq!(proxy.server.requests().len(), 2);
}

#[test]
fn bad_options_are_named() {
    let mut bench = Bench::new(ok);
    bench.options.proxy = Some("::::".to_owned());
    bench.fails("thing.bin", "", ErrorKind::Invalid, &["proxy"]);
    bench.options.proxy = None;
    bench.options.root_certificates = Some(bench.path("none.pem"));
    bench.fails("thing.bin", "", ErrorKind::NotFound, &["none.pem"]);
    fs::write(bench.path("none.pem"), "not a certificate").unwrap();
    bench.fails("thing.bin", "", ErrorKind::Invalid, &["none.pem", "PEM"]);
}
