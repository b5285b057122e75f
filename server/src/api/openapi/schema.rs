//! Messages as JSON schemas: canonical protobuf JSON, with the contract's comments.

use std::collections::BTreeMap;

use prost_reflect::{Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comment::Comments;

const PACKAGE: &str = "backspace.v1.";
const SERVICE: &str = "backspace.v1.AgentService";

/// Schemas as they are asked for; each message once.
pub(super) struct Schemas<'a> {
    pool: &'a DescriptorPool,
    comments: Comments,
    made: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    /// Makes an empty set.
    pub(super) fn new(pool: &'a DescriptorPool) -> Self {
        Self {
            pool,
            comments: Comments::of(pool),
            made: BTreeMap::new(),
        }
    }

    /// Returns all that was asked for, with the form of failures.
    pub(super) fn finish(mut self) -> BTreeMap<String, Value> {
        self.made.insert("Status".to_owned(), status());
        self.made
    }

    /// Returns the comment of the service.
    pub(super) fn service_comment(&self) -> String {
        let service = self.pool.get_service_by_name(SERVICE);
        service.map_or_else(String::new, |service| {
            self.comments.at(service.parent_file().name(), service.path())
        })
    }

    /// Returns the comment of a call.
    pub(super) fn method_comment(&self, name: &str) -> String {
        let service = self.pool.get_service_by_name(SERVICE);
        let method = service.and_then(|service| service.methods().find(|method| method.name() == name));
        method.map_or_else(String::new, |method| {
            self.comments
                .at(method.parent_service().parent_file().name(), method.path())
        })
    }

    /// Returns a reference to a message's schema.
    pub(super) fn message(&mut self, name: &str) -> Value {
        if name == "CodeObject" {
            self.made.entry(name.to_owned()).or_insert_with(code_object);
            return reference(name);
        }
        match self.pool.get_message_by_name(&format!("{PACKAGE}{name}")) {
            Some(message) => self.of_message(&message),
            None => json!({}),
        }
    }

    /// Returns the schema of a body; without its `name` where the path has it.
    pub(super) fn body(&mut self, name: &str, has_name_in_path: bool) -> Value {
        if name == "CodeRequest" {
            self.made.entry(name.to_owned()).or_insert_with(code_request);
            return reference(name);
        }
        let schema = self.message(name);
        if has_name_in_path && let Some(Value::Object(fields)) = self.made.get_mut(name) {
            if let Some(Value::Object(properties)) = fields.get_mut("properties") {
                properties.remove("name");
            }
            if let Some(Value::Array(required)) = fields.get_mut("required") {
                required.retain(|field| field != "name");
            }
        }
        schema
    }

    /// Returns a field as something in the query.
    pub(super) fn query_parameter(&mut self, message: &str, field: &str) -> Value {
        let message = self.pool.get_message_by_name(&format!("{PACKAGE}{message}"));
        let Some(field) = message.and_then(|message| message.get_field_by_name(field)) else {
            return json!({});
        };
        let schema = self.of_field(&field);
        json!({"name": field.json_name(), "in": "query", "description": self.comment(&field), "schema": schema})
    }

    /// Returns the schema of the server's health.
    pub(super) fn health(&mut self) -> Value {
        self.made.entry("Health".to_owned()).or_insert_with(|| {
            json!({
                "type": "object",
                "required": ["status", "version", "degraded"],
                "properties": {
                    "status": {"type": "string", "enum": ["healthy", "draining"]},
                    "version": {"type": "string"},
                    "degraded": {
                        "type": "array", "items": {"type": "string"},
                        "description": "What is missing and what follows from it, one sentence each.",
                    },
                },
            })
        });
        reference("Health")
    }

    fn comment(&self, field: &FieldDescriptor) -> String {
        self.comments.at(field.parent_file().name(), field.path())
    }

    fn of_message(&mut self, message: &MessageDescriptor) -> Value {
        match message.full_name() {
            "google.protobuf.Timestamp" => return json!({"type": "string", "format": "date-time"}),
            "google.protobuf.Duration" => {
                return json!({"type": "string", "pattern": "^-?[0-9]{1,12}(\\.[0-9]{1,9})?s$"});
            }
            _ => {}
        }
        let name = name_of(message.full_name());
        if !self.made.contains_key(&name) {
            // A message that has itself in it finds the place taken.
            self.made.insert(name.clone(), json!({}));
            let schema = self.object(message);
            self.made.insert(name.clone(), schema);
        }
        reference(&name)
    }

    fn object(&mut self, message: &MessageDescriptor) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in message.fields() {
            let mut schema = self.of_field(&field);
            let mut comment = self.comment(&field);
            if comment.starts_with("Required. ") {
                required.push(field.json_name().to_owned());
            }
            if let Some(choice) = field.containing_oneof().filter(|choice| choice.fields().len() > 1) {
                let others: Vec<_> = choice
                    .fields()
                    .map(|field| format!("`{}`", field.json_name()))
                    .collect();
                comment.push_str(&format!(" At most one of {} is set.", others.join(", ")));
            }
            if let Value::Object(schema) = &mut schema {
                if comment.starts_with("Output only.") {
                    schema.insert("readOnly".to_owned(), json!(true));
                }
                if !comment.is_empty() {
                    schema.insert("description".to_owned(), json!(comment.trim()));
                }
            }
            properties.insert(field.json_name().to_owned(), schema);
        }
        let comment = self.comments.at(message.parent_file().name(), message.path());
        let mut schema = json!({"type": "object", "description": comment, "properties": properties});
        if let Value::Object(fields) = &mut schema
            && !required.is_empty()
        {
            fields.insert("required".to_owned(), json!(required));
        }
        schema
    }

    fn of_field(&mut self, field: &FieldDescriptor) -> Value {
        if field.is_map()
            && let Kind::Message(entry) = field.kind()
            && let Some(value) = entry.get_field_by_name("value")
        {
            return json!({"type": "object", "additionalProperties": self.of_kind(&value.kind())});
        }
        let one = self.of_kind(&field.kind());
        match field.cardinality() {
            Cardinality::Repeated => json!({"type": "array", "items": one}),
            Cardinality::Optional | Cardinality::Required => one,
        }
    }

    fn of_kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Message(message) => self.of_message(message),
            Kind::Enum(values) => self.of_enum(values),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Double | Kind::Float => json!({"type": "number"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX})
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({"type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX})
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,18}$"})
            }
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64", "pattern": "^[0-9]{1,19}$"}),
        }
    }

    fn of_enum(&mut self, values: &EnumDescriptor) -> Value {
        let name = name_of(values.full_name());
        if !self.made.contains_key(&name) {
            let mut comment = self.comments.at(values.parent_file().name(), values.path());
            for value in values.values() {
                let text = self.comments.at(values.parent_file().name(), value.path());
                comment.push_str(&format!("\n\n`{}`: {text}", value.name()));
            }
            let names: Vec<_> = values.values().map(|value| value.name().to_owned()).collect();
            let schema = json!({"type": "string", "enum": names, "description": comment.trim()});
            self.made.insert(name.clone(), schema);
        }
        reference(&name)
    }
}

fn name_of(full_name: &str) -> String {
    full_name.trim_start_matches(PACKAGE).to_owned()
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "google.rpc.Status as JSON. `details` begins with a google.rpc.ErrorInfo whose `reason` a program branches on.",
        "required": ["code", "message", "details"],
        "properties": {
            "code": {"type": "integer", "minimum": 1, "maximum": 16, "description": "The gRPC code."},
            "message": {"type": "string", "description": "What happened and what to do, for a person."},
            "details": {"type": "array", "minItems": 1, "items": {
                "type": "object", "required": ["@type"], "properties": {"@type": {"type": "string"}},
            }},
        },
    })
}

fn code_request() -> Value {
    json!({
        "type": "object",
        "required": ["repo_url", "prompt"],
        "properties": {
            "repo_url": {"type": "string", "description": "Address of the repository."},
            "prompt": {"type": "string", "description": "What to do."},
            "branch_name": {"type": ["string", "null"], "description": "Branch to create."},
            "provider": {"type": ["string", "null"], "description": "Model to use, as provider/model or provider."},
        },
    })
}

fn code_object() -> Value {
    json!({
        "type": "object",
        "description": "`type` is `Task`, `AI Message`, `Tool: <Name>`, `Progress`, `Success` or `Error`; the other fields follow from it.",
        "required": ["type"],
        "properties": {"type": {"type": "string"}, "timestamp": {"type": ["string", "null"], "format": "date-time"}},
    })
}
