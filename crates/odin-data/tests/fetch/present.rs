//! What lies here already, what is recorded, and what the disk refuses.

use std::fs;

use odin_data::ErrorKind;
use odin_data::fetch::{Check, Fetched, fetch};
use odin_data::registry::Registry;

use super::bench::{Bench, assert_error, content, sha256_field};
use super::server::Reply;

fn bench() -> Bench {
    Bench::new(|_| Reply::new(200, content(5000)))
}

#[test]
fn what_is_here_is_verified_without_network() {
    for (place, fields, expected) in [
        ("thing.bin", sha256_field(&content(5000)), Check::Registry),
        (
            "thing/thing.bin",
            sha256_field(&content(5000)),
            Check::Registry,
        ),
        ("thing.bin", String::new(), Check::FirstSeen),
        ("thing", sha256_field(b"another file"), Check::Unchecked),
    ] {
        let bench = bench();
        let path = bench.path(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content(5000)).unwrap();
        match bench.fetch("thing.bin", &fields).unwrap() {
            Fetched::Present { path: at, check } => assert_eq!((at, check), (path, expected)),
            other => panic!("{other:?}"),
        }
        assert!(bench.server.requests().is_empty());
    }
}

#[test]
fn a_wrong_file_that_is_here_stays_and_is_reported() {
    let bench = bench();
    fs::write(bench.path("thing.bin"), "something else").unwrap();
    let error = bench
        .fetch("thing.bin", "md5 = '00000000000000000000000000000000'")
        .unwrap_err();
    assert_error(
        &error,
        ErrorKind::Checksum,
        &["thing.bin", "expected 00000", "move it away"],
    );
    assert_eq!(bench.names(), ["thing.bin"]);
    assert!(bench.server.requests().is_empty());
}

#[test]
fn the_first_checksum_seen_is_enforced_later() {
    for fields in ["", "sha256_prefix = 'e3b0c442'"] {
        let bench = Bench::new(|r| Reply::new(200, vec![r.number as u8; r.number]));
        let check = |fetched| match fetched {
            Fetched::Present { check, .. } | Fetched::Downloaded { check, .. } => check,
            other => panic!("{other:?}"),
        };
        fs::write(bench.path("thing.bin"), "").unwrap();
        assert_eq!(
            check(bench.fetch("thing.bin", fields).unwrap()),
            Check::FirstSeen
        );
        assert_eq!(
            check(bench.fetch("thing.bin", fields).unwrap()),
            Check::Recorded
        );
        assert_eq!(bench.names(), ["checksums.toml", "thing.bin"]);

        let words = ["recorded in", "checksums.toml", "e3b0c442"];
        let words = if fields.is_empty() {
            &words[..]
        } else {
            &words[2..]
        };
        fs::write(bench.path("thing.bin"), "changed").unwrap();
        let error = bench.fetch("thing.bin", fields).unwrap_err();
        assert_error(&error, ErrorKind::Checksum, words);

        fs::remove_file(bench.path("thing.bin")).unwrap();
        let error = bench.fetch("thing.bin", fields).unwrap_err();
        assert_eq!(bench.server.requests().len(), 2, "{error}");
        assert_eq!(bench.names(), ["checksums.toml"]);
    }
}

#[test]
fn a_damaged_record_is_named() {
    let bench = bench();
    for damage in [
        "not toml",
        "['thing.bin']\nsha1 = 'x'",
        "['thing.bin']\nsize = 'x'",
    ] {
        fs::write(bench.path("checksums.toml"), damage).unwrap();
        bench.fails(
            "thing.bin",
            "",
            ErrorKind::Malformed,
            &["checksums.toml", "mend it"],
        );
    }
}

#[test]
fn offline_never_asks() {
    let mut bench = bench();
    bench.options.offline = true;
    let words = ["thing is not here", "offline", "thing.bin", "download it"];
    bench.fails("thing.bin", "", ErrorKind::NotFound, &words);
    assert!(bench.server.requests().is_empty());
}

#[test]
fn noise_needs_no_file() {
    let bench = bench();
    let registry = Registry::embedded().unwrap();
    let uniform = registry.entry("Uniform").unwrap();
    let fetched = fetch(uniform, bench.dir.path(), &bench.options, &mut |_| {}).unwrap();
    assert_eq!(fetched, Fetched::Generated);
    assert_eq!(fetched.path(), None);
}

#[test]
fn the_data_folder_is_created() {
    let bench = bench();
    let folder = bench.path("deep/er");
    bench
        .fetch_into(&folder, "thing.bin", "", &mut |_| {})
        .unwrap();
    assert!(folder.join("thing.bin").is_file());
}

#[test]
fn what_the_disk_refuses_is_named() {
    let bench = bench();
    let file = bench.path("file");
    fs::write(&file, "").unwrap();
    for folder in [file.clone(), file.join("below")] {
        let error = bench
            .fetch_into(&folder, "thing.bin", "", &mut |_| {})
            .unwrap_err();
        assert_error(
            &error,
            ErrorKind::Io,
            &["data folder", &folder.display().to_string()],
        );
    }
    fs::create_dir(bench.path("thing.bin.part")).unwrap();
    bench.fails("thing.bin", "", ErrorKind::Io, &["thing.bin.part"]);
    fs::remove_dir(bench.path("thing.bin.part")).unwrap();
    fs::create_dir(bench.path("checksums.toml")).unwrap();
    bench.fails("thing.bin", "", ErrorKind::Io, &["checksums.toml"]);
}

#[test]
fn one_download_of_a_file_at_a_time() {
    let bench = bench();
    let part = fs::File::create(bench.path("thing.bin.part")).unwrap();
    part.lock().unwrap();
    bench.fails(
        "thing.bin",
        "",
        ErrorKind::Io,
        &["thing.bin.part", "another process"],
    );
    part.unlock().unwrap();
    bench.fetch("thing.bin", "").unwrap();
}

/// A note of an earlier version may be of a file that was put together from two.
#[test]
fn an_unknown_or_broken_note_starts_over() {
    for note in [
        "",
        "garbage",
        "url = 5",
        "url = '{url}'\ntotal = 9",
        "url = '{url}'\netag = '\"v1\"'\ntotal = 5000",
        "url = '{url}'\nlast_modified = 'Mon, 01 Jan 2018 00:00:00 GMT'\ntotal = 5000",
    ] {
        let bench = bench();
        fs::write(bench.path("thing.bin.part"), "left over").unwrap();
        let note = note.replace("{url}", &bench.server.url("/a"));
        fs::write(bench.path("thing.bin.part.toml"), note).unwrap();
        bench
            .fetch("thing.bin", &sha256_field(&content(5000)))
            .unwrap();
        assert_eq!(bench.ranges(), [0]);
        assert_eq!(bench.names(), ["thing.bin"]);
    }
}

/// Of two fetches at once each brings the whole file, or says that the other one is at it; under
/// the final name there is never anything else.
#[test]
fn two_fetches_at_once_show_no_unverified_file() {
    for _ in 0..20 {
        let bench = bench();
        let path = bench.path("thing.bin");
        let fields = sha256_field(&content(5000));
        let fetch_until_here = || {
            loop {
                match bench.fetch("thing.bin", &fields) {
                    Ok(fetched) => break assert_eq!(fetched.path(), Some(path.as_path())),
                    Err(error) => assert_error(&error, ErrorKind::Io, &["another process"]),
                }
            }
        };
        std::thread::scope(|scope| {
            let fetches = [(); 3].map(|()| scope.spawn(fetch_until_here));
            while !fetches.iter().all(|fetch| fetch.is_finished()) {
                if let Ok(found) = fs::read(&path) {
                    assert!(found == content(5000), "{} bytes", found.len());
                }
            }
        });
        assert_eq!(bench.names(), ["thing.bin"]);
        assert_eq!(bench.server.requests().len(), 1);
    }
}

#[test]
fn no_record_is_lost_to_another_fetch() {
    let bench = bench();
    let names: Vec<_> = (0..8).map(|i| format!("thing{i}.bin")).collect();
    for name in &names {
        fs::write(bench.path(name), name).unwrap();
    }
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| bench.fetch(name, "").unwrap());
        }
    });
    let record = fs::read_to_string(bench.path("checksums.toml")).unwrap();
    for name in &names {
        assert!(record.contains(name), "no {name} in {record}");
    }
}

#[cfg(unix)]
#[test]
fn no_link_in_the_place_of_a_temporary_file_is_followed() {
    let bench = bench();
    fs::write(bench.path("precious"), "precious").unwrap();
    for link in ["thing.bin.part", "checksums.toml"] {
        std::os::unix::fs::symlink(bench.path("precious"), bench.path(link)).unwrap();
        bench.fails(
            "thing.bin",
            "",
            ErrorKind::Io,
            &[link, "not a regular file"],
        );
        fs::remove_file(bench.path(link)).unwrap();
    }
    assert_eq!(fs::read(bench.path("precious")).unwrap(), b"precious");
}

#[cfg(unix)]
#[test]
fn certificates_without_an_end_are_refused() {
    let mut bench = bench();
    bench.options.root_certificates = Some("/dev/zero".into());
    bench.fails(
        "thing.bin",
        "",
        ErrorKind::Io,
        &["/dev/zero", "not a regular file"],
    );
}
