//! What is known of models: prices, windows, and whether they were trained on V4A patches.
//!
//! The table ships with the program and can be overridden by a file of the same form. A model that
//! no line names has no price: that is said, never guessed.

use std::path::Path;

use serde::Deserialize;

use crate::model::TokenUsage;

const SHIPPED: &str = include_str!("known_models.toml");

/// Money per million tokens, in millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// For prompt tokens that no cache served.
    pub input_uncached: u64,
    /// For prompt tokens served from the cache.
    pub cache_read: u64,
    /// For prompt tokens written to the cache.
    pub cache_write: u64,
    /// For tokens produced.
    pub output: u64,
    /// What long prompts cost more.
    pub long: Option<LongPrompt>,
}

/// What a request costs more whose prompt is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongPrompt {
    /// Prompts with more tokens than this are long.
    pub from_tokens: u64,
    /// What its prompt costs, in percent of the usual price.
    pub input_percent: u64,
    /// What its answer costs, in percent of the usual price.
    pub output_percent: u64,
}

impl Price {
    /// Returns the cost of a request in millionths of a US dollar, rounded up.
    pub fn cost_micro_usd(&self, usage: &TokenUsage) -> u64 {
        let prompt_tokens = usage
            .input_uncached
            .saturating_add(usage.cache_read)
            .saturating_add(usage.cache_write);
        let long = self.long.filter(|long| prompt_tokens > long.from_tokens);
        let (input_percent, output_percent) = long.map_or((100, 100), |long| (long.input_percent, long.output_percent));
        let parts = [
            (usage.input_uncached, self.input_uncached, input_percent),
            (usage.cache_read, self.cache_read, input_percent),
            (usage.cache_write, self.cache_write, input_percent),
            (usage.output, self.output, output_percent),
        ];
        let parts = parts
            .into_iter()
            .map(|(tokens, price, percent)| [tokens, price, percent].map(u128::from));
        let total: u128 = parts.map(|factors| factors.into_iter().product::<u128>()).sum();
        u64::try_from(total.div_ceil(100_000_000)).unwrap_or(u64::MAX)
    }
}

/// What is known of a model.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KnownModel {
    /// `{provider}/{model}`, or its beginning with `*` at the end.
    pub name: String,
    /// US dollars per million prompt tokens.
    pub input: Option<f64>,
    /// US dollars per million prompt tokens from the cache; the same as `input` when unset.
    pub cache_read: Option<f64>,
    /// US dollars per million prompt tokens written to the cache; the same as `input` when unset.
    pub cache_write: Option<f64>,
    /// The same for a cache that is kept an hour; twice `input` when unset.
    pub cache_write_hour: Option<f64>,
    /// US dollars per million tokens produced.
    pub output: Option<f64>,
    /// Prompts with more tokens than this cost more.
    pub long_from_tokens: Option<u64>,
    /// What a long prompt costs, as a multiple; 1 when unset.
    pub long_input_factor: Option<f64>,
    /// What the answer to a long prompt costs, as a multiple; 1 when unset.
    pub long_output_factor: Option<f64>,
    /// Tokens that a prompt may have.
    pub window_tokens: Option<u64>,
    /// Most tokens of an answer.
    pub max_output_tokens: Option<u32>,
    /// Whether the model was trained on V4A patches.
    pub applies_patch: bool,
}

impl KnownModel {
    fn price(&self, cache_write: Option<f64>) -> Option<Price> {
        let (input, output) = (self.input?, self.output?);
        Some(Price {
            input_uncached: micro_usd(input),
            cache_read: micro_usd(self.cache_read.unwrap_or(input)),
            cache_write: micro_usd(cache_write.unwrap_or(input)),
            output: micro_usd(output),
            long: self.long_from_tokens.map(|from_tokens| LongPrompt {
                from_tokens,
                input_percent: percent(self.long_input_factor),
                output_percent: percent(self.long_output_factor),
            }),
        })
    }

    /// Returns the price when prompts are cached for minutes.
    pub fn price_per_request(&self) -> Option<Price> {
        self.price(self.cache_write)
    }

    /// Returns the price when prompts are cached for an hour.
    pub fn price_with_hour_cache(&self) -> Option<Price> {
        self.price(self.cache_write_hour.or(self.input.map(|input| input * 2.0)))
    }

    fn faults(&self) -> Vec<String> {
        let amounts = [
            self.input,
            self.cache_read,
            self.cache_write,
            self.cache_write_hour,
            self.output,
            self.long_input_factor,
            self.long_output_factor,
        ];
        let mut faults = Vec::new();
        if !self.name.contains('/') {
            faults.push(format!("model `{}`: the name must be `provider/model`", self.name));
        }
        if self.input.is_some() != self.output.is_some() {
            faults.push(format!(
                "model `{}`: set both `input` and `output`, or neither",
                self.name
            ));
        }
        if amounts
            .into_iter()
            .flatten()
            .any(|amount| !amount.is_finite() || amount < 0.0)
        {
            faults.push(format!("model `{}`: a price or factor must be zero or more", self.name));
        }
        faults
    }
}

fn percent(factor: Option<f64>) -> u64 {
    (factor.unwrap_or(1.0) * 100.0).round() as u64
}

fn micro_usd(usd: f64) -> u64 {
    (usd * 1e6).round() as u64
}

/// The table of known models.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownModels {
    #[serde(default)]
    model: Vec<KnownModel>,
}

impl KnownModels {
    /// Returns the table that ships with the program, with the lines of `file` before it; faults as sentences.
    pub fn load(file: Option<&Path>) -> Result<Self, Vec<String>> {
        let mut table = Self::parse(SHIPPED)?;
        if let Some(file) = file {
            let text = std::fs::read_to_string(file)
                .map_err(|error| vec![format!("the model table {} can't be read: {error}", file.display())])?;
            let own = Self::parse(&text).map_err(|faults| {
                let with_file = faults.into_iter().map(|fault| format!("{}: {fault}", file.display()));
                with_file.collect::<Vec<_>>()
            })?;
            table.model.splice(0..0, own.model);
        }
        Ok(table)
    }

    fn parse(text: &str) -> Result<Self, Vec<String>> {
        let table: Self = toml::from_str(text).map_err(|error| vec![error.to_string()])?;
        let faults: Vec<String> = table.model.iter().flat_map(KnownModel::faults).collect();
        if faults.is_empty() { Ok(table) } else { Err(faults) }
    }

    /// Returns what is known of a model: the longest name that fits, the first of equals.
    pub fn find(&self, name: &str) -> Option<&KnownModel> {
        let fit = |known: &KnownModel| match known.name.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning).then_some(beginning.len()),
            None => (known.name == name).then_some(usize::MAX),
        };
        let mut best: Option<(usize, &KnownModel)> = None;
        for known in &self.model {
            if let Some(length) = fit(known)
                && best.is_none_or(|(longest, _)| length > longest)
            {
                best = Some((length, known));
            }
        }
        best.map(|(_, known)| known)
    }

    /// Returns the whole names of a provider's known models.
    pub fn names_of<'a>(&'a self, provider: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.model.iter().map(|known| known.name.as_str());
        names.filter(move |name| {
            !name.ends_with('*') && name.split_once('/').is_some_and(|(prefix, _)| prefix == provider)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> KnownModels {
        KnownModels::parse(text).unwrap()
    }

    #[test]
    fn the_longest_name_that_fits_is_taken() {
        let table = table(
            "[[model]]\nname = 'p/m*'\nwindow_tokens = 1\n[[model]]\nname = 'p/m-large*'\nwindow_tokens = 2\n\
             [[model]]\nname = 'p/m'\nwindow_tokens = 3\n[[model]]\nname = 'p/m'\nwindow_tokens = 4\n",
        );
        let window = |name: &str| table.find(name).and_then(|known| known.window_tokens);
        assert_eq!(window("p/m-small"), Some(1));
        assert_eq!(window("p/m-large-2"), Some(2));
        assert_eq!(window("p/m"), Some(3));
        assert_eq!(window("q/m"), None);
        assert_eq!(table.names_of("p").collect::<Vec<_>>(), ["p/m", "p/m"]);
    }

    #[test]
    fn a_request_costs_the_sum_of_its_parts_rounded_up() {
        let known =
            &table("[[model]]\nname='p/m'\ninput=3.0\ncache_read=0.3\ncache_write=3.75\noutput=15.0\n").model[0];
        let usage = TokenUsage {
            input_uncached: 1000,
            cache_read: 10_000,
            cache_write: 100,
            output: 201,
            reasoning: 200,
        };
        assert_eq!(
            known.price_per_request().unwrap().cost_micro_usd(&usage),
            3000 + 3000 + 375 + 3015
        );
        assert_eq!(known.price_with_hour_cache().unwrap().cache_write, 6_000_000);
        let one = TokenUsage {
            cache_read: 1,
            ..TokenUsage::default()
        };
        assert_eq!(known.price_per_request().unwrap().cost_micro_usd(&one), 1);
        assert_eq!(KnownModel::default().price_per_request(), None);

        let known = KnownModel {
            long_from_tokens: Some(11_099),
            long_input_factor: Some(2.0),
            long_output_factor: Some(1.5),
            ..known.clone()
        };
        let long = known.price_per_request().unwrap();
        assert_eq!(long.cost_micro_usd(&usage), (3000 + 3000 + 375) * 2 + 4523);
        let short = TokenUsage {
            input_uncached: 999,
            ..usage
        };
        assert_eq!(long.cost_micro_usd(&short), 2997 + 3000 + 375 + 3015);
    }

    #[test]
    fn a_file_of_one_s_own_comes_before_the_shipped_table() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("models.toml");
        std::fs::write(
            &file,
            "[[model]]\nname='anthropic/claude-sonnet-4-5*'\nwindow_tokens=7\n",
        )
        .unwrap();
        let name = "anthropic/claude-sonnet-4-5-20250929";
        assert_eq!(
            KnownModels::load(None).unwrap().find(name).unwrap().window_tokens,
            Some(200_000)
        );
        assert_eq!(
            KnownModels::load(Some(&file))
                .unwrap()
                .find(name)
                .unwrap()
                .window_tokens,
            Some(7)
        );
    }

    #[test]
    fn faults_of_a_table_are_all_told() {
        let faults =
            KnownModels::parse("[[model]]\nname='m'\ninput=1.0\n[[model]]\nname='p/m'\ninput=-1.0\noutput=1.0\n");
        assert_eq!(
            faults.unwrap_err(),
            [
                "model `m`: the name must be `provider/model`",
                "model `m`: set both `input` and `output`, or neither",
                "model `p/m`: a price or factor must be zero or more",
            ]
        );
        assert!(KnownModels::parse("[[model]]\nnmae='p/m'\n").is_err());
    }
}
