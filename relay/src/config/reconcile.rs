//! `[reconcile.NAME]`: how the usage export of a provider reads.

use std::collections::BTreeMap;

use super::ConfigError;
use super::values::{Values, quote};
use crate::money::price::Unit;
use crate::money::reconcile::{Mapping, Measure};

const DATE: &str = "reconcile.*.date";
const MODELS: &str = "reconcile.*.models";
const QUANTITY: &str = "reconcile.*.quantity";
const UNIT: &str = "reconcile.*.unit";
const UNITS: &str = "reconcile.*.units";

pub(super) fn mappings(values: &Values) -> Result<BTreeMap<String, Mapping>, ConfigError> {
    let names: Vec<&str> = values.names("reconcile").collect();
    names
        .into_iter()
        .map(|name| Ok((name.to_owned(), mapping(&values.of("reconcile", name), name)?)))
        .collect()
}

fn mapping(values: &Values, name: &str) -> Result<Mapping, ConfigError> {
    let provider = values.text("reconcile.*.provider")?.unwrap_or_else(|| name.to_owned());
    let (date, model) = (values.text(DATE)?, values.text("reconcile.*.model")?);
    let (request_id, cost) = (values.text("reconcile.*.request_id")?, values.text("reconcile.*.cost")?);
    let unit = values.text(UNIT)?;
    let (quantity, models, units) = (values.list(QUANTITY)?, values.list(MODELS)?, values.list(UNITS)?);
    let models = models.iter().map(|text| match text.rsplit_once('=') {
        Some((theirs, item)) if !theirs.is_empty() && item.contains('/') => {
            Ok((theirs.to_owned(), item.to_owned()))
        }
        _ => Err(values.wrong(MODELS, quote(text), "give their word for a model and an item of the price table, such as nova-3-general=deepgram/nova-3")),
    });
    let models = models.collect::<Result<_, _>>()?;
    let units = units.iter().map(|text| match pair(text) {
        Some((theirs, measure)) => Ok((theirs.to_owned(), measure)),
        None => Err(values.wrong(UNITS, quote(text), accepted_units("their word", "hours=second*3600"))),
    });
    let units = units.collect::<Result<_, _>>()?;
    let quantities = quantity.iter().map(|text| match (pair(text), &unit) {
        (Some((column, measure)), _) => Ok((column.to_owned(), Some(measure))),
        (None, Some(_)) if !text.contains('=') => Ok((text.clone(), None)),
        (None, _) => {
            Err(values.wrong(QUANTITY, quote(text), accepted_units("a column", "output_tokens=output_token")))
        }
    });
    let quantities: Vec<(String, Option<Measure>)> = quantities.collect::<Result<_, _>>()?;
    let date = date.ok_or_else(|| values.wrong(DATE, "nothing", "give the column with the day"))?;
    if quantities.is_empty() {
        return Err(values.wrong(
            QUANTITY,
            "nothing",
            accepted_units("a column", "output_tokens=output_token"),
        ));
    }
    Ok(Mapping { provider, date, model, models, quantities, unit, units, request_id, cost })
}

/// A word and what it counts: `hours=second*3600`.
fn pair(text: &str) -> Option<(&str, Measure)> {
    let (word, measure) = text.rsplit_once('=').filter(|(word, _)| !word.is_empty())?;
    let (unit, factor) = match measure.split_once('*') {
        Some((unit, factor)) => {
            (unit, factor.parse().ok().filter(|factor: &f64| *factor > 0.0 && factor.is_finite())?)
        }
        None => (measure, 1.0),
    };
    Some((word, Measure { unit: Unit::parse(unit)?, factor }))
}

fn accepted_units(whose: &str, example: &str) -> String {
    let units: Vec<&str> = Unit::ALL.iter().map(|unit| unit.name()).collect();
    format!("give {whose} and what it counts, such as {example}: one of {}", units.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn from_toml(toml: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("voxrelay.toml");
        std::fs::write(&file, toml).expect("written");
        Config::load(Some(file.as_path()), []).map_err(|error| error.to_string())
    }

    #[test]
    fn an_export_is_described_by_its_columns() {
        let config = from_toml(
            "[reconcile.deepgram]\ndate = \"Created\"\nmodel = \"Model\"\nmodels = [\"general-nova-3=deepgram/nova-3\"]\n\
            quantity = [\"Hours=second*3600\", \"Amount\"]\nunit = \"Unit\"\nunits = \"a=b=character\"\n",
        );
        let mapping = config.expect("good").reconcile.remove("deepgram").expect("there");
        assert_eq!((mapping.provider.as_str(), mapping.date.as_str()), ("deepgram", "Created"));
        assert_eq!(mapping.models["general-nova-3"], "deepgram/nova-3");
        let hours = Measure { unit: Unit::Second, factor: 3_600.0 };
        assert_eq!(mapping.quantities, [("Hours".to_owned(), Some(hours)), ("Amount".to_owned(), None)]);
        assert_eq!(mapping.units["a=b"], Measure { unit: Unit::Character, factor: 1.0 });
    }

    #[test]
    fn what_is_missing_or_counts_nothing_is_named() {
        for (toml, says) in [
            ("quantity = \"n=second\"", "reconcile.x.date"),
            ("date = \"d\"", "reconcile.x.quantity"),
            ("date = \"d\"\nquantity = \"n\"", "reconcile.x.quantity = \"n\""),
            ("date = \"d\"\nquantity = \"n=parsec\"", "one of second, input_token"),
            ("date = \"d\"\nquantity = \"n=second*0\"", "reconcile.x.quantity"),
            ("date = \"d\"\nquantity = \"n=second\"\nmodels = \"a=b\"", "reconcile.x.models"),
            ("date = \"d\"\nquantity = \"n=second\"\nunits = \"second\"", "reconcile.x.units"),
        ] {
            let error = from_toml(&format!("[reconcile.x]\n{toml}")).expect_err(toml);
            assert!(error.contains(says), "{toml:?} gave {error:?}");
        }
    }
}
