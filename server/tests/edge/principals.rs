//! The file of principals of a test. A principal's token is its own name.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::repository::Repository;
use crate::site::Site;

/// Writes a file with principals of these names, who may all use one repository; returns where it is.
pub fn write(site: &Site, names: &[&str], repository: &Repository) -> PathBuf {
    let entries = names.iter().map(|name| {
        let digits: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
        let url = repository.url();
        format!("[[principal]]\nname = \"{name}\"\ntoken_sha256 = [\"{digits}\"]\nrepositories = [{url:?}]\n")
    });
    let path = site.path("tokens.toml");
    std::fs::write(&path, entries.collect::<String>()).unwrap();
    path
}
