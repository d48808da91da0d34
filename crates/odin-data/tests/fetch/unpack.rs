//! Archives, good and hostile.

use std::fs;
use std::io::{Cursor, Write};

use flate2::{Compression, write::GzEncoder};
use odin_data::fetch::Fetched;
use odin_data::registry::Located;
use odin_data::{Error, ErrorKind};
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::bench::{Bench, assert_error};
use super::server::Reply;

const FIELDS: &str = "unpack = true\nmember = 'top/images'";

/// A member of an archive: its type, name and content; for links, the content is the target.
type Member = (EntryType, &'static str, &'static str);

const DIR: EntryType = EntryType::Directory;
const FILE: EntryType = EntryType::Regular;

const GOOD: &[Member] = &[
    (DIR, "top/", ""),
    (FILE, "top/images/a.txt", "A"),
    (FILE, "./top/images/deep/b.txt", "B"),
    (FILE, "readme", "R"),
];

fn tar_of(members: &[Member]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, content) in members {
        let mut header = Header::new_gnu();
        // Written as it is: the setter of the tar crate refuses hostile names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        if is_link {
            header.set_link_name_literal(content).unwrap();
        }
        let data = if is_link { "" } else { content };
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip_of(members: &[Member]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    for (kind, name, content) in members {
        match kind {
            EntryType::Directory => writer.add_directory(*name, options).unwrap(),
            EntryType::Symlink => writer.add_symlink(*name, *content, options).unwrap(),
            _ => {
                writer.start_file(*name, options).unwrap();
                writer.write_all(content.as_bytes()).unwrap();
            }
        }
    }
    writer.finish().unwrap().into_inner()
}

/// Two files of one name. The writer of the zip crate refuses to write them.
fn zip_with_one_name_twice() -> Vec<u8> {
    let mut bytes = zip_of(&[(FILE, "top/images/a", "1"), (FILE, "top/images/b", "2")]);
    let (from, to) = (b"images/b", b"images/a");
    let places: Vec<_> = (0..bytes.len() - from.len())
        .filter(|&i| bytes[i..].starts_with(from))
        .collect();
    assert_eq!(
        places.len(),
        2,
        "one in front of the content and one in the directory"
    );
    for place in places {
        bytes[place..place + to.len()].copy_from_slice(to);
    }
    bytes
}

/// Puts the archive into the data folder and fetches it, which unpacks it.
fn unpack(bench: &Bench, archive: &[u8]) -> Result<Fetched, Error> {
    fs::write(bench.path("thing.pack"), archive).unwrap();
    bench.fetch("thing.pack", FIELDS)
}

fn bench() -> Bench {
    Bench::new(|_| Reply::new(404, ""))
}

#[test]
fn archives_are_unpacked_into_the_entrys_folder() {
    for archive in [tar_of(GOOD), gz(&tar_of(GOOD)), zip_of(GOOD)] {
        let bench = bench();
        let fetched = unpack(&bench, &archive).unwrap();
        assert_eq!(
            fetched.path(),
            Some(bench.path("thing/top/images").as_path())
        );
        for (path, content) in [
            ("thing/top/images/a.txt", "A"),
            ("thing/top/images/deep/b.txt", "B"),
            ("thing/readme", "R"),
        ] {
            assert_eq!(fs::read_to_string(bench.path(path)).unwrap(), content);
        }
        assert_eq!(bench.names(), ["checksums.toml", "thing", "thing.pack"]);
        // From now on it is found unpacked.
        fs::remove_file(bench.path("thing.pack")).unwrap();
        assert_eq!(
            bench.fetch("thing.pack", FIELDS).unwrap().path(),
            fetched.path()
        );
        assert!(bench.server.requests().is_empty());
    }
}

#[test]
fn a_download_is_unpacked() {
    let bench = Bench::new(|_| Reply::new(200, gz(&tar_of(GOOD))));
    let fetched = bench.fetch("thing.tar.gz", FIELDS).unwrap();
    assert!(matches!(fetched, Fetched::Downloaded { .. }));
    assert_eq!(
        fetched.path(),
        Some(bench.path("thing/top/images").as_path())
    );
}

#[test]
fn long_names_are_read() {
    let long = format!("top/images/{}.txt", "n".repeat(180));
    let mut gnu = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(1);
    gnu.append_data(&mut header, &long, &b"L"[..]).unwrap();
    let mut pax = Builder::new(Vec::new());
    pax.append_pax_extensions([("path", long.as_bytes())])
        .unwrap();
    let mut header = Header::new_ustar();
    header.set_path("short").unwrap();
    header.set_size(1);
    header.set_cksum();
    pax.append(&header, &b"L"[..]).unwrap();
    for archive in [gnu.into_inner().unwrap(), pax.into_inner().unwrap()] {
        let bench = bench();
        unpack(&bench, &archive).unwrap();
        assert_eq!(fs::read(bench.path("thing").join(&long)).unwrap(), b"L");
    }
}

#[test]
fn an_archive_in_the_entrys_own_folder_is_unpacked_there() {
    let bench = bench();
    fs::create_dir(bench.path("thing")).unwrap();
    fs::write(bench.path("thing/thing.pack"), tar_of(GOOD)).unwrap();
    let fetched = bench.fetch("thing.pack", FIELDS).unwrap();
    assert_eq!(
        fetched.path(),
        Some(bench.path("thing/top/images").as_path())
    );
    assert!(bench.path("thing/thing.pack").is_file());
}

#[test]
fn hostile_members_end_the_unpacking() {
    let tars: &[(&[Member], &str)] = &[
        (&[(FILE, "../evil", "x")], "leads out"),
        (&[(FILE, "top/../../evil", "x")], "leads out"),
        (&[(DIR, "../evil", "")], "leads out"),
        (&[(FILE, "/evil", "x")], "plain relative path"),
        (&[(FILE, "top\\..\\..\\evil", "x")], "plain relative path"),
        (&[(FILE, "C:evil", "x")], "plain relative path"),
        (&[(FILE, "top/a\nb", "x")], "plain relative path"),
        (&[(EntryType::Symlink, "top/link", "/etc")], "link"),
        (
            &[
                (EntryType::Symlink, "top/link", ".."),
                (FILE, "top/link/x", "x"),
            ],
            "link",
        ),
        (&[(EntryType::Link, "top/link", "/etc/passwd")], "link"),
        (&[(EntryType::Char, "top/device", "")], "device"),
        (&[(EntryType::Fifo, "top/pipe", "")], "device"),
        (&[(FILE, "top/a", "1"), (FILE, "top/a", "2")], "twice"),
        (&[(FILE, "top/a", "1"), (FILE, "./top//a", "2")], "twice"),
        (
            &[(FILE, "top", "x"), (FILE, "top/images/a", "x")],
            "the name of a folder",
        ),
        (
            &[(FILE, "top/images", "x"), (DIR, "top/images/", "")],
            "the name of a folder",
        ),
        (
            &[(DIR, "top/images/", ""), (FILE, "top/images", "x")],
            "twice",
        ),
        (&[(FILE, "other", "x")], "holds no top/images"),
        (&[(DIR, "top/images/", "")], "nothing in it"),
        (&[], "holds no top/images"),
    ];
    let zips: &[(&[Member], &str)] = &[
        (&[(FILE, "../evil", "x")], "leads out"),
        (&[(FILE, "/evil", "x")], "plain relative path"),
        (&[(FILE, "..\\evil", "x")], "plain relative path"),
        (&[(EntryType::Symlink, "top/link", "/etc")], "link"),
        (&[(FILE, "other", "x")], "holds no top/images"),
    ];
    let tars = tars.iter().map(|(members, word)| (tar_of(members), word));
    let zips = zips.iter().map(|(members, word)| (zip_of(members), word));
    let one_name = (zip_with_one_name_twice(), &"two members of one name");
    for (archive, word) in tars.chain(zips).chain([one_name]) {
        let bench = bench();
        let outer = bench.dir.path().parent().unwrap().join("evil");
        let error = unpack(&bench, &archive).unwrap_err();
        assert_error(&error, ErrorKind::Malformed, &["thing.pack", word]);
        assert_eq!(bench.names(), ["checksums.toml", "thing.pack"], "{error}");
        assert!(!outer.exists());
    }
}

#[test]
fn bombs_end_at_the_limits() {
    let zeros: &'static str = Box::leak("0".repeat(3_000_000).into_boxed_str());
    let large: &[Member] = &[(FILE, "top/images/a", zeros)];
    for archive in [gz(&tar_of(large)), zip_of(large)] {
        let mut bench = bench();
        bench.options.unpack_limits.max_bytes = 1_000_000;
        let error = unpack(&bench, &archive).unwrap_err();
        assert_error(&error, ErrorKind::Malformed, &["more than 1000000 bytes"]);
        assert_eq!(bench.names(), ["checksums.toml", "thing.pack"]);
    }
    for archive in [tar_of(GOOD), zip_of(GOOD)] {
        let mut bench = bench();
        bench.options.unpack_limits.max_members = 3;
        let error = unpack(&bench, &archive).unwrap_err();
        assert_error(&error, ErrorKind::Malformed, &["more than 3 files"]);
    }
    // A name of any length would have to be held in memory.
    let names: &[Member] = &[(EntryType::GNULongName, "././@LongLink", zeros)];
    let error = unpack(&bench(), &gz(&tar_of(names))).unwrap_err();
    assert_error(&error, ErrorKind::Malformed, &["extension header"]);
}

#[test]
fn a_damaged_archive_is_named_and_its_checksum_is_not_kept() {
    let whole = gz(&tar_of(GOOD));
    let cut = whole[..whole.len() / 2].to_vec();
    let bench = Bench::new(move |r| match r.number {
        0 => Reply::new(200, cut.clone()),
        _ => Reply::new(200, whole.clone()),
    });
    let error = bench.fetch("thing.tar.gz", FIELDS).unwrap_err();
    assert_error(
        &error,
        ErrorKind::Malformed,
        &["thing.tar.gz", "damaged", "fetch it again"],
    );
    assert!(!bench.path("thing").exists());
    fs::remove_file(bench.path("thing.tar.gz")).unwrap();
    bench.fetch("thing.tar.gz", FIELDS).unwrap();
}

/// What a run that was killed may have left beside the archive, and after it nothing of the
/// archive's is missing.
const LEFT: &[&[&str]] = &[
    &[".thing.unpacking/"],
    &[".thing.unpacking/lock"],
    &[
        ".thing.unpacking/lock",
        ".thing.unpacking/content/top/images/half",
    ],
    &["thing/"],
    // Earlier versions moved one piece after the other, that with the member last.
    &[".unpacking-thing/top/images/half"],
    &[".unpacking-thing/top/images/a.txt", "thing/readme"],
    &[
        ".unpacking-thing/top/images/a.txt",
        "thing/readme",
        "thing/other/b.txt",
    ],
];

#[test]
fn what_an_interrupted_run_left_is_repaired() {
    for archive_is_here in [true, false] {
        for left in LEFT {
            let archive = tar_of(GOOD);
            let bench = Bench::new(move |_| Reply::new(200, archive.clone()));
            if archive_is_here {
                fs::write(bench.path("thing.pack"), tar_of(GOOD)).unwrap();
            }
            for path in *left {
                let at = bench.path(path);
                fs::create_dir_all(at.parent().unwrap()).unwrap();
                match path.ends_with('/') {
                    true => fs::create_dir(at).unwrap(),
                    false => fs::write(at, "half").unwrap(),
                }
            }
            let fetched = bench.fetch("thing.pack", FIELDS).unwrap();
            let whole = bench.path("thing/top/images");
            assert_eq!(fetched.path(), Some(whole.as_path()), "{left:?}");
            let read = |name: &str| fs::read_to_string(whole.join(name)).unwrap();
            assert_eq!([read("a.txt"), read("deep/b.txt")], ["A", "B"], "{left:?}");
            assert!(!whole.join("half").exists(), "{left:?}");
            let names = ["checksums.toml", "thing", "thing.pack"];
            assert_eq!(bench.names(), names, "{left:?}");
            assert_eq!(bench.server.requests().is_empty(), archive_is_here);
        }
    }
}

/// Whenever the set is found while it is unpacked, all of it is there.
#[test]
fn what_counts_as_here_is_whole() {
    let names: Vec<_> = (0..100).map(|i| format!("top/images/{i}.txt")).collect();
    let members = names
        .iter()
        .map(|name| (FILE, name.clone().leak() as &str, "x"));
    let others = [(FILE, "a-readme", "R"), (FILE, "z/readme", "R")];
    let archive = tar_of(&members.chain(others).collect::<Vec<_>>());
    for _ in 0..4 {
        let bench = bench();
        fs::write(bench.path("thing.pack"), &archive).unwrap();
        let entry = bench.entry("thing.pack", FIELDS);
        std::thread::scope(|scope| {
            let fetch = scope.spawn(|| bench.fetch("thing.pack", FIELDS).unwrap());
            while !fetch.is_finished() {
                if let Located::Here(path) = entry.locate(bench.dir.path()) {
                    assert_eq!(path, bench.path("thing/top/images"));
                    assert_eq!(fs::read_dir(path).unwrap().count(), names.len());
                }
            }
        });
    }
}

#[test]
fn one_unpacking_at_a_time() {
    let bench = bench();
    fs::create_dir(bench.path(".thing.unpacking")).unwrap();
    let lock = fs::File::create(bench.path(".thing.unpacking/lock")).unwrap();
    lock.lock().unwrap();
    let error = unpack(&bench, &tar_of(GOOD)).unwrap_err();
    assert_error(
        &error,
        ErrorKind::Io,
        &["being unpacked by another process"],
    );
    lock.unlock().unwrap();
    unpack(&bench, &tar_of(GOOD)).unwrap();
}

#[test]
fn what_is_in_the_way_is_named() {
    let bench = bench();
    fs::create_dir_all(bench.path("thing/top")).unwrap();
    fs::write(bench.path("thing/thing.pack"), tar_of(GOOD)).unwrap();
    let error = bench.fetch("thing.pack", FIELDS).unwrap_err();
    assert_error(&error, ErrorKind::Io, &["top", "in the way"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_archives_never_panic(
        kind in 0..3usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut archive = [tar_of(GOOD), gz(&tar_of(GOOD)), zip_of(GOOD)][kind].clone();
        for (place, value) in flips {
            let place = place.index(archive.len());
            archive[place] = value;
        }
        archive.truncate(cut.index(archive.len()) + 1);
        let bench = bench();
        let outcome = unpack(&bench, &archive);
        prop_assert!(!bench.path(".thing.unpacking").exists());
        prop_assert_eq!(outcome.is_ok(), bench.path("thing").exists());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let bench = bench();
        prop_assert!(unpack(&bench, &bytes).is_err());
    }
}
