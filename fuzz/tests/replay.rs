//! Every target holds on what it starts from and on every input that once broke it: on a stable compiler, without libFuzzer.

#![forbid(unsafe_code)]

use std::{collections::BTreeSet, fs, path::Path};

use duohuo_fuzz::{TARGETS, packets, seeds};
use duohuo_wire::packet::PacketType;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_target_holds_on_its_seeds() {
    for target in TARGETS {
        let seeds = seeds::of(target.name, &here().join("../spec/vectors"));
        assert!(!seeds.is_empty(), "{} starts from something", target.name);
        for seed in seeds {
            (target.check)(&seed);
        }
    }
}

#[test]
fn every_target_holds_on_its_regressions() {
    for target in TARGETS {
        let mut files: Vec<_> = fs::read_dir(here().join("regressions").join(target.name))
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        files.sort_by_key(fs::DirEntry::path);
        for file in files {
            println!("{}", file.path().display());
            (target.check)(&fs::read(file.path()).expect("a regression can be read"));
        }
    }
}

#[test]
fn every_directory_of_regressions_is_a_targets() {
    let known: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    for entry in fs::read_dir(here().join("regressions")).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().expect("names are text");
        assert!(known.contains(name.as_str()), "regressions/{name} is replayed by no target");
    }
}

#[test]
fn each_target_has_a_binary_and_each_binary_a_target() {
    let table: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let files: BTreeSet<String> = fs::read_dir(here().join("fuzz_targets"))
        .expect("the binaries")
        .flatten()
        .filter_map(|entry| entry.path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    assert_eq!(files, table);
    let manifest = fs::read_to_string(here().join("Cargo.toml")).expect("the manifest");
    for name in &table {
        assert!(manifest.contains(&format!("\"fuzz_targets/{name}.rs\"")), "{name} is in Cargo.toml");
    }
}

#[test]
fn the_families_are_all_packet_types_once_each() {
    let types: Vec<PacketType> =
        packets::FAMILIES.iter().flat_map(|(_, types)| types.iter().copied()).collect();
    let mut sorted = types.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, PacketType::ALL);
}

#[test]
fn the_seeds_are_the_same_on_each_run() {
    for target in TARGETS {
        let vectors = here().join("../spec/vectors");
        assert_eq!(seeds::of(target.name, &vectors), seeds::of(target.name, &vectors));
    }
}

/// What campaigns have left in `corpus/`, if it is asked for: an hour's corpus takes minutes, and is nobody else's.
#[test]
fn every_target_holds_on_its_corpus_if_asked() {
    if std::env::var_os("DUOHUO_FUZZ_CORPORA").is_none() {
        println!("set DUOHUO_FUZZ_CORPORA to replay fuzz/corpus as well");
        return;
    }
    for target in TARGETS {
        for file in fs::read_dir(here().join("corpus").join(target.name)).into_iter().flatten().flatten() {
            (target.check)(&fs::read(file.path()).expect("an input can be read"));
        }
    }
}
