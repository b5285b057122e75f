//! The main definitions of a source file: types, functions, and what stands one level inside types.
//!
//! Trees are walked by the names of their nodes and not by queries: what counts is few and at the top,
//! and a walk has a bound that can be seen. Parsers are C code over texts of anybody, so this runs only in
//! the confined child (`child`), and in tests.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tree_sitter::{Node, ParseOptions, Parser};

/// Longest time over one file.
const PARSE_TIME: Duration = Duration::from_millis(150);

/// Most definitions of one file.
const MAX_DEFINITIONS: usize = 200;

/// Most characters of a name.
const MAX_NAME_CHARS: usize = 80;

/// How deep definitions are looked for: a module in a file, a type in it, a function in that.
const MAX_DEPTH: usize = 3;

/// A language whose definitions can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Language {
    Go,
    Java,
    JavaScript,
    Python,
    Rust,
    Tsx,
    TypeScript,
}

/// A definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Definition {
    /// What it is in its language's word, e.g. `struct`; empty for a member.
    pub(super) kind: String,
    /// Its name, for a member after that of its type, e.g. `Server.start`.
    pub(super) name: String,
}

/// What a node means.
enum Meaning {
    /// A definition without any inside.
    Leaf(&'static str),
    /// A definition with others in its body.
    Container(&'static str),
    /// No definition of its own; others may be inside.
    Wrapper,
    Nothing,
}

impl Language {
    /// Returns the language of a path, by its ending.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let (_, ending) = path.rsplit_once('.')?;
        Some(match ending {
            "go" => Self::Go,
            "java" => Self::Java,
            "js" | "jsx" | "mjs" | "cjs" => Self::JavaScript,
            "py" => Self::Python,
            "rs" => Self::Rust,
            "tsx" => Self::Tsx,
            "ts" | "mts" | "cts" => Self::TypeScript,
            _ => return None,
        })
    }

    fn grammar(self) -> tree_sitter::Language {
        match self {
            Self::Go => tree_sitter_go::LANGUAGE.into(),
            Self::Java => tree_sitter_java::LANGUAGE.into(),
            Self::JavaScript => tree_sitter_javascript::LANGUAGE.into(),
            Self::Python => tree_sitter_python::LANGUAGE.into(),
            Self::Rust => tree_sitter_rust::LANGUAGE.into(),
            Self::Tsx => tree_sitter_typescript::LANGUAGE_TSX.into(),
            Self::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
        }
    }

    fn meaning(self, node: &str) -> Meaning {
        use Meaning::{Container, Leaf, Nothing, Wrapper};
        match self {
            Self::Rust => match node {
                "function_item" | "function_signature_item" => Leaf("fn"),
                "struct_item" => Leaf("struct"),
                "enum_item" => Leaf("enum"),
                "union_item" => Leaf("union"),
                "type_item" => Leaf("type"),
                "macro_definition" => Leaf("macro"),
                "trait_item" => Container("trait"),
                "mod_item" => Container("mod"),
                "impl_item" => Container(""),
                _ => Nothing,
            },
            Self::Python => match node {
                "function_definition" => Leaf("def"),
                "class_definition" => Container("class"),
                "decorated_definition" => Wrapper,
                _ => Nothing,
            },
            Self::Go => match node {
                "function_declaration" => Leaf("func"),
                "method_declaration" => Leaf(""),
                "type_spec" | "type_alias" => Leaf("type"),
                "type_declaration" | "type_spec_list" => Wrapper,
                _ => Nothing,
            },
            Self::Java => match node {
                "class_declaration" => Container("class"),
                "interface_declaration" => Container("interface"),
                "enum_declaration" => Container("enum"),
                "record_declaration" => Container("record"),
                "annotation_type_declaration" => Container("@interface"),
                "enum_body_declarations" => Wrapper,
                "method_declaration" => Leaf("method"),
                _ => Nothing,
            },
            Self::JavaScript | Self::TypeScript | Self::Tsx => match node {
                "function_declaration" | "generator_function_declaration" | "function_signature" => Leaf("function"),
                "class_declaration" | "abstract_class_declaration" => Container("class"),
                "interface_declaration" => Leaf("interface"),
                "type_alias_declaration" => Leaf("type"),
                "enum_declaration" => Leaf("enum"),
                "internal_module" => Container("namespace"),
                "method_definition" => Leaf("method"),
                "variable_declarator" => Leaf("function"),
                "export_statement" | "lexical_declaration" | "variable_declaration" | "expression_statement" => Wrapper,
                _ => Nothing,
            },
        }
    }
}

/// Returns the main definitions of a text, in its order; none when it takes too long to parse.
pub(super) fn definitions(language: Language, text: &str) -> Vec<Definition> {
    let mut parser = Parser::new();
    if parser.set_language(&language.grammar()).is_err() {
        return Vec::new();
    }
    let deadline = Instant::now() + PARSE_TIME;
    let mut in_time = |_: &tree_sitter::ParseState| {
        if Instant::now() < deadline {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    let options = ParseOptions::new().progress_callback(&mut in_time);
    let mut rest = |offset: usize, _| text.as_bytes().get(offset..).unwrap_or_default();
    let Some(tree) = parser.parse_with_options(&mut rest, None, Some(options)) else {
        return Vec::new();
    };
    let mut walk = Walk {
        language,
        text,
        found: Vec::new(),
    };
    walk.children(tree.root_node(), "", 0);
    walk.found
}

struct Walk<'a> {
    language: Language,
    text: &'a str,
    found: Vec<Definition>,
}

impl Walk<'_> {
    fn children(&mut self, parent: Node<'_>, inside: &str, depth: usize) {
        let mut cursor = parent.walk();
        for node in parent.named_children(&mut cursor) {
            if self.found.len() >= MAX_DEFINITIONS {
                return;
            }
            match self.language.meaning(node.kind()) {
                Meaning::Nothing => {}
                Meaning::Wrapper if depth < MAX_DEPTH => self.children(node, inside, depth + 1),
                Meaning::Wrapper => {}
                Meaning::Leaf(kind) => {
                    self.add(node, kind, inside);
                }
                Meaning::Container(kind) => {
                    let name = self.add(node, kind, inside);
                    let body = node.child_by_field_name("body").filter(|_| depth < MAX_DEPTH);
                    if let (Some(name), Some(body)) = (name, body) {
                        self.children(body, &name, depth + 1);
                    }
                }
            }
        }
    }

    /// Adds a definition and returns its name; `None` when it is none that counts.
    fn add(&mut self, node: Node<'_>, kind: &str, inside: &str) -> Option<String> {
        // `impl` has no name but a type, and is not told itself.
        let is_impl = node.kind() == "impl_item";
        let field = if is_impl { "type" } else { "name" };
        let name = self.plain(node.child_by_field_name(field)?)?;
        if is_impl {
            return Some(name);
        }
        let is_plain_variable = node.kind() == "variable_declarator"
            && !node
                .child_by_field_name("value")
                .is_some_and(|value| matches!(value.kind(), "arrow_function" | "function_expression" | "class"));
        let is_dunder = name.starts_with("__") && name.ends_with("__");
        let is_tests = kind == "mod" && matches!(name.as_str(), "test" | "tests");
        if is_plain_variable || is_dunder || is_tests {
            return None;
        }
        let inside = match node.child_by_field_name("receiver") {
            Some(receiver) => self.receiver(receiver),
            None => inside.to_owned(),
        };
        let whole = match inside.as_str() {
            "" => name.clone(),
            inside => format!("{inside}.{name}"),
        };
        let kind = if inside.is_empty() { kind } else { "" };
        self.found.push(Definition {
            kind: kind.to_owned(),
            name: whole.clone(),
        });
        Some(whole)
    }

    /// Returns the type of a method's receiver, `(s *Server[T])`.
    fn receiver(&self, node: Node<'_>) -> String {
        let text = self.text.get(node.byte_range()).unwrap_or_default();
        let text = text.split('[').next().unwrap_or_default();
        let mut words = text.split(|character: char| !character.is_alphanumeric() && character != '_');
        let name = words.rfind(|word| !word.is_empty()).unwrap_or_default();
        name.chars().take(MAX_NAME_CHARS).collect()
    }

    /// Returns a name without what could be read as anything but a name.
    fn plain(&self, node: Node<'_>) -> Option<String> {
        let text = self.text.get(node.byte_range())?;
        let text = text.split(['<', '[', '(']).next()?.trim();
        let is_name = |character: char| character.is_alphanumeric() || "_$#:.'&".contains(character);
        let fits = !text.is_empty() && text.chars().count() <= MAX_NAME_CHARS && text.chars().all(is_name);
        fits.then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, text: &str) -> Vec<String> {
        let found = definitions(Language::of_path(path).unwrap(), text);
        let told = found.iter().map(|each| format!("{} {}", each.kind, each.name));
        told.map(|text| text.trim_start().to_owned()).collect()
    }

    #[test]
    fn each_language_tells_its_types_functions_and_members() {
        let cases: [(&str, &str, &[&str]); 7] = [
            (
                "a.rs",
                "pub struct Server<T> { t: T }\nimpl<T> Server<T> { pub fn start(&self) {} }\nimpl Drop for Server<u8> { fn drop(&mut self) {} }\n\
                 trait Port { fn ask(&self); }\nenum E { A }\nfn main() {}\nmacro_rules! m { () => {} }\nmod inner { pub fn f() {} }\n\
                 #[cfg(test)]\nmod tests { fn hidden() {} }\nconst X: u8 = 1;\n",
                &[
                    "struct Server",
                    "Server.start",
                    "Server.drop",
                    "trait Port",
                    "Port.ask",
                    "enum E",
                    "fn main",
                    "macro m",
                    "mod inner",
                    "inner.f",
                ],
            ),
            (
                "a.py",
                "class A(B):\n    def __init__(self): pass\n    @property\n    def size(self): return 1\n\n@cache\ndef f():\n    def inner(): pass\n",
                &["class A", "A.size", "def f"],
            ),
            (
                "a.go",
                "package a\ntype Server struct{}\ntype (\n  A int\n  B = string\n)\nfunc (s *Server) Start() {}\nfunc (l List[T]) Len() int { return 0 }\nfunc Main() {}\n",
                &[
                    "type Server",
                    "type A",
                    "type B",
                    "Server.Start",
                    "List.Len",
                    "func Main",
                ],
            ),
            (
                "A.java",
                "package a;\npublic class A<T> { A() {} void run() {} enum Kind { X; int n() { return 1; } } }\ninterface B { int size(); }\nrecord C(int x) {}\n",
                &[
                    "class A",
                    "A.run",
                    "A.Kind",
                    "A.Kind.n",
                    "interface B",
                    "B.size",
                    "record C",
                ],
            ),
            (
                "a.mjs",
                "export default function main() {}\nexport class A { run() {} #hidden() {} }\nconst f = () => 1, n = 2;\nvar g = function () {};\nimport x from 'y';\n",
                &[
                    "function main",
                    "class A",
                    "A.run",
                    "A.#hidden",
                    "function f",
                    "function g",
                ],
            ),
            (
                "a.ts",
                "export interface I { a: number }\nexport type T = string;\nexport enum E { A }\nabstract class C { run(): void {} }\nnamespace N { export function f() {} }\n",
                &[
                    "interface I",
                    "type T",
                    "enum E",
                    "class C",
                    "C.run",
                    "namespace N",
                    "N.f",
                ],
            ),
            (
                "a.tsx",
                "export const Page: FC = () => <div>{x}</div>;\nexport function App() { return <Page/>; }\n",
                &["function Page", "function App"],
            ),
        ];
        for (path, text, right) in cases {
            assert_eq!(told(path, text), right, "{path}");
        }
    }

    #[test]
    fn broken_and_deep_texts_come_to_an_end() {
        let texts = [
            "(".repeat(20_000),
            "{[(<".repeat(5_000),
            "fn f() { ".repeat(2_000),
            "class A { ".repeat(2_000),
            "\0\u{fffd}\u{202e}".repeat(1_000),
            "fn f() {}\n".repeat(2_000),
        ];
        for text in &texts {
            for path in ["a.rs", "a.py", "a.go", "A.java", "a.js", "a.ts", "a.tsx"] {
                assert!(told(path, text).len() <= MAX_DEFINITIONS, "{path}");
            }
        }
        // What is whole in a broken file is still told.
        assert_eq!(told("a.rs", "fn one() {}\nfn two( {{{\n").first().unwrap(), "fn one");
    }

    #[test]
    fn a_name_is_nothing_but_a_name() {
        assert_eq!(
            told("a.rs", &format!("fn {}() {{}}\nfn b() {{}}\n", "x".repeat(500))),
            ["fn b"]
        );
    }
}
