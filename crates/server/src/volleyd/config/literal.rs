//! A value of a TOML file as the text that a flag would be given.

use toml::de::{DeInteger, DeValue};

use super::row::{Form, Row, quoted};

/// The text of `value` for the setting of this row, which may yet find it wrong.
///
/// # Errors
///
/// A message for the user when `value` is of a type that the setting can't have.
pub(crate) fn text_of(row: &Row, value: &DeValue<'_>) -> Result<String, String> {
    match (value, row.form) {
        (DeValue::String(text), _) => Ok(text.to_string()),
        (DeValue::Boolean(false), _) if row.takes_off => Ok("off".to_owned()),
        (DeValue::Boolean(is_so), Form::Switch) => Ok(if *is_so { "on" } else { "off" }.to_owned()),
        (DeValue::Array(parts), Form::List) if !parts.is_empty() => {
            let texts = parts.iter().map(|part| text_of(row, part.get_ref()));
            Ok(texts.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        (DeValue::Integer(number), Form::Number) => Ok(decimal(number)),
        (DeValue::Float(number), Form::Number) => Ok(number.as_str().to_owned()),
        (DeValue::Integer(number), Form::WithUnit(unit)) => {
            without_unit(row, &decimal(number), unit)
        }
        (DeValue::Float(number), Form::WithUnit(unit)) => without_unit(row, number.as_str(), unit),
        _ => Err(format!(
            "`{}` can't be {}: write for example {}",
            row.key,
            article(value.type_str()),
            row.toml(row.example)
        )),
    }
}

/// A bare number is taken only where its unit does not matter.
fn without_unit(row: &Row, number: &str, unit: &str) -> Result<String, String> {
    if number == "0" {
        return Ok(format!("0{unit}"));
    }
    let written = quoted(&format!("{number}{unit}"));
    Err(format!("`{}` needs a unit: write for example {written}", row.key))
}

/// TOML knows hexadecimal, octal and binary numbers too.
fn decimal(number: &DeInteger<'_>) -> String {
    match i128::from_str_radix(number.as_str(), number.radix()) {
        Ok(number) => number.to_string(),
        // Too large for any setting; what reads the text says so.
        Err(_) => number.to_string(),
    }
}

fn article(noun: &str) -> String {
    let an = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{an} {noun}")
}
