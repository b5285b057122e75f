//! The document against the contract.

use std::collections::BTreeSet;

use regex::Regex;

use super::*;

fn operations() -> Vec<(String, String, Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let items = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (path.clone(), method.clone(), operation.clone()))
    });
    items.collect()
}

#[test]
fn every_call_of_the_contract_has_a_path_and_a_description() {
    let pool = DescriptorPool::decode(backspace_sdk::FILE_DESCRIPTOR_SET).unwrap();
    let service = pool.get_service_by_name("backspace.v1.AgentService").unwrap();
    let mut calls: BTreeSet<_> = service.methods().map(|method| method.name().to_owned()).collect();
    calls.extend(["code".to_owned(), "health".to_owned()]);
    let described: BTreeSet<_> = operations()
        .iter()
        .map(|(_, _, operation)| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(described, calls);
    for (path, method, operation) in operations() {
        assert!(
            operation["description"].as_str().is_some_and(|text| text.len() > 10),
            "{method} {path}"
        );
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_field_is_described() {
    fn walk(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(path)) = fields.get("$ref") {
                    found.insert(path.trim_start_matches('#').to_owned());
                }
                fields.values().for_each(|value| walk(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let mut references = BTreeSet::new();
    walk(&DOCUMENT, &mut references);
    assert!(references.len() > 30, "{references:?}");
    for path in references {
        assert!(DOCUMENT.pointer(&path).is_some(), "{path}");
    }
    let schemas = DOCUMENT["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas
        .iter()
        .filter(|(name, _)| !["CodeObject", "Health", "Status"].contains(&name.as_str()))
    {
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            assert!(schema["description"].is_string(), "{name}.{field}");
        }
    }
}

#[test]
fn kinds_of_fields_are_those_of_canonical_json() {
    let field = |message: &str, field: &str| DOCUMENT["components"]["schemas"][message]["properties"][field].clone();
    assert_eq!(field("Task", "createTime")["format"], "date-time");
    assert_eq!(field("Task", "lastSequence")["type"], "string");
    assert_eq!(field("Task", "state")["$ref"], "#/components/schemas/Task.State");
    assert_eq!(field("Task", "cancelRequested")["readOnly"], true);
    assert_eq!(
        field("Limits", "maxDuration")["pattern"],
        "^-?[0-9]{1,12}(\\.[0-9]{1,9})?s$"
    );
    assert_eq!(
        DOCUMENT["components"]["schemas"]["RunTaskRequest"]["required"],
        json!(["spec"])
    );
    let body = &DOCUMENT["components"]["schemas"]["SendMessageRequest"];
    assert!(body["properties"].get("name").is_none() && body["properties"].get("text").is_some());
}

#[test]
fn the_page_names_every_call_and_has_no_script_and_no_other_host() {
    let (page, policy) = &*PAGE;
    for (path, _, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(page.contains(&format!("<h3 id=\"{id}\">")), "{path}");
    }
    for forbidden in ["<script", "src=", "http://", "url(", "@import", " on", "style="] {
        let in_markup = page.split('<').skip(1).filter_map(|part| part.split('>').next());
        let found: Vec<_> = in_markup.filter(|tag| tag.contains(forbidden)).collect();
        assert!(found.is_empty(), "{forbidden}: {found:?}");
    }
    assert!(
        policy
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'; style-src 'sha256-")
    );
}

/// A router can't be asked for its routes, so they are read where they are written.
#[test]
fn the_paths_of_the_document_are_the_routes_of_the_gateway() {
    let source = include_str!("../gateway.rs");
    let route = Regex::new(r#"\.route\(\s*"([^"]+)",\s*((?:\.?[a-z]+\([a-z_:]+\))+),?\s*\)"#).unwrap();
    let method = Regex::new(r"\b([a-z]+)\([a-z_]+::[a-z_]+\)").unwrap();
    let mut routes = BTreeSet::new();
    for found in route.captures_iter(source) {
        let methods = method.captures_iter(&found[2]).map(|method| method[1].to_owned());
        routes.extend(methods.map(|method| format!("{method} {}", &found[1])));
    }
    assert_eq!(
        route.captures_iter(source).count(),
        source.matches(".route(").count(),
        "each route can be read"
    );
    // The document and its page don't describe themselves.
    for own in ["get /openapi.json", "get /docs"] {
        assert!(routes.remove(own), "{own} is a route");
    }
    // One route tells actions on a Task apart by what follows the name.
    let described: BTreeSet<_> = operations()
        .iter()
        .map(|(path, method, _)| {
            format!(
                "{method} {}",
                path.replace("{task}:cancel", "{task}")
                    .replace("{task}:message", "{task}")
            )
        })
        .collect();
    assert_eq!(described, routes);
    for action in ["cancel", "message"] {
        assert!(
            DOCUMENT["paths"][format!("/api/v1/tasks/{{task}}:{action}")]["post"].is_object(),
            "{action}"
        );
    }
}
