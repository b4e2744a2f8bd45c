//! Advice for a Prisma schema: lines for each model, and SQL in comments for what it cannot say.
//!
//! Prisma knows key columns with their direction and, as raw text, a class of operators. It knows no
//! INCLUDE, no condition, no place of nulls, and its migrations do not build CONCURRENTLY. Models and
//! fields are taken to be called as tables and columns are; `@@map` and `@map` are not known here.
//!
//! Source: Prisma's reference of its schema, `@@index`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::script::comment;
use super::size;
use crate::model::advice::{Advice, NewIndex};

/// Lines to put into the models they stand under.
pub(super) fn show(advice: &Advice) -> String {
    let mut models: BTreeMap<&str, (Vec<String>, Vec<&NewIndex>)> = BTreeMap::new();
    for index in &advice.indexes {
        let model = models.entry(&index.table).or_default();
        match line(index) {
            Some(line) => model.0.push(line),
            None => model.1.push(index),
        }
    }
    let mut text = format!(
        "// {}: {} indexes, {}. Prisma builds them with a lock against writes; on a busy table run\n\
         // `plimsoll advise indexes --format sql` first, then `prisma migrate resolve`.\n",
        comment(&advice.target),
        advice.indexes.len(),
        size::show(advice.size_bytes)
    );
    for (table, (lines, raw)) in models {
        let name = table.split_once('.').map_or(table, |(_, name)| name);
        // Writing to a string cannot go wrong.
        let _ = writeln!(text, "\nmodel {name} {{");
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
        if !raw.is_empty() {
            text.push_str("  // In a migration, since Prisma has no word for it:\n");
        }
        for index in raw {
            let _ = writeln!(text, "  // {};", comment(&index.ddl));
        }
        text.push_str("}\n");
    }
    for drop in &advice.drop {
        let _ = writeln!(
            text,
            "\n// Take its @@index out: {}\n// {};",
            comment(&drop.reason),
            comment(&drop.ddl)
        );
    }
    for other in &advice.not_costed {
        let _ = writeln!(
            text,
            "\n// Not costed, for {}: {}\n// {};",
            comment(&other.statement),
            comment(&other.reason),
            comment(&other.ddl)
        );
    }
    text
}

/// `@@index([…])`; `None` where Prisma cannot say it.
fn line(index: &NewIndex) -> Option<String> {
    if !index.include.is_empty() || index.predicate.is_some() {
        return None;
    }
    let options = index.key_options.iter().map(String::as_str);
    let options = options.chain(std::iter::repeat(""));
    let fields: Option<Vec<String>> = index
        .keys
        .iter()
        .zip(options)
        .map(|(field, option)| {
            if !field.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return None;
            }
            match option {
                "" => Some(field.clone()),
                "DESC" => Some(format!("{field}(sort: Desc)")),
                class if class.ends_with("_ops") => Some(format!("{field}(ops: raw(\"{class}\"))")),
                _ => None,
            }
        })
        .collect();
    Some(format!("@@index([{}])", fields?.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(keys: &[&str], options: &[&str]) -> NewIndex {
        NewIndex {
            ddl: "CREATE INDEX CONCURRENTLY ON public.\"Lead\" (…)".to_owned(),
            table: "public.Lead".to_owned(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            key_options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..NewIndex::default()
        }
    }

    #[test]
    fn what_prisma_can_say_is_a_line_and_the_rest_is_sql() {
        let plain = index(&["status", "createdAt"], &["", "DESC"]);
        assert_eq!(
            line(&plain).as_deref(),
            Some("@@index([status, createdAt(sort: Desc)])")
        );
        let pattern = index(&["email"], &["text_pattern_ops"]);
        assert_eq!(
            line(&pattern).as_deref(),
            Some("@@index([email(ops: raw(\"text_pattern_ops\"))])")
        );
        assert_eq!(line(&index(&["a"], &["DESC NULLS LAST"])), None);
        assert_eq!(line(&index(&["a b"], &[""])), None);
        let mut covering = index(&["status"], &[""]);
        covering.include = vec!["id".to_owned()];
        let advice = Advice {
            indexes: vec![plain, covering],
            ..Advice::default()
        };
        let text = show(&advice);
        assert!(text.contains("model Lead {\n  @@index([status, createdAt(sort: Desc)])\n"));
        assert!(text.contains("  // CREATE INDEX CONCURRENTLY ON public.\"Lead\" (…);\n}\n"));
    }
}
