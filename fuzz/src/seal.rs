//! Checksums of changed `detector.toml` files, at which the fuzzer's changes would end.

use sha2::{Digest, Sha256};

/// The text with the checksum that belongs to it in the place of its own, if it has one.
pub fn sealed(text: &str) -> String {
    let is_checksum = |line: &&str| line.trim_start().starts_with("checksum");
    let mut others: Vec<&str> = text.lines().collect();
    if let Some(own) = others.iter().position(is_checksum) {
        others.remove(own);
    }
    let digest = Sha256::digest(others.join("\n"));
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    match text.lines().find(is_checksum) {
        Some(line) => text.replacen(line, &format!("checksum = \"{digits}\""), 1),
        None => text.to_string(),
    }
}
