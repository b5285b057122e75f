//! Compiles the contract: messages, client, server traits and the descriptor set, without a `protoc`.
//!
//! Type names are generated (`prost::Name`), because JSON by reflection finds a message by its name.

use std::path::PathBuf;

use prost::Message as _;

const PROTOS: [&str; 3] = [
    "backspace/v1/agent_service.proto",
    "backspace/v1/event.proto",
    "backspace/v1/task.proto",
];

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or_else(|| anyhow::anyhow!("OUT_DIR is not set"))?);
    std::fs::write(out.join("descriptor_set.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}
