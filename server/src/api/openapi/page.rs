//! The reference as a page: HTML without a script, made from the document.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The whole style; its hash is in the policy of the page.
pub(super) const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:0 auto;padding:1rem;color:#1b1f24;background:#fff}\
h1,h2,h3{line-height:1.2}h3{margin:2rem 0 .3rem}code,pre{font:14px/1.4 ui-monospace,monospace;background:#f2f4f7;\
border-radius:4px}code{padding:.1em .3em}pre{padding:.7rem;overflow-x:auto}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;border-top:1px solid #d5dae1;padding:.35rem .5rem}td p{margin:0 0 .4rem}\
.method{display:inline-block;min-width:4rem;font-weight:600}a{color:#0b57d0}nav a{margin-right:.8rem}\
@media(prefers-color-scheme:dark){body{color:#e4e8ee;background:#14171b}code,pre{background:#22272e}\
th,td{border-color:#3a414b}a{color:#8ab4f8}}";

/// Writes the page.
pub(super) fn render(document: &Value) -> String {
    let mut page = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    let title = text(document, "/info/title");
    let version = text(document, "/info/version");
    let _ = write!(page, "<title>{title} API</title><style>{STYLE}</style></head><body>");
    let _ = write!(
        page,
        "<h1>{title} API {version}</h1>{}",
        paragraphs(document.pointer("/info/description"))
    );
    page.push_str(
        "<p>The same port speaks gRPC and gRPC-Web (<code>backspace.v1.AgentService</code>, with reflection). \
         This page as a document: <a href=\"/openapi.json\">openapi.json</a>.</p><h2>Calls</h2>",
    );
    for (path, item) in object(document, "/paths") {
        for (method, operation) in item.as_object().into_iter().flatten() {
            render_operation(&mut page, path, method, operation);
        }
    }
    page.push_str("<h2>Messages</h2>");
    for (name, schema) in object(document, "/components/schemas") {
        render_schema(&mut page, name, schema);
    }
    page.push_str("</body></html>");
    page
}

fn render_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let id = text(operation, "/operationId");
    let _ = write!(
        page,
        "<h3 id=\"{id}\"><span class=\"method\">{}</span> <code>{}</code></h3>{}",
        escaped(&method.to_ascii_uppercase()),
        escaped(path),
        paragraphs(operation.get("description"))
    );
    let parameters = operation.get("parameters").and_then(Value::as_array);
    if let Some(parameters) = parameters {
        page.push_str("<table><tr><th>parameter</th><th>in</th><th>meaning</th></tr>");
        for parameter in parameters {
            let (name, place) = (text(parameter, "/name"), text(parameter, "/in"));
            let meaning = paragraphs(parameter.get("description"));
            let _ = write!(
                page,
                "<tr><td><code>{name}</code></td><td>{place}</td><td>{meaning}</td></tr>"
            );
        }
        page.push_str("</table>");
    }
    if let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema") {
        let _ = write!(page, "<p>Body: {}</p>", kind(schema));
    }
    for (media, content) in object(operation, "/responses/200/content") {
        let schema = content.get("x-event-data").or_else(|| content.get("schema"));
        let shown = schema.map(kind).unwrap_or_default();
        let _ = write!(page, "<p>Answer: {shown} as <code>{}</code></p>", escaped(media));
    }
}

fn render_schema(page: &mut String, name: &str, schema: &Value) {
    let name = escaped(name);
    let _ = write!(
        page,
        "<h3 id=\"message-{name}\"><code>{name}</code></h3>{}",
        paragraphs(schema.get("description"))
    );
    let properties = object(schema, "/properties");
    if properties.is_empty() {
        return;
    }
    page.push_str("<table><tr><th>field</th><th>type</th><th>meaning</th></tr>");
    for (field, schema) in properties {
        let meaning = paragraphs(schema.get("description"));
        let _ = write!(
            page,
            "<tr><td><code>{}</code></td><td>{}</td><td>{meaning}</td></tr>",
            escaped(field),
            kind(schema)
        );
    }
    page.push_str("</table>");
}

/// Names a schema, with a link where it has a place of its own.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| path.rsplit('/').next())
    {
        let name = escaped(name);
        return format!("<a href=\"#message-{name}\">{name}</a>");
    }
    match schema.get("items") {
        Some(items) => format!("list of {}", kind(items)),
        None => {
            let named = schema.get("format").or_else(|| schema.get("type"));
            match named {
                Some(Value::String(name)) => escaped(name),
                Some(Value::Array(names)) => {
                    let names: Vec<_> = names.iter().filter_map(Value::as_str).map(escaped).collect();
                    names.join(" or ")
                }
                _ => "any".to_owned(),
            }
        }
    }
}

fn object<'a>(value: &'a Value, pointer: &str) -> &'a Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    value.pointer(pointer).and_then(Value::as_object).unwrap_or(&EMPTY)
}

fn text(value: &Value, pointer: &str) -> String {
    escaped(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
}

/// Paragraphs of a description, with `code` as code.
fn paragraphs(description: Option<&Value>) -> String {
    let text = description.and_then(Value::as_str).unwrap_or_default();
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.is_empty());
    paragraphs
        .map(|paragraph| format!("<p>{}</p>", with_code(paragraph)))
        .collect()
}

fn with_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(index, part)| match index % 2 {
            0 => escaped(part),
            _ => format!("<code>{}</code>", escaped(part)),
        })
        .collect()
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_be_no_markup_and_code_is_code() {
        assert_eq!(
            with_code("a <b> `c<d>` & e"),
            "a &lt;b&gt; <code>c&lt;d&gt;</code> &amp; e"
        );
    }
}
