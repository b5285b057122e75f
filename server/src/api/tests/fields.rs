//! Errors on the wire, for every call and every field of the contract: each request is sent with each
//! of its fields, to the last nested one, put wrong in turn, and what comes back is judged.
//!
//! The fields are read from the descriptor, so one that is added is visited too; whether it can be wrong at
//! all is written here, and a field that is in neither list fails.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, MethodDescriptor,
    Value,
};

use super::*;

/// Fields of which any value is good, or good in form: they can't be a violation.
const ANYTHING_GOES: &[&str] = &[
    "after_sequence",
    "durable_only",
    "include_review_comments",
    "offset",
    // Lowered to the server's own.
    "max_cost_micro_usd",
    "max_tokens",
    "max_turns",
];

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(backspace_sdk::FILE_DESCRIPTOR_SET).unwrap();
    let service = pool.get_service_by_name("backspace.v1.AgentService").unwrap();
    service.methods().collect()
}

/// Values of a kind that no rule of a field can like, or at least not all of them.
fn hostile(kind: &Kind) -> Vec<Value> {
    let long = || Value::String("x".repeat(40_000));
    match kind {
        Kind::String => vec![Value::String("\u{7}\u{202e} ../\n".into()), long()],
        Kind::Bytes => vec![Value::Bytes(vec![0xff; 40_000].into())],
        Kind::Bool => vec![Value::Bool(true)],
        Kind::Enum(_) => vec![Value::EnumNumber(9999), Value::EnumNumber(-1)],
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => vec![Value::I32(-1), Value::I32(i32::MAX)],
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => vec![Value::I64(-1), Value::I64(i64::MAX)],
        Kind::Uint32 | Kind::Fixed32 => vec![Value::U32(u32::MAX)],
        Kind::Uint64 | Kind::Fixed64 => vec![Value::U64(u64::MAX)],
        Kind::Double | Kind::Float => vec![Value::F64(f64::NAN), Value::F64(-1.0)],
        Kind::Message(message) => {
            let mut wrong = DynamicMessage::new(message.clone());
            if is_of_protobuf(message) {
                wrong.set_field_by_name("seconds", Value::I64(-1));
            }
            vec![Value::Message(wrong)]
        }
    }
}

/// Times and spans are one value to whoever writes them.
fn is_of_protobuf(message: &MessageDescriptor) -> bool {
    message.full_name().starts_with("google.protobuf.")
}

/// Every field of a message to the last one, as the paths to it; a message that has itself in it once.
fn paths(message: &MessageDescriptor, before: &[FieldDescriptor], found: &mut Vec<Vec<FieldDescriptor>>) {
    for field in message.fields() {
        let path = [before, std::slice::from_ref(&field)].concat();
        if let Kind::Message(nested) = field.kind()
            && !field.is_map()
            && !is_of_protobuf(&nested)
            && !before.iter().any(|outer| outer.parent_message() == &nested)
        {
            paths(&nested, &path, found);
        }
        found.push(path);
    }
}

/// Sets the field at the end of a path, and makes the messages on the way.
fn set(message: &mut DynamicMessage, path: &[FieldDescriptor], value: Value) {
    let Some((field, rest)) = path.split_first() else {
        return;
    };
    let inner = match rest {
        [] => value,
        _ => {
            let Kind::Message(nested) = field.kind() else { return };
            let mut inner = DynamicMessage::new(nested);
            set(&mut inner, rest, value);
            Value::Message(inner)
        }
    };
    let whole = match (field.is_map(), field.cardinality()) {
        (true, _) => Value::Map([(MapKey::String("\u{7}".into()), inner)].into()),
        (false, Cardinality::Repeated) => Value::List(vec![inner; 3]),
        _ => inner,
    };
    message.set_field(field, whole);
}

fn name(path: &[FieldDescriptor]) -> String {
    let names: Vec<_> = path.iter().map(|field| field.name().to_owned()).collect();
    names.join(".")
}

async fn call(channel: &Channel, method: &MethodDescriptor, message: DynamicMessage) -> Status {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<DynamicMessage, ()>::default();
    let request = tonic::Request::new(message);
    let mut stream = match grpc.server_streaming(request, path.parse().unwrap(), codec).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return status,
    };
    loop {
        match stream.message().await {
            Ok(Some(())) => {}
            Ok(None) => return Status::ok(""),
            Err(status) => return status,
        }
    }
}

/// What every failed call carries, whatever it is.
fn check(status: &Status, place: &str) {
    if status.code() == Code::Ok {
        return;
    }
    let details = status.get_error_details();
    assert!(!reason(status).is_empty(), "{place}: {status:?}");
    let waits = matches!(status.code(), Code::ResourceExhausted | Code::Unavailable);
    assert_eq!(details.retry_info().is_some(), waits, "{place}: {status:?}");
    let violations = details
        .bad_request()
        .map_or(0, |request| request.field_violations.len());
    assert_eq!(
        violations > 0,
        status.code() == Code::InvalidArgument,
        "{place}: {status:?}"
    );
    assert_ne!(status.code(), Code::Internal, "{place}: {status:?}");
    assert_ne!(status.code(), Code::Unknown, "{place}: {status:?}");
    assert!(
        status.message().len() < 8192,
        "{place}: {} bytes",
        status.message().len()
    );
    assert!(
        !status.message().contains(['\u{7}', '\u{202e}', '\n']),
        "{place}: {:?}",
        status.message()
    );
}

/// Returns the fields that a status names, without the places in lists.
fn blamed(status: &Status) -> BTreeSet<String> {
    let details = status.get_error_details();
    let violations = details
        .bad_request()
        .into_iter()
        .flat_map(|request| &request.field_violations);
    violations
        .map(|violation| {
            let mut plain = String::new();
            let mut is_index = false;
            for character in violation.field.chars() {
                match character {
                    '[' => is_index = true,
                    ']' => is_index = false,
                    other if !is_index => plain.push(other),
                    _ => {}
                }
            }
            plain
        })
        .collect()
}

#[tokio::test]
async fn every_field_of_every_call_is_blamed_by_its_own_path_when_it_is_wrong() {
    let edge = Edge::start(ApiConfig {
        rate_limit: RateLimitConfig {
            starts_per_minute: 0,
            others_per_minute: 0,
        },
        ..ApiConfig::default()
    })
    .await;
    let channel = edge.channel().await;
    let mut never_blamed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut visited = 0;
    for method in methods() {
        let mut all = Vec::new();
        paths(&method.input(), &[], &mut all);
        let known: BTreeSet<_> = all.iter().map(|path| name(path)).collect();
        for path in &all {
            let place = format!("{}.{}", method.name(), name(path));
            let last = path.last().unwrap();
            let mut blames = false;
            for value in hostile(&last.kind()) {
                visited += 1;
                let mut message = DynamicMessage::new(method.input());
                set(&mut message, path, value);
                let status = call(&channel, &method, message).await;
                check(&status, &place);
                let blamed = blamed(&status);
                let foreign: Vec<_> = blamed.difference(&known).collect();
                assert!(foreign.is_empty(), "{place}: no field of the contract: {foreign:?}");
                blames |= blamed.contains(&name(path));
            }
            let is_message = matches!(last.kind(), Kind::Message(message) if !is_of_protobuf(&message));
            if !blames && !is_message && !ANYTHING_GOES.contains(&last.name()) {
                never_blamed
                    .entry(name(path))
                    .or_default()
                    .push(method.name().to_owned());
            }
        }
    }
    assert!(visited > 100, "only {visited} requests were made");
    let expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    assert_eq!(
        never_blamed, expected,
        "nothing is wrong with these, whatever is in them"
    );
}
