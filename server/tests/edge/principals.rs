//! The file of principals of a test. A principal's token is its own name.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::repository::Repository;
use crate::site::Site;

/// Returns the entry of a principal who may use these repositories.
pub fn entry(name: &str, repositories: &[&str]) -> String {
    let digits: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[principal]]\nname = \"{name}\"\ntoken_sha256 = [\"{digits}\"]\nrepositories = {repositories:?}\n")
}

/// Writes a file with principals of these names, who may all use one repository; returns where it is.
pub fn write(site: &Site, names: &[&str], repository: &Repository) -> PathBuf {
    let url = repository.url();
    let entries = names.iter().map(|name| entry(name, &[&url]));
    let path = site.path("tokens.toml");
    std::fs::write(&path, entries.collect::<String>()).unwrap();
    path
}
