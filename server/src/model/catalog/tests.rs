use super::*;
use crate::secret::Secret;

fn config(text: &str, environment: &[(&str, &str)]) -> ModelsConfig {
    let mut config: ModelsConfig = toml::from_str(text).unwrap();
    let faults = config.read_keys(&|name| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    assert_eq!(faults, Vec::<String>::new());
    config
}

fn scripts() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["alpha", "demo"] {
        std::fs::write(folder.path().join(format!("{name}.toml")), "[[turn]]\nsay='x'\n").unwrap();
    }
    folder
}

const LOCAL: &str = "
[provider.local]
protocol = 'anthropic'
base_url = 'http://127.0.0.1:9'
models = ['small', 'org/large']
window_tokens = 4096
applies_patch = true
";

#[test]
fn a_provider_is_there_once_it_has_a_key_or_an_address() {
    let models = Models::new(config("", &[])).unwrap();
    assert_eq!((models.providers(), models.default_name()), (vec![], None));
    assert_eq!(models.resolve(None).unwrap_err(), ResolveError::NoModel);
    assert_eq!(
        models.resolve(Some("anthropic")).unwrap_err().to_string(),
        "the provider `anthropic` has no key; set ANTHROPIC_API_KEY"
    );
    assert_eq!(
        Models::new(config("", &[("ANTHROPIC_API_KEY", " ")]))
            .unwrap()
            .providers(),
        Vec::<String>::new()
    );
    let models = Models::new(config(LOCAL, &[("ANTHROPIC_API_KEY", "k")])).unwrap();
    assert_eq!(models.providers(), ["anthropic", "local"]);
    assert_eq!(
        models.resolve(Some("nope/x")).unwrap_err().to_string(),
        "there is no model provider `nope`; there are: anthropic, local"
    );
}

#[test]
fn names_resolve_with_what_is_known() {
    let models = Models::new(config(LOCAL, &[("ANTHROPIC_API_KEY", "k")])).unwrap();
    let default = models.resolve(None).unwrap();
    assert_eq!(default.name, "anthropic/claude-sonnet-5-5");
    assert_eq!(models.resolve(Some("anthropic")).unwrap().name, default.name);
    assert!(default.price.is_some());

    let dated = models.resolve(Some("anthropic/claude-sonnet-4-5-20250929")).unwrap();
    assert_eq!((dated.window_tokens, dated.applies_patch), (200_000, false));
    assert_eq!(dated.price.unwrap().output, 15_000_000);

    let local = models.resolve(Some("local/org/large")).unwrap();
    assert_eq!(
        (local.model.as_str(), local.window_tokens, local.applies_patch),
        ("org/large", 4096, true)
    );
    assert_eq!(local.price, None, "an unknown price is not guessed");
    assert_eq!(models.resolve(Some("local")).unwrap().name, "local/small");
    for bad in ["local/", "local/a\nb"] {
        assert!(
            matches!(models.resolve(Some(bad)), Err(ResolveError::UnknownModel { .. })),
            "{bad:?}"
        );
    }
}

#[test]
fn scripts_are_listed_free_and_a_default_only_without_others() {
    let folder = scripts();
    let scripted = format!("scripted = '{}'", folder.path().display());
    let models = Models::new(config(&scripted, &[])).unwrap();
    assert_eq!(models.names(), ["scripted/alpha", "scripted/demo"]);
    let demo = models.resolve(None).unwrap();
    assert_eq!(
        (demo.name.as_str(), demo.price),
        ("scripted/demo", Some(Price::default()))
    );
    assert!(matches!(
        models.resolve(Some("scripted/nope")),
        Err(ResolveError::UnknownModel { .. })
    ));

    let models = Models::new(config(&format!("{scripted}\n{LOCAL}"), &[])).unwrap();
    assert_eq!(models.default_name().unwrap(), "local/small");
    let models = Models::new(config(&format!("default = 'scripted/alpha'\n{scripted}\n{LOCAL}"), &[])).unwrap();
    assert_eq!(models.resolve(None).unwrap().name, "scripted/alpha");
}

#[test]
fn every_fault_is_told_and_no_secret_with_it() {
    let text = "
        default = 'nowhere'
        connect_seconds = 0
        scripted = '/does/not/exist'
        replay = '/does/not/exist'
        [provider.scripted]
        protocol = 'anthropic'
        base_url = 'http://x'
        [provider.gate]
        base_url = 'ftp://x'
        extra_body = { messages = [] }
        [provider.bare]
        protocol = 'anthropic'
        window_tokens = 0
    ";
    assert_eq!(
        Models::new(config(text, &[])).map(|_| ()).unwrap_err(),
        [
            "model provider `bare`: `base_url` is missing",
            "model provider `bare`: `window_tokens` and `max_output_tokens` must be 1 or more",
            "model provider `gate`: `ftp://x` must begin with http:// or https:// and name a host",
            "model provider `gate`: `protocol` is missing",
            "model provider `gate`: `extra_body` must not hold `messages`",
            "model provider `scripted`: the name is taken; set `scripted` or `replay` instead",
            "models: `connect_seconds` must be 1 or more",
            "models: there is no script or folder /does/not/exist",
            "models: there is no folder of recordings /does/not/exist",
        ]
    );
    assert_eq!(
        Models::new(config("default = 'nowhere'", &[])).map(|_| ()).unwrap_err(),
        ["default model: there is no model provider `nowhere`; there are: "]
    );
    assert!(
        toml::from_str::<ModelsConfig>("[provider.x]\napi_key = 'k'").is_err(),
        "keys are not written in files"
    );
    let mut secret = config(LOCAL, &[]);
    secret.provider.get_mut("local").unwrap().api_key = Some(Secret::new("hidden"));
    assert!(!format!("{secret:?}").contains("hidden"));
}

#[test]
fn keys_come_from_variables_or_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "from-file\n").unwrap();
    let text = format!(
        "[provider.a]\nprotocol='anthropic'\nbase_url='http://x'\napi_key_env='A_KEY'\n\
         [provider.b]\nprotocol='anthropic'\nbase_url='http://x'\napi_key_file='{}'\n",
        file.display()
    );
    let read = config(&text, &[("A_KEY", "from-variable")]);
    let key = |name: &str| read.provider[name].api_key.as_ref().unwrap().expose().to_owned();
    assert_eq!((key("a").as_str(), key("b").as_str()), ("from-variable", "from-file"));

    let mut unread: ModelsConfig = toml::from_str(&text.replace("/key'", "/none'")).unwrap();
    let faults = unread.read_keys(&|_| None);
    assert_eq!(
        faults[0],
        "model provider `a`: the variable A_KEY of its key is not set"
    );
    assert!(faults[1].starts_with("model provider `b`: the key file "), "{faults:?}");
}

#[test]
fn openai_speaks_responses_and_named_addresses_what_they_say() {
    let text = "
        [provider.azure]
        protocol = 'chat'
        base_url = 'https://x.openai.azure.com/openai/deployments/{model}'
        key_header = 'api-key'
        api_version = '2025-04-01-preview'
        max_tokens_field = 'max_completion_tokens'
        system_role = 'developer'
        usage = 'omit'
        reasoning_return = 'plain'
        headers = { x-team = 'a' }
        default_model = 'gpt'
        [provider.azure.clocks]
        first_data = 600
        [provider.vllm]
        protocol = 'responses'
        base_url = 'http://127.0.0.1:9/v1'
        encrypted_reasoning = false
    ";
    let models = Models::new(config(text, &[("OPENAI_API_KEY", "k")])).unwrap();
    assert_eq!(models.default_name().unwrap(), "openai/gpt-6.1-sol");
    let resolved = models.resolve(Some("openai/gpt-5-mini")).unwrap();
    assert_eq!((resolved.applies_patch, resolved.window_tokens), (true, 272_000));
    assert_eq!(models.resolve(Some("azure")).unwrap().name, "azure/gpt");
    assert_eq!(
        models.resolve(Some("vllm")).unwrap_err(),
        ResolveError::NoDefaultModel {
            provider: "vllm".into()
        }
    );
    for wrong in [
        "protocol = 'soap'",
        "max_token_field = 'x'",
        "clocks = { first_data = -1 }",
    ] {
        assert!(
            toml::from_str::<ModelsConfig>(&format!("[provider.x]\n{wrong}")).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn recordings_are_listed_and_opened_anew_for_each_task() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("task-1.jsonl"), "").unwrap();
    std::fs::write(folder.path().join("broken.jsonl"), "x").unwrap();
    let models = Models::new(config(&format!("replay = '{}'", folder.path().display()), &[])).unwrap();
    assert_eq!(models.names(), ["replay/broken", "replay/task-1"]);
    let [one, two] = [(); 2].map(|()| models.resolve(Some("replay/task-1")).unwrap());
    assert!(!Arc::ptr_eq(&one.provider, &two.provider));
    assert!(
        models
            .resolve(Some("replay/broken"))
            .unwrap_err()
            .to_string()
            .starts_with("`replay/broken` can't be replayed: line 1")
    );
    assert!(matches!(
        models.resolve(Some("replay/../x")),
        Err(ResolveError::UnknownModel { .. })
    ));
}

#[test]
fn secrets_are_keys_and_headers_that_hold_one() {
    let text = "[provider.p]\nprotocol = 'chat'\nbase_url = 'http://h'\napi_key_env = 'K'\n\
                headers = { Authorization = 'Bearer tok-1', X-Title = 'Backspace', x-gateway-key = 'gate-2' }\n";
    let mut config: ModelsConfig = toml::from_str(text).unwrap();
    config.read_keys(&|name| (name == "K").then(|| "sk-1".into()));
    let secrets: Vec<String> = config
        .secrets()
        .iter()
        .map(|secret| secret.expose().to_owned())
        .collect();
    assert_eq!(secrets, ["sk-1", "tok-1", "gate-2"]);
}

/// The examples of docs/models.md: those of the models file, and those of a table of known models.
fn documented() -> (Vec<&'static str>, Vec<&'static str>) {
    let document = include_str!("../../../../docs/models.md");
    let mut parts = document.split("```toml\n");
    let mut before = parts.next().unwrap();
    let (mut files, mut tables) = (Vec::new(), Vec::new());
    for part in parts {
        let (example, after) = part.split_once("```").unwrap();
        if before.trim_end().ends_with("<!-- table -->") {
            tables.push(example);
        } else {
            files.push(example);
        }
        before = after;
    }
    (files, tables)
}

#[test]
fn the_documented_examples_are_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("deepseek");
    std::fs::write(&key, "sk-1\n").unwrap();
    let (files, tables) = documented();
    assert_eq!((files.len(), tables.len()), (5, 1));
    let table = folder.path().join("known-models.toml");
    std::fs::write(&table, tables[0]).unwrap();
    let mut names = Vec::new();
    for example in files {
        let example = example
            .replace("/run/secrets/deepseek", key.to_str().unwrap())
            .replace("/etc/backspace/known-models.toml", table.to_str().unwrap());
        let mut config: ModelsConfig = toml::from_str(&example).unwrap_or_else(|error| panic!("{error}\n{example}"));
        let faults = config.read_keys(&|name| name.contains("KEY").then(|| "key-of-the-environment".into()));
        assert_eq!(faults, Vec::<String>::new(), "{example}");
        // The example's own providers; the built-in ones got a key from the variable.
        names.extend(
            Models::new(config)
                .unwrap_or_else(|faults| panic!("{faults:?}\n{example}"))
                .names(),
        );
    }
    for name in [
        "vllm/qwen3-coder",
        "ollama/gpt-oss:20b",
        "llamacpp/local",
        "openrouter/anthropic/claude-sonnet-5.5",
        "azure/gpt-6.1-sol",
        "azure-classic/our-deployment",
        "old/m",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
}

#[test]
fn the_default_models_have_a_price_and_a_window() {
    let known = KnownModels::load(None).unwrap();
    for name in ["anthropic/claude-sonnet-5-5", "openai/gpt-6.1-sol"] {
        let model = known.find(name).unwrap();
        assert!(
            model.price_per_request().is_some() && model.window_tokens.is_some(),
            "{name}"
        );
        let price = model.price_per_request().unwrap();
        assert!(
            price.cache_read < price.input_uncached && price.input_uncached < price.output,
            "{name}: {price:?}"
        );
    }
    assert!(
        known
            .find("openai/a-model-of-next-year")
            .is_none_or(|model| model.price_per_request().is_none())
    );
}
