//! What a hostile server can make the supervisor read, and the plan that its launcher reads first.
//!
//! A message that is read must survive being written and read again; the first byte is the frame's kind, 0 a plan.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sandbox_supervisor::plan::{LaunchFault, LaunchPlan};
use sandbox_supervisor::protocol::{Attach, ExecRequest, FileRequest, kind};
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|input: &[u8]| {
    let Some((kind, payload)) = input.split_first() else {
        return;
    };
    match *kind {
        0 => {
            same_again::<LaunchPlan>(payload);
            if let Ok(plan) = LaunchPlan::read_from(&mut &payload[..]) {
                let bytes = plan.encode().unwrap();
                assert_eq!(LaunchPlan::read_from(&mut bytes.as_slice()).unwrap(), plan);
            }
            let _fault = LaunchFault::find(&String::from_utf8_lossy(payload));
        }
        kind::ATTACH => same_again::<Attach>(payload),
        kind::EXEC => same_again::<ExecRequest>(payload),
        kind::FILE => same_again::<FileRequest>(payload),
        _ => {}
    }
});

fn same_again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(payload: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<T>(payload) {
        let bytes = serde_json::to_vec(&message).unwrap();
        assert_eq!(serde_json::from_slice::<T>(&bytes).unwrap(), message);
    }
}
