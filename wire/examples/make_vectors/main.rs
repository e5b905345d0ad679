//! Writes the test vectors of `spec/vectors`: the same bytes at every run, on every machine.
//!
//! `cargo run -p duohuo-wire --example make_vectors`. `wire/tests/vectors.rs` asserts that the committed files are
//! what this writes, and `tools/vectors/check.py` reads them with a decoder that shares no code with this one.

mod files;

fn main() -> std::io::Result<()> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors");
    for (name, text) in files::all() {
        std::fs::write(directory.join(name), text)?;
    }
    Ok(())
}
