//! Rust SDK of Backspace: the generated messages, client and server traits of `backspace.v1`.

#[cfg(feature = "json")]
pub mod json;

/// Generated from `proto/backspace/v1`.
pub mod v1 {
    #![allow(missing_docs, clippy::all, unreachable_pub, reason = "generated code")]
    tonic::include_proto!("backspace.v1");
}

/// The contract as a `google.protobuf.FileDescriptorSet`, for reflection and JSON.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));
