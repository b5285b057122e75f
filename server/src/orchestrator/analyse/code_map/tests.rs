use super::super::tree::MemoryTree;
use super::*;

fn outlined(path: &str, definitions: &[(&str, &str)]) -> Outlined {
    let definition = |(kind, name): &(&str, &str)| Definition {
        kind: (*kind).to_owned(),
        name: (*name).to_owned(),
    };
    Outlined {
        path: path.into(),
        definitions: top_first(definitions.iter().map(definition).collect()),
    }
}

#[test]
fn a_file_is_a_line_with_kinds_said_once_and_members_last() {
    let file = outlined(
        "src/a.rs",
        &[("struct", "A"), ("", "A.new"), ("struct", "B"), ("fn", "main")],
    );
    assert_eq!(render(&[file], 0), "src/a.rs: struct A, B, fn main, A.new");
}

#[test]
fn when_not_all_fits_each_file_tells_less_and_then_the_last_are_left_out() {
    let names: Vec<String> = (0..30).map(|number| format!("function_number_{number}")).collect();
    let definitions: Vec<(&str, &str)> = names.iter().map(|name| ("fn", name.as_str())).collect();
    let files = |count: usize| -> Vec<Outlined> {
        (0..count)
            .map(|number| outlined(&format!("src/file_{number:04}.rs"), &definitions))
            .collect()
    };
    let some = render(&files(40), 0);
    assert!(some.len() <= MAX_MAP_BYTES, "{}", some.len());
    assert_eq!(some.lines().count(), 40);
    assert!(some.contains("and 20 more"), "{some}");
    let many = render(&files(2_000), 7);
    assert!(many.len() <= MAX_MAP_BYTES + 40, "{}", many.len());
    let shown = many.lines().count() - 1;
    assert_eq!(
        many.lines().last(),
        Some(format!("and {} more files", 2_007 - shown).as_str())
    );
    assert_eq!(render(&[], 3), "");
}

#[test]
fn the_repositorys_own_code_comes_first_and_tests_last() {
    let files = MemoryTree::new(&[
        ("tests/a.py", ""),
        ("src/deep/b.py", ""),
        ("node_modules/x/i.js", ""),
        ("web/app.min.js", ""),
        ("pkg/a_test.go", ""),
        ("main.go", ""),
        ("src/a.test.ts", ""),
        ("README.md", ""),
        ("bad\nname.py", ""),
        ("src/A.java", ""),
    ]);
    let listing = files.listing();
    let paths: Vec<&str> = chosen(&listing).into_iter().map(|(path, _)| path).collect();
    let right = [
        "main.go",
        "src/A.java",
        "src/deep/b.py",
        "pkg/a_test.go",
        "src/a.test.ts",
        "tests/a.py",
    ];
    assert_eq!(paths, right);
}

#[tokio::test]
async fn without_its_process_nothing_is_mapped_and_nothing_fails() {
    let files = MemoryTree::new(&[("a.go", "package a\nfunc F() {}\n")]);
    for outliner in [
        Outliner::default(),
        Outliner::new("/bin/false".into()),
        Outliner::new("/no/such".into()),
    ] {
        assert_eq!(draw(&files.listing(), &outliner).await.unwrap(), "");
    }
}
